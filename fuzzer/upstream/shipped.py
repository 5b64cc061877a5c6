"""Drafts of issues about the defects that are shipped: what is known by hand, and what is seen of them here."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from corpus.records import Batch, Finding, FindingState
from corpus.regressions import Kept, Regression
from corpus.store import Store
from corpus.versions import Showing
from fuzzer.checking import record as judge
from fuzzer.checking import routes_of
from fuzzer.config import CampaignConfig
from fuzzer.errors import UsageError
from fuzzer.importing import Imported, read_model
from fuzzer.installed_versions import versions_of
from fuzzer.laboratory import run
from fuzzer.routes import Route
from fuzzer.runtimes.base import runtimes
from fuzzer.upstream.draft import Draft, compose
from fuzzer.upstream.environment import collected, environment
from fuzzer.upstream.facts import Facts, facts
from fuzzer.upstream.known_issues import KnownIssue, known_issues
from fuzzer.upstream.projects import Project, named, of_component
from generators.graph import node_count
from generators.serial import dumps
from oracles.minimize import needs_special
from oracles.outcome import Kind, Signature, Stage, Symptom

#: How a script tells of an exception.
_RAISED = "expected no exception, got "


def project_for(one: Kept) -> Project:
    """The project that a defect is for: the one that its record names, else that of its component. UsageError when no
    template is."""
    if one.record.project:
        return named(one.record.project)
    project = of_component(one.record.component)
    if project is None:
        raise UsageError(f"no template is for findings of {one.record.component}", "choose a project with --to")
    return project


def draft(one: Kept, project: Project, known: Path | None = None, *, collect: bool = True) -> Draft:
    """The draft of an issue about a defect that is shipped.

    Its script is run once, and its model is judged along its route, in a corpus that is thrown away: values, float64's
    and the bound on rounding are those of here. Where that finds something else, the person is told so, and the draft
    rests on the record and on what the script writes. ``known`` is a list of known issues, ``collect`` as in
    :func:`fuzzer.upstream.draft.draft`. UsageError when the defect does not show here.
    """
    done = run(one.script, sys.executable)
    if done.showing is not Showing.SHOWS:
        raise UsageError(
            f"{one.name} does not show here: {done.showing}{f' ({done.detail})' if done.detail else ''}",
            f"`convfuzz rerun --regressions {one.name} --toolchain NAME` runs it with other versions",
        )
    with tempfile.TemporaryDirectory(prefix="convfuzz-draft-") as directory:
        # Under its own name, since that is what an importer tells of it.
        script = Path(directory) / f"{one.name}.py"
        script.write_text(one.script, encoding="utf-8")
        imported = read_model(str(script))
        with Store.open(Path(directory) / "corpus", create=True) as store:
            finding, otherwise = _finding(store, one, imported, done.output)
            found = _with_record(facts(store, finding, known_issues(store, known)), one, otherwise)
    here = environment(project.distributions)
    text = collected(project.collect, here.installed) if project.collect and collect else ""
    return compose(found, project, here, text)


def _with_record(found: Facts, one: Kept, otherwise: str) -> Facts:
    """The facts with what the record adds, and what was found in place of it."""
    record = one.record
    link = KnownIssue(link=record.known[0], title=record.title) if record.known and not found.related else None
    return msgspec.structs.replace(
        found,
        regression=one.name,
        cause=record.cause,
        data=record.severity,
        otherwise=otherwise,
        related=link or found.related,
        known=found.known or ", ".join(record.known),
    )


def _finding(store: Store, one: Kept, imported: Imported, output: str) -> tuple[Finding, str]:
    """What judging the case along its route finds, as the verified finding that it once was, and in words what else it
    finds where that is not what the record tells. Then the finding is made of the record and the script's ``output``.
    """
    record = one.record
    route = _route(record, routes_of(imported.case.graph.frontend, [record.converter]))
    versions = versions_of(route.converter, *([route.runtime] if record.runtime else []))
    config = CampaignConfig(seed=0, graphs=0, model=one.name)
    campaign = store.create_campaign(0, config.to_builtins(), versions)
    judge(store, campaign, config, imported, [route], record.settings)
    found = store.list_findings(campaign=campaign.id)
    same = [item for item in found if _matches(item, record)]
    otherwise = ""
    if not same:
        seen = "; ".join(f"{item.symptom}, {item.signature.stage}, {item.signature.component}" for item in found)
        otherwise = f"{seen or 'no finding'} in place of {record.symptom}, {record.stage}, {record.component}"
    finding = (
        min(same, key=lambda item: (item.signature.stage != record.stage, item.id))
        if same
        else _recorded(store.batch(campaign.id, 0), record, output)
    )
    case = imported.case
    # Runs that are on record are of the same versions, or tell of others.
    before = sum(seen.runs for seen in record.seen if seen.shows and _agree(seen.versions, versions))
    finished = msgspec.structs.replace(
        finding,
        title=record.title,
        minimized_object=store.objects.put(dumps(case)),
        reproducer_object=store.objects.put(one.script.encode()),
        needs_special=needs_special(case),
        nodes=node_count(case.graph),
        runs=before + 1,
        failures=before + 1,
    )
    return finished, otherwise


def _recorded(batch: Batch, record: Regression, output: str) -> Finding:
    """The finding that a record tells of. An exception's message is what the script wrote of it."""
    symptom = Symptom(record.symptom)
    if symptom is Symptom.CRASH:
        kind, message = Kind.EXCEPTION, output.rpartition(_RAISED)[2].strip() or record.title
    elif symptom is Symptom.INVALID_MODEL:
        kind, message = Kind.INVALID, record.title.rpartition("invalid: ")[2]
    else:
        special = re.search(r"(?:expected|got) [-+]?(?:nan|inf)", record.title)
        shape = " of shape " in record.title
        kind, message = Kind.SHAPE if shape else Kind.NONFINITE if special else Kind.VALUE, record.title
    issued = batch.issued
    return Finding(
        id="recorded",
        campaign=batch.campaign,
        batch=issued.index,
        case=0,
        signature=Signature(Stage(record.stage), record.component, kind),
        symptom=symptom,
        frontend=issued.frontend,
        converter=issued.converter,
        converter_settings=issued.settings,
        settings=(),
        message=message,
        numbers={},
        state=FindingState.VERIFIED,
        created=0.0,
        case_object="",
    )


def _route(record: Regression, routes: Sequence[Route]) -> Route:
    """The route that shows it: its runtime is named, or has a variant of the name. Where a converter fails, any."""
    variant = record.runtime.rpartition(" ")[2]
    for route in routes:
        if route.runtime == record.component or variant in runtimes()[route.runtime].variants:
            return route
    return routes[0]


def _matches(finding: Finding, record: Regression) -> bool:
    return (finding.signature.component, str(finding.symptom)) == (record.component, record.symptom)


def _agree(first: dict[str, str], second: dict[str, str]) -> bool:
    """Whether versions are the same as far as both tell; of torch's, what is behind a plus tells of the build."""
    plain = [{name: number.partition("+")[0] for name, number in versions.items()} for versions in (first, second)]
    return all(plain[1].get(name, number) == number for name, number in plain[0].items())
