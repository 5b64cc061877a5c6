"""What `convfuzz matrix` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fuzzer.errors import UsageError

if TYPE_CHECKING:
    from corpus.records import Finding
    from corpus.store import Store
    from generators.graph import Graph

_SUFFIXES = {".html": "html", ".htm": "html", ".md": "markdown", ".json": "json"}


def matrix(corpus: Path, database: str, prefix: str, converter: str, kind: str, output: Path | None) -> None:
    """Write the support matrix of all campaigns, or of one, to a file or to standard output. ``kind`` is one of the
    formats; without one the output's suffix tells it, and Markdown is written where nothing does."""
    from corpus.store import Store
    from fuzzer.cli_installed import registered
    from fuzzer.cli_output import write
    from fuzzer.reports.matrix import FORMATS, build
    from fuzzer.routes import routes

    chosen = kind or _SUFFIXES.get(output.suffix.lower() if output else ".md", "")
    if chosen not in FORMATS:
        given = f"the format {chosen!r}" if chosen else f"the suffix of {output}"
        raise UsageError(f"{given} is none that can be written", f"--format is one of {', '.join(FORMATS)}")
    with Store.open(corpus, write=False, database=database) as store:
        campaigns = [store.load_campaign(prefix)] if prefix else store.campaigns()
        campaign = campaigns[0].id if prefix else None
        report = store.coverage(campaign=campaign, converter=converter or None)
        if not report.converters:
            where = f"campaign {campaign}" if campaign else f"the corpus {corpus}"
            through = f" through {converter}" if converter else ""
            raise UsageError(
                f"{where} has no judged batch{through} with coverage", "`convfuzz fuzz` or `convfuzz resume` first"
            )
        found = list(_verified(store, campaign))
    versions: dict[str, str] = {}
    for one in campaigns:
        versions.update(one.versions)
    text = FORMATS[chosen](
        build(
            report,
            found,
            [(route.frontend, route.converter, route.runtime) for route in routes(available=False)],
            {name: registered(name) for name in report.converters},
            campaigns=[one.id for one in campaigns],
            versions=versions,
        )
    )
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    write(output, text)
    print(f"written: {output}")


def _verified(store: Store, campaign: str | None) -> Iterator[tuple[Finding, Graph]]:
    """Findings of verified buckets with their minimized graphs, under the id of what is shown for the bucket."""
    import msgspec

    from corpus.records import FindingState
    from generators.serial import loads

    buckets = store.summary(campaign).buckets if campaign else store.all_buckets()
    for bucket in buckets:
        shown = bucket.representative
        if shown.state is not FindingState.VERIFIED:
            continue
        for finding in store.list_findings(campaign=campaign, bucket=bucket.key):
            if finding.minimized_object:
                graph = loads(store.objects.get(finding.minimized_object)).graph
                yield msgspec.structs.replace(finding, id=shown.id), graph
