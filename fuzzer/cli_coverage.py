"""Coverage as text for people and as JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from corpus.records import VARIANT, ArgumentCount, CellCount, CoverageReport, Outcome, ProfileCount
from fuzzer.cli_profiles import at_zero, by_frontend, profile_table
from fuzzer.cli_text import clean
from fuzzer.converters.base import Converter, converters
from fuzzer.coverage import setting_text
from fuzzer.profile_cells import reason
from fuzzer.runtimes.base import runtimes
from generators.motifs import CUT, KINDS, names
from generators.structures import possible_names

#: Names listed before the rest is only counted, and rows of the table of argument classes for each frontend.
_LISTED = 24
_ROWS = 8


def as_record(report: CoverageReport, registered: Mapping[str, Sequence[str] | None]) -> dict[str, Any]:
    """Everything that was counted, for JSON. ``registered`` gives the targets of each frontend, None where they could
    not be had."""
    return {
        "converters": report.converters,
        "sequences": [{**msgspec.to_builtins(row), "unseen": row.unseen} for row in report.sequences],
        "operators": {
            frontend: {"drawn": counts, "never_drawn": never_drawn(counts, registered.get(frontend))}
            for frontend, counts in report.drawn.items()
        },
        "structures": {name: structures(counts, name) for name, counts in report.structures.items()},
        "profiles": report.profiles,
        "profiles_at_zero": {
            name: [list(cell) for cell in at_zero(name, counts)]
            for name, counts in by_frontend(report.profiles).items()
        },
        "options": options(report),
        "cells": report.cells,
        "never_succeeded": {
            converter: list(never_succeeded(cells)) for converter, cells in _by_converter(report.cells).items()
        },
        "arguments": report.arguments,
    }


def never_drawn(drawn: Mapping[str, int], registered: Sequence[str] | None) -> list[str] | None:
    """The registered targets that no graph had; None when it is not known which are registered."""
    return None if registered is None else [target for target in registered if target not in drawn]


def structures(counted: Mapping[str, int], frontend: str) -> dict[str, int]:
    """Graphs by what they are built of: all that there is to count, in a fixed order, also what no graph had; then what
    is counted under other names (of a version that has more)."""
    kinds = (*(f"mutation {name}" for name in KINDS),) if names(frontend) else ()
    motifs = [f"motif {name}" for name in names(frontend)]
    known = dict.fromkeys(("graph", "graph with a motif", *possible_names(frontend), *motifs, *kinds), 0)
    return {**known, **counted}


def options(report: CoverageReport) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    """Cases by converter, option, setting and outcome, those of runtime variants under the option "runtime": all that
    is ever drawn, also what no case had (nothing is counted there), then what another version drew."""
    counted: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
    installed = converters()
    for name in dict.fromkeys(row.converter for row in report.options):
        counted[name] = _drawn(installed[name]) if name in installed else {}
    for row in report.options:
        counted[row.converter].setdefault(row.option, {}).setdefault(row.setting, {})[row.outcome] = row.count
    return counted


def _drawn(converter: Converter) -> dict[str, dict[str, dict[str, int]]]:
    """Every setting of every option, and every runtime variant, that batches of a converter may have."""
    drawn: dict[str, dict[str, dict[str, int]]] = {
        option.name: {setting_text(value): {} for value in option.drawn} for option in converter.options
    }
    variants = [
        f"{runtime.name} {variant}"
        for runtime in runtimes().values()
        if runtime.format is converter.target and runtime.availability().available
        for variant in runtime.variants
    ]
    return {**drawn, VARIANT: {variant: {} for variant in variants}}


def never_succeeded(cells: Sequence[CellCount]) -> dict[str, int]:
    """Operators no case of which succeeded under any variant, with how many cases had one; the most frequent first."""
    cases: dict[str, int] = {}
    succeeded = set()
    for cell in cells:
        if cell.outcome == Outcome.STARTED:
            cases[cell.operator] = cases.get(cell.operator, 0) + cell.count
        elif cell.outcome == Outcome.SUCCESS:
            succeeded.add(cell.operator)
    left = [operator for operator in cases if operator not in succeeded]
    return {operator: cases[operator] for operator in sorted(left, key=lambda name: (-cases[name], name))}


def rendered(
    report: CoverageReport, registered: Mapping[str, Sequence[str] | None], of: Sequence[str]
) -> RenderableType:
    """The report as tables and lists. ``of`` says what it is about, a line each."""
    parts: list[RenderableType] = [Text(line) for line in of]
    parts.append(_sequence_table(report))
    for frontend, counts in report.drawn.items():
        parts += _operator_lines(frontend, counts, registered.get(frontend))
    if any(report.structures.values()):
        parts.append(_structure_table(report.structures))
    for frontend, rows in by_frontend(report.profiles).items():
        parts += _profiles(frontend, rows)
    if report.options:
        parts.append(_option_table(options(report)))
    parts.append(_cell_table(report.cells))
    for converter, cells in _by_converter(report.cells).items():
        names = [f"{name} ({count})" for name, count in never_succeeded(cells).items()]
        if names:
            parts.append(Text(f"{converter}: in no case that succeeded (cases that had it):"))
            parts += [_names(names), Text()]
    if report.arguments:
        parts.append(_argument_table(report))
    return Group(*parts)


def _profiles(frontend: str, counts: Sequence[ProfileCount]) -> Iterator[RenderableType]:
    yield profile_table(frontend, counts)
    if missing := at_zero(frontend, counts):
        yield Text(f"{clean(frontend)}: {len(missing):,} profiles × dtypes × families at zero (operands of others):")
        for why, number in Counter(reason(count) for *_, count in missing).most_common():
            yield Padding(Text(f"{number:,} {why}"), (0, 0, 0, 2), expand=False)
        yield _names([f"{' × '.join(filter(None, cell))} ({count:,})" for *cell, count in missing])
        yield Text()


def _sequence_table(report: CoverageReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)  # numbers of nine digits fit
    table.add_column("sequences", no_wrap=True)
    for name in ("length", "occurrences", "distinct", "once", "unseen"):
        table.add_column(name, justify="right")
    before = ""
    for row in report.sequences:
        name = f"{row.vocabulary} {row.side}s"
        numbers = (f"{number:,}" for number in (row.length, row.total, row.distinct, row.once))
        table.add_row(Text("" if name == before else clean(name)), *numbers, f"{100 * row.unseen:.1f}%")
        before = name
    return table


def _operator_lines(
    frontend: str, drawn: Mapping[str, int], registered: Sequence[str] | None
) -> Iterator[RenderableType]:
    never = never_drawn(drawn, registered)
    if registered is None or never is None:
        yield Text(f"{frontend}: {len(drawn)} operators drawn; how many there are is not known without the framework")
    else:
        count = sum(target in drawn for target in registered)
        yield Text(f"{frontend}: {count} of {len(registered)} operators drawn{'; never drawn:' if never else ''}")
        if never:
            yield _names(never)


def _structure_table(report: Mapping[str, Mapping[str, int]]) -> Table:
    """How many graphs have each structure, motif and mutation, by frontend; of motifs, also how many were cut short."""
    counted = {frontend: structures(counts, frontend) for frontend, counts in report.items() if counts}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("graphs with", overflow="fold")
    for frontend in counted:
        table.add_column(clean(frontend), justify="right")
    for name in dict.fromkeys(name for counts in counted.values() for name in counts):
        if name.endswith(CUT):
            continue
        row = []
        for counts in counted.values():
            cut = counts.get(name + CUT, 0)
            text = f"{counts[name] + cut:,}" if name in counts else ""
            row.append(f"{text} ({cut:,} cut short)" if cut else text)
        table.add_row(Text(clean(name)), *row)
    return table


def _option_table(counted: Mapping[str, Mapping[str, Mapping[str, Mapping[str, int]]]]) -> Table:
    """How many cases each setting had, and what they came to."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("option\n  setting", no_wrap=True)
    table.add_column("cases", justify="right")
    table.add_column("came to", overflow="fold")
    for converter, found in counted.items():
        for option, settings in found.items():
            table.add_row(Text(clean(f"{converter}  {option}")), "", "")
            for setting, outcomes in settings.items():
                count = outcomes.get(Outcome.STARTED, sum(outcomes.values()))
                met = (f"{outcomes[step]:,} {step}" for step in Outcome if step in outcomes)
                words = ", ".join(word for word in met if not word.endswith(Outcome.STARTED))
                table.add_row(Text(clean(f"  {setting}")), f"{count:,}", words)
    return table


