"""What the commands do. Each imports what it needs, so that ``findings`` does not wait for TensorFlow."""

from __future__ import annotations

import secrets
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fuzzer.cli_installed import quiet, registered
from fuzzer.cli_output import terminal
from fuzzer.errors import UsageError
from fuzzer.installed_versions import version_here, versions_of, versions_of_routes
from fuzzer.toolchains import interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from corpus.records import Campaign
    from corpus.store import Store
    from fuzzer.config import CampaignConfig
    from fuzzer.tasks import CaseResult, Seen


def fuzz(
    corpus: Path, database: str, as_json: bool, *, seed: int | None, harvested: bool = False, **settings: Any
) -> bool:
    """Create a campaign and run it. ``settings`` are fields of CampaignConfig, ``harvested`` says whether to draw from
    the harvest if there is one. Returns whether anything verified was found."""
    from fuzzer.cli_harvest import available, usable
    from fuzzer.config import CampaignConfig
    from fuzzer.routes import select

    config = CampaignConfig(seed=secrets.randbelow(2**32) if seed is None else seed, **settings)
    with interpreter(config.toolchain):
        selected = select(config.routes)  # an unknown route is refused before anything is made on the disk
        versions = versions_of_routes(config.routes)
    frontends = {route.frontend for route in selected}
    # A harvest is of one version of torch, and a worker loads that of its own.
    harvested = harvested and "torch" in frontends and versions.get("torch") == version_here("torch")
    if harvested:
        config = msgspec.structs.replace(config, harvest=available())
    if config.operators:
        _check_operators(config.operators, frontends, config.harvest)
    with _open(corpus, database, create=True) as store:
        if harvested and not config.harvest:
            usable()  # says why not
        campaign = store.create_campaign(config.seed, config.to_builtins(), versions)
        return _run(store, campaign, config, as_json)


def _check_operators(patterns: tuple[str, ...], frontends: set[str], harvest: str) -> None:
    """UsageError for a pattern that matches no operator, and for a frontend that no operator is left of."""
    from fnmatch import filter as matching

    from generators.frontends.base import frontend

    targets: dict[str, tuple[str, ...]] = {}
    for name in sorted(frontends):
        with quiet():
            frontend(name).mix_in(harvest if name == "torch" else "")
            targets[name] = frontend(name).targets()
    for pattern in patterns:
        if not any(matching(names, pattern) for names in targets.values()):
            raise UsageError(f"no operator matches {pattern!r}", "`convfuzz operators` lists them; * is a wildcard")
    for name, names in targets.items():
        if not any(matching(names, pattern) for pattern in patterns):
            raise UsageError(
                f"no operator of {name} matches {' or '.join(map(repr, patterns))}",
                f"name the routes to use with --route, or add --operator for {name}",
            )


def resume(corpus: Path, database: str, as_json: bool, prefix: str, minutes: float | None, workers: int | None) -> bool:
    """Go on with a campaign. Returns whether anything verified was found, in all its runs together."""
    from corpus.records import CampaignStatus
    from fuzzer.config import CampaignConfig

    with _open(corpus, database) as store:
        if prefix:
            campaign = store.load_campaign(prefix)
        else:
            unfinished = [one for one in store.campaigns() if one.status is not CampaignStatus.FINISHED]
            if not unfinished:
                raise UsageError(
                    f"no campaign in {corpus} waits to be resumed",
                    "`convfuzz findings --all` lists campaigns; name one, with --minutes, to run it for longer",
                )
            campaign = unfinished[-1]
        try:
            config = CampaignConfig.from_builtins(campaign.config)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"the configuration of campaign {campaign.id} cannot be read: {error}", "start a new campaign"
            ) from error
        if minutes is not None:
            config = msgspec.structs.replace(config, minutes=campaign.elapsed / 60 + minutes, graphs=None)
        if workers is not None:
            config = msgspec.structs.replace(config, workers=workers)
        with interpreter(config.toolchain):
            _warn_of_other_versions(campaign, versions_of_routes(config.routes))
        return _run(store, campaign, config, as_json)


def findings(
    corpus: Path, database: str, as_json: bool, prefix: str, everything: bool, known: Path | None = None
) -> None:
    """List verified buckets or, with ``everything``, campaigns and all findings. ``known`` lists known issues."""
    from corpus.records import FindingState
    from fuzzer import cli_text
    from fuzzer.screen import to_json
    from fuzzer.upstream.known_issues import known_issues

    console = terminal()
    with _open(corpus, database, write=False) as store:
        campaign = store.load_campaign(prefix).id if prefix else None
        if everything:
            listed = store.list_findings(campaign=campaign)
            campaigns = [one for one in store.campaigns() if campaign in (None, one.id)]
            classes = store.classes(listed)
            if as_json:
                for finding in listed:
                    print(to_json({**msgspec.structs.asdict(finding), "classification": classes[finding.id]}))
                return
            console.print(cli_text.campaigns_table(campaigns))
            console.print(cli_text.findings_table(listed, classes) if listed else "no findings")
            return
        buckets = store.summary(campaign).buckets if campaign else store.all_buckets()
        every = [bucket for bucket in buckets if bucket.representative.state is FindingState.VERIFIED]
        issues = known_issues(store, known)
        verified = [bucket for bucket in every if not issues.suppresses(bucket.representative)]
        classes = store.classes([bucket.representative for bucket in verified])
        if as_json:
            for bucket in verified:
                found = classes[bucket.representative.id]
                print(to_json({**msgspec.structs.asdict(bucket), "classification": found}))
            return
        if verified:
            console.print(cli_text.bucket_table(verified, store.directory, classes, issues.label))
        else:
            console.print("nothing found (`convfuzz findings --all` also lists what is not verified)")
        if len(every) > len(verified):
            console.print(f"{len(every) - len(verified)} suppressed by the list of known issues")


