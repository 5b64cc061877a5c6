"""What `convfuzz report` does."""

from __future__ import annotations

from pathlib import Path

from fuzzer.cli_text import relative


def report(
    corpus: Path, database: str, of: str, output: Path, known: Path | None, *, convert: bool, collect: bool
) -> None:
    """Write the report of a corpus, or of one campaign, to a file. ``of`` is the directory of a corpus, or the
    first digits of a campaign's id."""
    from corpus.records import Finding
    from corpus.store import Store
    from fuzzer.cli_output import write
    from fuzzer.dossier import draw
    from fuzzer.pictures import Picture
    from fuzzer.reports.findings import as_html, entries
    from fuzzer.supervisor import Worker
    from fuzzer.upstream.known_issues import known_issues

    prefix = of
    if of and Path(of).is_dir():
        corpus, prefix = Path(of), ""
    workers: dict[str, Worker] = {}
    with Store.open(corpus, write=convert, database=database) as store:

        def drawn(finding: Finding) -> Picture:
            return draw(store, finding, workers.setdefault(finding.frontend, Worker()))

        campaigns = [store.load_campaign(prefix)] if prefix else store.campaigns()
        summaries = [store.summary(one.id) for one in campaigns]
        buckets = summaries[0].buckets if prefix else store.all_buckets()
        try:
            found, suppressed = entries(
                store, buckets, known_issues(store, known), convert=drawn if convert else None, collect=collect
            )
        finally:
            for worker in workers.values():
                worker.close()
    write(output, as_html(found, suppressed, campaigns, sum(one.cases for one in summaries)))
    print(f"written: {relative(output)} ({len(found)} findings)")