def _cell_table(cells: Sequence[CellCount]) -> Table:
    """How many cells (node keys) met each outcome at least once, by converter and runtime variant."""
    counts: dict[tuple[str, str, str], dict[str, int]] = {}
    for cell in cells:
        row = counts.setdefault((cell.frontend, cell.converter, cell.variant), {})
        row[cell.outcome] = row.get(cell.outcome, 0) + 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("converter\n  runtime variant", no_wrap=True)
    table.add_column("operators × dtypes that met the outcome, alone or in company")
    for (frontend, converter, variant), row in sorted(counts.items()):
        met = ", ".join(f"{row[outcome]:,} {outcome}" for outcome in Outcome if outcome in row)
        name = f"  {variant}" if variant else f"{converter} ({frontend})"
        table.add_row(Text(clean(name)), met)
    return table


def _argument_table(report: CoverageReport) -> Table:
    """The operators whose arguments vary least: by the mean number of classes at a place."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("argument classes: the least varied", overflow="fold")
    for name in ("nodes", "places", "classes"):
        table.add_column(name, justify="right")
    for frontend, drawn in report.drawn.items():
        classes = _classes(report.arguments, frontend)
        ranked = sorted(
            classes, key=lambda name: (sum(classes[name].values()) / len(classes[name]), -drawn.get(name, 0), name)
        )
        for name in ranked[:_ROWS]:
            places = classes[name]
            row = (f"{drawn.get(name, 0):,}", str(len(places)), str(sum(places.values())))
            table.add_row(Text(clean(name)), *row)
    return table


def _classes(arguments: Sequence[ArgumentCount], frontend: str) -> dict[str, dict[str, int]]:
    """How many classes there were, by operator and place."""
    found: dict[str, dict[str, int]] = {}
    for row in arguments:
        if row.frontend == frontend:
            places = found.setdefault(row.operator, {})
            places[row.place] = places.get(row.place, 0) + 1
    return found


def _by_converter(cells: Sequence[CellCount]) -> dict[str, list[CellCount]]:
    found: dict[str, list[CellCount]] = {}
    for cell in cells:
        found.setdefault(cell.converter, []).append(cell)
    return found


def _names(names: Sequence[str]) -> RenderableType:
    """Names in a paragraph, the first of them when there are many."""
    more = len(names) - _LISTED
    rest = f", and {more} more (all with --json)" if more > 0 else ""
    return Padding(Text(clean(", ".join(names[:_LISTED])) + rest), (0, 0, 0, 2), expand=False)