def show(corpus: Path, database: str, as_json: bool, prefix: str) -> None:
    """Print everything about one finding."""
    from fuzzer import cli_text
    from fuzzer.screen import to_json

    with _open(corpus, database, write=False) as store:
        finding = store.find(prefix)
        found = store.classes([finding])[finding.id]
        script = store.objects.get(finding.reproducer_object).decode() if finding.reproducer_object else ""
        path = store.directory / "findings" / finding.id / "reproducer.py" if script else None
        known = store.versions(finding.id)
        passes = store.passes(finding.id)
        if path is not None and not path.exists():
            path = None
        if as_json:
            record = {
                "finding": finding,
                "classification": found,
                "reproducer": str(path or ""),
                "script": script,
                "versions": known,
                "passes": passes,
            }
            print(to_json(record))
        else:
            terminal().print(cli_text.finding_details(finding, path, len(script.splitlines()), found, passes))
            if known:
                terminal().print(cli_text.versions_table(known))


def blame(corpus: Path, database: str, as_json: bool, prefix: str, seconds: float, toolchain: str = "") -> None:
    """Find out who is to blame for a minimized finding, record it, and print the verdict and its evidence. The
    experiments are made in the toolchain of the finding's campaign; what another one gives is only printed, since it
    may not have the defect at all."""
    from fuzzer import cli_text
    from fuzzer.blaming import Blamer
    from fuzzer.dossier import redraft
    from fuzzer.screen import to_json
    from fuzzer.supervisor import Worker
    from oracles.blame import summary

    with _open(corpus, database) as store:
        finding = store.find(prefix)
        if not finding.bucket or not finding.minimized_object:
            raise UsageError(
                f"finding {finding.id} is not minimized: it is {finding.state}",
                f"`convfuzz resume {finding.campaign}` goes on with it",
            )
        own = str(store.load_campaign(finding.campaign).config.get("toolchain", ""))
        recorded = toolchain in ("", own)
        with interpreter(toolchain or own) as python:
            worker = Worker(python=python)
            try:
                verdict = Blamer(worker, seconds).blame(finding, store.objects.get(finding.minimized_object))
            finally:
                worker.close()
        if recorded:
            store.set_blame(finding.id, verdict)
            redraft(store, store.find(finding.id))
    if as_json:
        print(to_json({"finding": finding.id, "blame": verdict, "recorded": recorded}))
        return
    console = terminal()
    console.print(f"{finding.id[: cli_text.SHORT]}  to blame: {summary(verdict)}", markup=False, soft_wrap=True)
    console.print(cli_text.evidence_table(verdict))
    if not recorded:
        print(f"not recorded: the finding is of {f'toolchain {own}' if own else 'the packages here'}")


def reproduce(corpus: Path, database: str, prefix: str, runs: int, deadline: float, toolchain: str = "") -> bool:
    """Run a finding's reproducer in fresh processes, its output shown. Returns whether the defect showed in any."""
    from fuzzer.cli_text import clean

    with _open(corpus, database, write=False) as store:
        finding = store.find(prefix)
        if not finding.reproducer_object:
            raise UsageError(
                f"finding {finding.id} has no reproducer: it is {finding.state}",
                f"`convfuzz resume {finding.campaign}` goes on with it",
            )
        script = store.objects.get(finding.reproducer_object)
    from oracles.verification import verify

    shown = 0
    with interpreter(toolchain) as python:
        for number in range(1, runs + 1):
            print(f"--- run {number} of {runs}", flush=True)
            done = verify(script.decode(), 1, deadline=deadline, python=python)
            shown += done.failures
            print("".join(clean(output) for output in done.outputs).rstrip(), flush=True)
            print(f"--- {_meaning(done.statuses[0])}", flush=True)
    print(f"the defect showed in {shown} of {runs} runs")
    return shown > 0


