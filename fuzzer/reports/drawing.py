"""Pictures of graphs as SVG: operators in layers from top to bottom, drawn without any other program.

The layers are those of K. Sugiyama, S. Tagawa and M. Toda, Methods for visual understanding of hierarchical system
structures, IEEE SMC 11, 1981: longest paths, dummies where an edge passes a layer, and sweeps that order each layer by
the mean place of its neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from markupsafe import Markup

from fuzzer.pictures import Box, Picture

#: Pixels of a character of a label and of a detail, of a line, between boxes and between layers, around all.
_LABEL, _DETAIL, _LINE, _GAP, _BETWEEN, _MARGIN = 7.4, 6.3, 15.0, 18.0, 34.0, 6.0
#: Characters of a line; the rest is in the tooltip.
_WIDEST = 30
_SWEEPS = 6


@dataclass
class _Place:
    """A box, or with None the dummy of an edge, in a layer. ``x`` is the middle, ``y`` the top."""

    box: Box | None
    layer: int = 0
    lines: tuple[str, ...] = ()
    width: float = 2.0
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


def svg(picture: Picture, label: str) -> Markup:
    """The picture as an ``svg`` element that is styled by classes; ``label`` is what a screen reader says before the
    names of the operators. Empty for a picture without boxes."""
    if not picture.boxes:
        return Markup("")
    places, edges = _placed(picture)
    width = max(place.x + place.width / 2 for place in places) + _MARGIN
    height = max(place.y + place.height for place in places) + _MARGIN
    spoken = f"{label}: {', '.join(box.label for box in picture.boxes if box.kind == 'node')}"
    parts = [
        f'<svg role="img" aria-label="{escape(spoken)}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" class="graph">'
    ]
    parts += [_path([places[number] for number in chain]) for chain in edges]
    parts += [_drawn(place, picture.types) for place in places if place.box is not None]
    parts.append("</svg>")
    return Markup("".join(parts))


def _placed(picture: Picture) -> tuple[list[_Place], list[list[int]]]:
    """All places, and the chains of places (a box, dummies, a box) of the edges."""
    boxes = picture.boxes
    makers = {name: number for number, box in enumerate(boxes) for name in box.makes}
    layers = [0] * len(boxes)
    sources = [
        list(dict.fromkeys(makers[name] for name in box.uses if name in makers and makers[name] != number))
        for number, box in enumerate(boxes)
    ]
    for number, box in enumerate(boxes):
        if box.kind in ("node", "output"):
            layers[number] = 1 + max((layers[source] for source in sources[number]), default=0)
    last = max(layers)
    for number, box in enumerate(boxes):
        users = [layers[user] for user, of in enumerate(sources) if number in of]
        if box.kind in ("input", "constant"):
            # Beside the first operator that uses it, so that edges are short.
            layers[number] = min(users, default=1) - 1
        elif box.kind == "output":
            layers[number] = last
    places = [_sized(_Place(box, layers[number]), picture.types) for number, box in enumerate(boxes)]
    edges: list[list[int]] = []
    for number, of in enumerate(sources):
        for source in of:
            chain = [source]
            for layer in range(layers[source] + 1, layers[number]):
                places.append(_Place(None, layer))
                chain.append(len(places) - 1)
            chain.append(number)
            for upper, lower in itertools.pairwise(chain):
                places[upper].below.append(lower)
                places[lower].above.append(upper)
            edges.append(chain)
    rows = [[number for number, place in enumerate(places) if place.layer == layer] for layer in range(last + 1)]
    _order(rows, places)
    _spread(rows, places)
    return places, edges


def _sized(place: _Place, types: Mapping[str, str]) -> _Place:
    box = place.box
    assert box is not None
    kinds = ", ".join(types[name] for name in box.makes if name in types) if box.kind == "node" else ""
    lines = [box.label, box.detail, f"→ {kinds}" if kinds else ""]
    place.lines = tuple(line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…" for line in lines if line)
    widths = [len(line) * (_DETAIL if number else _LABEL) for number, line in enumerate(place.lines)]
    place.width = max(widths, default=0) + 18
    place.height = len(place.lines) * _LINE + 9
    return place


def _order(rows: list[list[int]], places: list[_Place]) -> None:
    """Sort each row by the mean place of its neighbours in the row before, down and up, several times."""
    rank = {number: place for row in rows for place, number in enumerate(row)}
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):

            def mean(number: int, down: bool = down) -> float:
                near = places[number].above if down else places[number].below
                return sum(rank[other] for other in near) / len(near) if near else float(rank[number])

            row.sort(key=lambda number: (mean(number), rank[number]))
            rank.update((number, place) for place, number in enumerate(row))


def _spread(rows: list[list[int]], places: list[_Place]) -> None:
    """Give each place its coordinates: near the middle of its neighbours, without overlap."""
    for row in rows:
        x = 0.0
        for number in row:
            places[number].x = x + places[number].width / 2
            x += places[number].width + _GAP
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = []
            for number in row:
                near = places[number].above if sweep % 2 == 0 else places[number].below
                near = near or places[number].above or places[number].below
                wanted.append(sum(places[other].x for other in near) / len(near) if near else places[number].x)
            _settle(row, places, wanted)
    left = min(place.x - place.width / 2 for place in places) - _MARGIN
    y = _MARGIN
    for row in rows:
        tallest = max((places[number].height for number in row), default=0.0)
        for number in row:
            places[number].x -= left
            # What is lower than its row is in the middle of it; an edge passes through all of it.
            inner = places[number].box is not None
            places[number].y = y + (tallest - places[number].height) / 2 if inner else y
            places[number].height = places[number].height if inner else tallest
        y += tallest + _BETWEEN


def _settle(row: list[int], places: list[_Place], wanted: list[float]) -> None:
    """Move the places of a row to where they want to be, as far as their order and gaps allow."""

    def gap(first: int, second: int) -> float:
        return (places[first].width + places[second].width) / 2 + _GAP

    right: list[float] = []
    for place, number in enumerate(row):
        right.append(wanted[place] if not place else max(wanted[place], right[-1] + gap(row[place - 1], number)))
    left = list(wanted)
    for place in range(len(row) - 2, -1, -1):
        left[place] = min(wanted[place], left[place + 1] - gap(row[place], row[place + 1]))
    # Both respect the gaps, and so does their mean.
    for number, one, other in zip(row, left, right, strict=True):
        places[number].x = (one + other) / 2


def _path(chain: list[_Place]) -> str:
    start, end = chain[0], chain[-1]
    x, y = start.x, start.y + start.height
    commands = [f"M{x:.1f} {y:.1f}"]
    for place in chain[1:]:
        middle = (y + place.y) / 2
        commands.append(f"C{x:.1f} {middle:.1f} {place.x:.1f} {middle:.1f} {place.x:.1f} {place.y:.1f}")
        x, y = place.x, place.y
        if place.box is None:
            y += place.height
            commands.append(f"L{x:.1f} {y:.1f}")
    head = f"M{end.x - 4:.1f} {end.y - 6:.1f}L{end.x:.1f} {end.y:.1f}L{end.x + 4:.1f} {end.y - 6:.1f}"
    return f'<path class="edge" d="{"".join(commands)}"/><path class="edge" d="{head}"/>'


def _drawn(place: _Place, types: Mapping[str, str]) -> str:
    box = place.box
    assert box is not None
    left = place.x - place.width / 2
    round_corner = 4 if box.kind == "node" else place.height / 2
    kinds = ", ".join(types[name] for name in box.makes if name in types)
    told = "\n".join(
        line for line in (box.label, box.detail, f"→ {kinds}" if kinds and box.kind == "node" else "") if line
    )
    lines = "".join(
        f'<text class="{"detail" if number else "label"}" x="{place.x:.1f}" '
        f'y="{place.y + 5 + (number + 0.75) * _LINE:.1f}">{escape(line)}</text>'
        for number, line in enumerate(place.lines)
    )
    return (
        f'<g class="{box.kind}"><title>{escape(told)}</title><rect x="{left:.1f}" y="{place.y:.1f}" '
        f'width="{place.width:.1f}" height="{place.height:.1f}" rx="{round_corner:.1f}"/>{lines}</g>'
    )
