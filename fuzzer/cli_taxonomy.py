"""What `convfuzz taxonomy` does."""

from __future__ import annotations

from pathlib import Path

from fuzzer.errors import UsageError


def taxonomy(corpus: Path, database: str, prefix: str, converter: str, kind: str, everything: bool) -> None:
    """Print cross tables of what was found, and the funnel: of verified buckets, each by its representative, or with
    ``everything`` of all findings; of all campaigns and converters, or of those named. UsageError for a format that
    there is not, and for a converter that nothing went through."""
    from corpus.records import FindingState
    from corpus.store import Store
    from fuzzer.reports.taxonomy import FORMATS, build

    if kind not in FORMATS:
        raise UsageError(f"there is no format {kind!r}", f"--format is one of {', '.join(FORMATS)}")
    with Store.open(corpus, write=False, database=database) as store:
        campaigns = [store.load_campaign(prefix)] if prefix else store.campaigns()
        summaries = [store.summary(campaign.id) for campaign in campaigns]
        funnel = [row for summary in summaries for row in summary.funnel]
        if converter and converter not in {row.converter for row in funnel}:
            names = ", ".join(sorted({row.converter for row in funnel})) or "nothing yet"
            raise UsageError(f"nothing went through a converter {converter!r}", f"what was used: {names}")
        if everything:
            listed = store.list_findings(campaign=campaigns[0].id if prefix else None)
        else:
            buckets = summaries[0].buckets if prefix else store.all_buckets()
            shown = [bucket.representative for bucket in buckets]
            listed = [finding for finding in shown if finding.state is FindingState.VERIFIED]
        chosen = [finding for finding in listed if converter in ("", finding.converter)]
        known = store.classes(chosen)
    report = build(
        [(finding.converter, known[finding.id]) for finding in chosen],
        [row for row in funnel if converter in ("", row.converter)],
        counted="findings" if everything else "verified defects",
        campaigns=[campaign.id for campaign in campaigns],
    )
    print(FORMATS[kind](report))