def replay(corpus: Path, database: str, as_json: bool, prefix: str, index: int, toolchain: str = "") -> bool:
    """Generate and judge a batch again and print what is seen. Returns whether any bug was."""
    from fuzzer.cli_harvest import require
    from fuzzer.config import CampaignConfig
    from fuzzer.screen import PlainLines, listener_for, to_json

    console = terminal()
    with _open(corpus, database, write=False) as store:
        campaign = store.load_campaign(prefix)
        batch = store.batch(campaign.id, index)
        require(batch.issued.harvest)
        from fuzzer import campaign as campaigns  # only now: what is asked for exists

        config = CampaignConfig.from_builtins(campaign.config)
        if toolchain:
            config = msgspec.structs.replace(config, toolchain=toolchain)
        with interpreter(config.toolchain):
            _warn_of_other_versions(campaign, versions_of(batch.issued.converter))
        listener = listener_for(console, store.directory, as_json=True) if as_json else PlainLines(console, corpus)
        result = campaigns.replay(store, campaign.id, index, listener, config)
    bugs = 0
    for case in sorted(result.results, key=lambda case: case.number):
        bugs += any(seen.verdict == "bug" for seen in case.seen)
        if as_json:
            print(to_json(_case_record(case)))
        else:
            for line in _case_lines(case):
                console.print(line, soft_wrap=True, markup=False, highlight=False)
    if not as_json:
        was = ", ".join(f"{count} {name}" for name, count in sorted(batch.verdicts.items())) or "not judged yet"
        console.print(f"{bugs} of {batch.issued.cases} cases show a bug; recorded: {was}", highlight=False)
    return bugs > 0


def coverage(corpus: Path, database: str, as_json: bool, prefix: str, converter: str) -> None:
    """Print what the judged batches exercised: of all campaigns and converters, or of those named."""
    from fuzzer import cli_coverage
    from fuzzer.screen import to_json

    with _open(corpus, database, write=False) as store:
        campaigns = [store.load_campaign(prefix)] if prefix else store.campaigns()
        chosen = campaigns[0].id if prefix else None
        report = store.coverage(campaign=chosen, converter=converter or None)
        if not report.converters:
            everything = store.coverage(campaign=chosen).converters if converter else {}
            counted = sorted({name for names in everything.values() for name in names})
            if counted:
                raise UsageError(f"nothing was counted for a converter {converter!r}", f"for: {', '.join(counted)}")
            where = f"campaign {chosen}" if chosen else f"the corpus {corpus}"
            raise UsageError(f"{where} has no judged batch with coverage", "`convfuzz fuzz` or `convfuzz resume` first")
    known = {name: registered(name) for name in report.converters}
    if as_json:
        record = cli_coverage.as_record(report, known)
        print(to_json({"campaigns": [campaign.id for campaign in campaigns], **record}))
        return
    one = f"campaign {campaigns[0].id}"
    of = one if len(campaigns) == 1 else f"{len(campaigns)} campaigns"
    through = f", through {converter}" if converter else ""
    terminal().print(cli_coverage.rendered(report, known, [f"coverage of {of}{through}"]))


# -- helpers -----------------------------------------------------------------------------------------------------


def _open(corpus: Path, database: str, *, create: bool = False, write: bool = True) -> Store:
    from corpus.store import Store

    return Store.open(corpus, create=create, write=write, database=database)


def _run(store: Store, campaign: Campaign, config: CampaignConfig, as_json: bool) -> bool:
    from fuzzer import campaign as campaigns
    from fuzzer.cli_harvest import require
    from fuzzer.screen import listener_for

    require(config.harvest)
    listener = listener_for(terminal(), store.directory, as_json=as_json)
    try:
        return bool(campaigns.run(store, campaign.id, config, listener).verified)
    finally:
        listener.close()


def _warn_of_other_versions(campaign: Campaign, now: dict[str, str]) -> None:
    changed = [
        f"{name} {campaign.versions[name]} -> {now[name]}"
        for name in sorted(now.keys() & campaign.versions.keys())
        if now[name] != campaign.versions[name]
    ]
    if changed:
        print(f"warning: versions changed since campaign {campaign.id} began: {', '.join(changed)}", file=sys.stderr)


def _meaning(status: int | None) -> str:
    """What it means that a reproducer ended so, in words."""
    if status is None:
        return "did not end in time: nothing shown"
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        return f"killed by {name}: nothing shown"
    words = {0: "the defect does not show", 1: "the defect shows"}
    return f"exit status {status}: {words.get(status, 'something else went wrong, as the output says')}"


def _case_record(case: CaseResult) -> dict[str, Any]:
    return {
        "case": case.number,
        "nodes": case.nodes,
        "refused": case.refused,
        "seen": [
            {"signature": _signature(seen), "verdict": seen.verdict, "settings": seen.settings, "message": seen.message}
            for seen in case.seen
        ],
    }


def _case_lines(case: CaseResult) -> Iterable[str]:
    from fuzzer.cli_text import one_line

    name = f"case {case.number}" if case.number >= 0 else "several cases together"
    if case.refused:
        yield f"{name}: not used: {one_line(case.refused, 120)}"
    counted = Counter((seen.verdict, _signature(seen), one_line(seen.message, 160)) for seen in case.seen)
    for (verdict, signature, message), count in counted.items():
        times = f" ({count} variants)" if count > 1 else ""
        yield f"{name}: {verdict}: {one_line(signature, 200)}{times}: {message}"
    if not case.refused and not case.seen:
        yield f"{name}: pass"


def _signature(seen: Seen) -> str:
    return " · ".join(part for part in (seen.stage, seen.component, seen.kind, seen.detail) if part)
