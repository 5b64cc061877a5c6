"""Cross tables of stages, symptoms and causes, with those of Study A beside them, and the funnel of each converter."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from corpus.records import FunnelRow, Outcome
from oracles.outcome import Stage, Symptom
from oracles.taxonomy import Cause, Classification

#: Study A (arXiv 2303.17708): 200 past failures of torch.onnx and tf2onnx. Its "build failure" and "unreported" are no
#: symptoms of a finding, which has been seen; stages of runtimes were none of its stages.
PAST_STAGES: Mapping[str, int] = {
    Stage.LOAD: 11,
    Stage.CONVERT: 148,
    Stage.OPTIMIZE: 19,
    Stage.EXPORT: 1,
    Stage.VALIDATE: 3,
    Stage.UNKNOWN: 18,
}
PAST_SYMPTOMS: Mapping[str, int] = {
    Symptom.CRASH: 112,
    Symptom.WRONG_MODEL: 65,
    Symptom.BAD_PERFORMANCE: 3,
    Symptom.HANG: 0,
    "build failure": 5,
    "unreported": 15,
}
PAST_CAUSES: Mapping[str, int] = {
    "incompatibility": 57,
    "type problem": 54,
    "algorithmic error": 24,
    "shape problem": 21,
    "API misuse": 12,
    "misconfiguration": 6,
    "testing": 4,
    "exception handling": 3,
    "typo": 3,
    "incorrect assignment": 2,
    "other": 14,
}
PAST_DETAILED: Mapping[str, int] = {
    Cause.EXTERNAL: 55,
    Cause.INTERNAL: 2,
    Cause.OPERATOR_TYPE: 46,
    Cause.VARIABLE_TYPE: 5,
    Cause.TENSOR_DTYPE: 3,
}
#: The cells of symptom × cause that it tells.
PAST_CELLS: Mapping[tuple[str, str], int] = {
    (Symptom.CRASH, "incompatibility"): 47,
    (Symptom.WRONG_MODEL, "type problem"): 30,
    (Symptom.WRONG_MODEL, "algorithmic error"): 13,
}
#: Steps of the funnel in the words of Study A's table.
FUNNEL: Mapping[str, tuple[Outcome, ...]] = {
    "started": (Outcome.STARTED,),
    "conversion refused": (Outcome.UNSUPPORTED,),
    "conversion failed": (Outcome.CONVERTER_FAILED,),
    "invalid": (Outcome.INVALID,),
    "runtime could not load": (Outcome.LOAD_FAILED,),
    "runtime failed": (Outcome.RUN_FAILED,),
    "mismatch": (Outcome.MISMATCH,),
    "inconclusive": (Outcome.INCONCLUSIVE,),
    "pass": (Outcome.SUCCESS,),
}


@dataclass(frozen=True)
class Table:
    """Numbers under ``columns``, one row each with a name; ``title`` says of what."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int | str, ...]], ...]


@dataclass(frozen=True)
class Report:
    """What is printed. ``indistinguishable`` is the share of findings of which nothing tells the stage."""

    counted: str
    findings: int
    indistinguishable: float
    campaigns: tuple[str, ...]
    tables: tuple[Table, ...]


def build(
    classified: Sequence[tuple[str, Classification]],
    funnel: Iterable[FunnelRow],
    *,
    counted: str,
    campaigns: Sequence[str],
) -> Report:
    """The report on findings, each with the converter of its route, and on the funnels of campaigns, which are added
    up."""
    found = [one for _, one in classified]
    unknown = sum(not one.distinguishable for one in found)
    names = sorted({name for name, _ in classified})
    tables = [
        _cross("stage × symptom", [(one.stage, one.symptom) for one in found], _STAGES, PAST_STAGES, PAST_SYMPTOMS),
        _cross(
            "symptom × cause",
            [(one.symptom, one.cause.group) for one in found],
            _SYMPTOMS,
            PAST_SYMPTOMS,
            PAST_CAUSES,
            PAST_CELLS,
        ),
        _cross("cause × converter", [(one.cause, name) for name, one in classified], _CAUSES, PAST_DETAILED),
        *(
            _cross(
                f"stage × symptom of {name}",
                [(one.stage, one.symptom) for other, one in classified if other == name],
                _STAGES,
            )
            for name in (names if len(names) > 1 else ())
        ),
        *(
            _cross(
                f"symptom × cause of {name}",
                [(one.symptom, one.cause.group) for other, one in classified if other == name],
                _SYMPTOMS,
            )
            for name in (names if len(names) > 1 else ())
        ),
        _rules(found),
        _funnel(funnel),
    ]
    share = unknown / len(found) if found else 0.0
    return Report(counted, len(found), share, tuple(campaigns), tuple(tables))


_STAGES, _SYMPTOMS, _CAUSES = [*map(str, Stage)], [*map(str, Symptom)], [*map(str, Cause)]
_PAST = "Study A"


