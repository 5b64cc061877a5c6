"""The support matrix: which operator works with which element types along which converter and runtime.

See docs/guide/matrix.md for what the statuses mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

from corpus.records import CellCount, CoverageReport, Finding, Outcome
from fuzzer.reports.page import page
from generators.graph import Graph
from generators.patterns import node_keys

#: Messages kept of one cell, findings kept of one cell.
_MESSAGES = _FINDINGS = 5


class Status(StrEnum):
    """Of a cell, the most telling one first."""

    DEFECT = "defect"
    OK = "ok"
    UNSUPPORTED = "unsupported"
    UNCLEAR = "unclear"
    UNTESTED = "untested"


class MatrixCell(msgspec.Struct, frozen=True):
    """What is known of an operator with these element types along a converter and a runtime.

    ``dtypes`` are those of the operands, separated by commas, and empty for an operator that was never drawn. ``cases``
    counts those that had it, ``succeeded`` those of them that went right. ``messages`` are what was said of an operator
    that is not supported, ``findings`` the ids of verified findings whose minimized graph has it.
    """

    frontend: str
    operator: str
    dtypes: str
    converter: str
    runtime: str
    status: Status
    cases: int = 0
    succeeded: int = 0
    messages: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


class Matrix(msgspec.Struct, frozen=True):
    """Cells, sorted, and what they are about: campaign ids and versions by distribution."""

    campaigns: tuple[str, ...]
    versions: dict[str, str]
    cells: tuple[MatrixCell, ...]

    def counts(self) -> dict[Status, int]:
        """How many cells have each status, all that there are in order."""
        found = dict.fromkeys(Status, 0)
        for cell in self.cells:
            found[cell.status] += 1
        return found


_Place: TypeAlias = "tuple[str, str, str, str]"


def build(
    report: CoverageReport,
    findings: Iterable[tuple[Finding, Graph]],
    routes: Sequence[tuple[str, str, str]],
    registered: Mapping[str, Sequence[str] | None],
    *,
    campaigns: Sequence[str] = (),
    versions: Mapping[str, str] | None = None,
) -> Matrix:
    """The matrix of what a report counted.

    ``findings`` are verified ones with their minimized graphs; ``routes`` names of frontend, converter and runtime to
    make columns of; ``registered`` the operators of each frontend, None where they are not known.
    """
    outcomes = _outcomes(report.cells)
    columns = [
        (frontend, converter, runtime)
        for frontend, converter, runtime in routes
        if converter in report.converters.get(frontend, ())
    ]
    said: dict[_Place, dict[str, None]] = {}
    for row in report.refusals:
        for _, converter, runtime in columns:
            if converter == row.converter and row.component in (converter, runtime):
                said.setdefault((row.frontend, row.key, converter, runtime), {})[row.what] = None
    accused = _accused(findings, columns)
    cells = []
    for frontend, converter, runtime in columns:
        keys = {key for place, key, _ in outcomes if place == frontend}
        keys |= {key for place, key, *_ in accused if place == frontend}
        drawn = {key.partition("(")[0] for key in keys}
        keys |= {name for name in registered.get(frontend) or () if name not in drawn}
        for key in sorted(keys):
            place = (frontend, key, converter, runtime)
            counts = outcomes.get((frontend, key, converter), {})
            cells.append(_cell(place, counts, list(said.get(place, {})), list(accused.get(place, {}))))
    return Matrix(tuple(campaigns), dict(versions or {}), tuple(cells))


def _outcomes(cells: Iterable[CellCount]) -> dict[tuple[str, str, str], dict[tuple[str, str], int]]:
    """Cases by runtime and outcome, for each frontend, key and converter."""
    found: dict[tuple[str, str, str], dict[tuple[str, str], int]] = {}
    for cell in cells:
        counts = found.setdefault((cell.frontend, cell.key, cell.converter), {})
        place = (cell.variant.partition(" ")[0], cell.outcome)
        # Several variants of a runtime see the same cases.
        counts[place] = max(counts.get(place, 0), cell.count)
    return found


def _accused(
    findings: Iterable[tuple[Finding, Graph]], columns: Sequence[tuple[str, str, str]]
) -> dict[_Place, dict[str, None]]:
    """Ids of findings by what they are about. A converter's concern all runtimes, a runtime's only itself."""
    found: dict[_Place, dict[str, None]] = {}
    for finding, graph in findings:
        for frontend, converter, runtime in columns:
            if (frontend, converter) != (finding.frontend, finding.converter):
                continue
            if finding.signature.component in (converter, runtime):
                for key in node_keys(graph):
                    found.setdefault((frontend, key, converter, runtime), {})[finding.id] = None
    return found


def _cell(place: _Place, counts: Mapping[tuple[str, str], int], messages: list[str], findings: list[str]) -> MatrixCell:
    frontend, key, converter, runtime = place
    cases = counts.get(("", Outcome.STARTED), 0)
    succeeded = counts.get((runtime, Outcome.SUCCESS), 0)
    status = Status.UNTESTED
    if findings:
        status = Status.DEFECT
    elif succeeded:
        status = Status.OK
    elif messages:
        status = Status.UNSUPPORTED
    elif cases:
        status = Status.UNCLEAR
    operator, _, dtypes = key.partition("(")
    return MatrixCell(
        frontend,
        operator,
        dtypes.removesuffix(")") or ("-" if "(" in key else ""),
        converter,
        runtime,
        status,
        cases,
        succeeded,
        tuple(messages[:_MESSAGES]) if status is Status.UNSUPPORTED else (),
        tuple(findings[:_FINDINGS]),
    )


# -- writing -----------------------------------------------------------------------------------------------------


def as_json(matrix: Matrix) -> str:
    """One object: ``campaigns``, ``versions``, ``cells``."""
    return msgspec.json.format(msgspec.json.encode(matrix), indent=1).decode() + "\n"


def as_markdown(matrix: Matrix) -> str:
    """A table for each frontend, a column for each converter and runtime; what is not supported, and why, below."""
    lines = ["# Support matrix", "", *(f"- {line}" for line in about(matrix)), ""]
    for frontend in dict.fromkeys(cell.frontend for cell in matrix.cells):
        own = [cell for cell in matrix.cells if cell.frontend == frontend]
        columns = list(dict.fromkeys((cell.converter, cell.runtime) for cell in own))
        rows: dict[tuple[str, str], dict[tuple[str, str], MatrixCell]] = {}
        for cell in own:
            rows.setdefault((cell.operator, cell.dtypes), {})[cell.converter, cell.runtime] = cell
        lines += [f"## {_escaped(frontend)}", ""]
        heads = [_escaped(f"{converter} / {runtime}") for converter, runtime in columns]
        lines += [_row(["operator", "element types", *heads]), _row(["---"] * (2 + len(heads)))]
        for (operator, dtypes), cells in sorted(rows.items()):
            words = [_word(cells[column]) if column in cells else "" for column in columns]
            lines.append(_row([_escaped(operator), _escaped(dtypes), *words]))
        reasons = [cell for cell in own if cell.messages]
        if reasons:
            lines += ["", "What is said of the unsupported:", ""]
        for cell in reasons:
            what = _escaped("; ".join(cell.messages))
            lines.append(f"- {_escaped(f'{cell.operator}({cell.dtypes})')}, {_escaped(cell.converter)}: {what}")
        lines.append("")
    return "\n".join(lines)


def _word(cell: MatrixCell) -> str:
    return f"{cell.status} {', '.join(cell.findings)}".strip()


def about(matrix: Matrix) -> list[str]:
    """What the matrix is about, in lines of text."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(matrix.versions.items()))
    counts = ", ".join(f"{count:,} {status}" for status, count in matrix.counts().items())
    named = ", ".join(matrix.campaigns)
    return [f"campaigns: {named or 'none'}", f"versions: {versions or 'not known'}", f"cells: {counts}"]


def _row(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"


def _escaped(text: str) -> str:
    """Text of others on one line of Markdown, without a meaning for it."""
    line = " ".join(text.split())
    line = "".join(letter if letter.isprintable() else "�" for letter in line)
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|~!&" else letter for letter in line)


def as_html(matrix: Matrix) -> str:
    """A page on its own: no other file, no network; filtered by text, status, frontend, converter and runtime."""
    choices: dict[str, Callable[[MatrixCell], str]] = {
        "frontend": lambda cell: cell.frontend,
        "converter": lambda cell: cell.converter,
        "runtime": lambda cell: cell.runtime,
    }
    offered = {name: sorted({of(cell) for cell in matrix.cells}) for name, of in choices.items()}
    return page(
        "matrix.html.j2",
        styles=("page.css.j2", "matrix.css.j2"),
        scripts=("filter.js.j2",),
        about=about(matrix),
        cells=matrix.cells,
        choices={**offered, "status": [str(status) for status in Status]},
    )


FORMATS: Mapping[str, Callable[[Matrix], str]] = {"html": as_html, "markdown": as_markdown, "json": as_json}