def _cross(
    title: str,
    pairs: Sequence[tuple[str, str]],
    order: Sequence[str],
    past_rows: Mapping[str, int] | None = None,
    past_columns: Mapping[str, int] | None = None,
    past_cells: Mapping[tuple[str, str], int] | None = None,
) -> Table:
    """Counts of pairs. A last column (and row) has the counts of past failures where they are known; a cell of them
    stands in parentheses."""
    counts = Counter((str(row), str(column)) for row, column in pairs)
    present = {column for _, column in counts}
    columns = [name for name in _ORDER if name in present or name in (past_columns or {})]
    columns += sorted(present - set(columns))
    rows = [name for name in order if any(row == name for row, _ in counts) or name in (past_rows or {})]
    rows += [name for name in past_rows or {} if name not in rows]
    lines: list[tuple[str, tuple[int | str, ...]]] = []
    for row in rows:
        cells: list[int | str] = []
        for column in columns:
            past = (past_cells or {}).get((row, column))
            cells.append(counts[row, column] if past is None else f"{counts[row, column]} ({past})")
        cells.append(sum(counts[row, column] for column in columns))
        if past_rows is not None:
            cells.append(past_rows.get(row, "-"))
        lines.append((row, tuple(cells)))
    total: list[int | str] = [sum(counts[row, column] for row, _ in lines) for column in columns]
    total.append(len(pairs))
    if past_rows is not None:
        total.append(sum(past_rows.values()) if past_columns is not None else "-")
    lines.append(("all", tuple(total)))
    if past_columns is not None:
        lines.append((_PAST, (*(past_columns.get(column, "-") for column in columns), sum(past_columns.values()), "")))
    return Table(title, (*columns, "all", *([_PAST] if past_rows is not None else [])), tuple(lines))


_ORDER = tuple(dict.fromkeys((*_STAGES, *_SYMPTOMS, *PAST_SYMPTOMS, *PAST_CAUSES)))


def _rules(found: Sequence[Classification]) -> Table:
    counts = Counter(("stage", str(one.stage), one.stage_rule) for one in found)
    counts.update(("cause", str(one.cause), one.cause_rule) for one in found)
    lines = [
        (f"{what}: {rule}", (kind, count))
        for (what, kind, rule), count in sorted(counts.items(), key=lambda item: (item[0][0] != "stage", -item[1]))
    ]
    return Table("rules that decided", ("for", "findings"), tuple(lines))


def _funnel(funnel: Iterable[FunnelRow]) -> Table:
    """Cases of each converter, and below it of each runtime variant, by the step at which they ended."""
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for row in funnel:
        counts.setdefault((row.converter, row.frontend, row.variant), Counter()).update(row.counts)
    lines: list[tuple[str, tuple[int | str, ...]]] = []
    for (converter, frontend, variant), outcomes in sorted(counts.items()):
        name = f"- {variant}" if variant else f"{converter} ({frontend})"
        steps = (sum(outcomes[outcome] for outcome in members) for members in FUNNEL.values())
        lines.append((name, tuple(count or "" for count in steps)))
    return Table("funnel", tuple(FUNNEL), tuple(lines))


def as_text(report: Report) -> str:
    """Tables of aligned columns."""
    parts = [_headline(report)]
    for table in report.tables:
        lines = [["", *table.columns], *([name, *map(str, cells)] for name, cells in table.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
        parts += ["", table.title]
        parts += [
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
    return "\n".join(parts)


def as_markdown(report: Report) -> str:
    """Tables of Markdown under headings."""
    parts = ["# Stages, symptoms and causes", "", _headline(report)]
    for table in report.tables:
        parts += ["", f"## {table.title[0].upper()}{table.title[1:]}", ""]
        parts.append("| " + " | ".join(["", *table.columns]) + " |")
        parts.append("| --- |" + " ---: |" * len(table.columns))
        parts += ["| " + " | ".join([name, *map(str, cells)]) + " |" for name, cells in table.rows]
    return "\n".join(parts)


def as_json(report: Report) -> str:
    """One object; a table's rows by name, each by column."""
    record = asdict(report)
    record["tables"] = {
        table.title: {name: dict(zip(table.columns, cells, strict=True)) for name, cells in table.rows}
        for table in report.tables
    }
    return json.dumps(record)


def _headline(report: Report) -> str:
    of = f"{len(report.campaigns)} campaign{'' if len(report.campaigns) == 1 else 's'}"
    return (
        f"{report.findings} {report.counted} of {of}; {report.indistinguishable:.1%} indistinguishable by stage"
        f" ({_PAST}: {PAST_STAGES[Stage.UNKNOWN] / sum(PAST_STAGES.values()):.0%} of 200)"
    )


#: By the name that ``--format`` takes.
FORMATS: Mapping[str, Callable[[Report], str]] = {"text": as_text, "markdown": as_markdown, "json": as_json}
