"""What a batch exercised, counted where its cases are judged: sequences of operators, classes of arguments, outcomes.

See docs/guide/coverage.md for what the counts mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from corpus.records import VARIANT, Coverage, Outcome
from fuzzer.data_flow import Flow, flow_of, flows_of
from fuzzer.formats import Artifact, Setting, Settings
from fuzzer.profile_cells import OTHER
from fuzzer.quarantine import named
from generators.argument_classes import argument_class
from generators.frontends.base import frontend
from generators.graph import Argument, Graph, Node, Ref, Slice
from generators.patterns import target_of
from generators.structures import structures_of
from oracles.outcome import MISMATCH, PERFORMANCE, Kind, Observation, Stage, Verdict

#: Stands for the operators of an artifact that cannot be read.
UNREADABLE = "(unreadable)"
#: Outcomes from the best to the gravest, of which that of a case under several runtime variants is told.
_GRAVITY = (
    Outcome.SUCCESS,
    Outcome.UNSUPPORTED,
    Outcome.INCONCLUSIVE,
    Outcome.RUN_FAILED,
    Outcome.LOAD_FAILED,
    Outcome.MISMATCH,
    Outcome.INVALID,
    Outcome.CONVERTER_FAILED,
)


class Tally:
    """Counts while a batch is judged. ``format`` is that of the converter's artifacts, ``settings`` are its options."""

    def __init__(self, format: str, settings: Settings | None = None) -> None:
        self._format = str(format)
        self._settings = {name: setting_text(value) for name, value in (settings or {}).items()}
        self._options: Counter[tuple[str, str, str]] = Counter()
        self._refusals: Counter[tuple[str, str, str]] = Counter()
        self._source: Counter[str] = Counter()
        self._artifact: Counter[str] = Counter()
        self._arguments: Counter[tuple[str, str, str]] = Counter()
        self._cells: dict[tuple[str, str], Counter[str]] = {}
        self._structures: Counter[str] = Counter()
        self._profiles: Counter[tuple[str, str, str]] = Counter()

    def case(
        self,
        graph: Graph,
        keys: Iterable[str],
        outcomes: Mapping[str, Outcome],
        motifs: Iterable[str] = (),
        profiles: Sequence[Mapping[str, str]] = (),
        seen: Iterable[Observation] = (),
    ) -> None:
        """Count a case that was put to the subject. ``keys`` are those of its nodes, each once, ``motifs`` the names of
        the motifs and mutations that were grown in it (:attr:`generators.growth.Grown.motifs`), ``profiles``
        those that its inputs and constants were drawn from (:attr:`generators.graph.Case.profiles`), and its inputs in
        further feeds, ``seen`` what was observed of it."""
        motifs = set(motifs)
        self._structures.update(("graph", *structures_of(graph), *motifs))
        if any(name.startswith("motif ") for name in motifs):
            self._structures["graph with a motif"] += 1
        _count(self._source, flow_of(graph))
        self._count_arguments(graph)
        for drawn in profiles:
            self._profiles.update(profiles_of(graph, drawn))
        keys = tuple(keys)
        # Variants of a runtime say the same.
        unsupported = dict.fromkeys(one.signature for one in seen if one.signature.kind is Kind.UNSUPPORTED)
        for one in unsupported:
            culprits = set(named(keys, f": {one.detail}")) if len(keys) > 1 else {target_of(key) for key in keys}
            self._refusals.update(
                (one.component, key, one.detail or "no reason given") for key in keys if target_of(key) in culprits
            )
        gravest = max(outcomes.values(), key=_GRAVITY.index, default=Outcome.SUCCESS)
        for name, text in self._settings.items():
            self._options.update({(name, text, Outcome.STARTED.value): 1, (name, text, gravest.value): 1})
        self._options.update((VARIANT, variant, outcome.value) for variant, outcome in outcomes.items() if variant)
        for variant, outcome in (("", Outcome.STARTED), *outcomes.items()):
            self._cells.setdefault((variant, outcome.value), Counter()).update(keys)

    def artifact(self, artifact: Artifact) -> None:
        """Count a converted model. One that cannot be read is counted as just that: what a subject wrote must not cost
        the batch, and whether it is a finding is for the validator and the runtimes to say."""
        try:
            flows = flows_of(artifact)
        except Exception:  # noqa: BLE001  (parsers raise anything, from struct.error to RecursionError)
            self._artifact[UNREADABLE] += 1
            return
        for flow in flows:
            _count(self._artifact, flow)

    def record(self) -> Coverage:
        """What has been counted."""
        arguments = _nested(self._arguments)
        cells: dict[str, dict[str, dict[str, int]]] = {}
        for (variant, outcome), counts in self._cells.items():
            cells.setdefault(variant, {})[outcome] = dict(counts)
        return Coverage(
            self._format,
            dict(self._source),
            dict(self._artifact),
            arguments,
            cells,
            dict(self._structures),
            _nested(self._profiles),
            _nested(self._options),
            _nested(self._refusals),
        )

    def _count_arguments(self, graph: Graph, outer: Mapping[str, str] | None = None) -> None:
        roles = dict(outer or {})
        roles.update((value.name, "input") for value in graph.inputs)
        roles.update((constant.name, "constant") for constant in graph.constants)
        for node in graph.nodes:
            self._arguments.update({(node.target, place, kind): 1 for place, kind in classes_of(node, roles)})
            for body in node.bodies():
                self._count_arguments(body, roles)
            roles.update((value.name, "node") for value in node.outputs)


def profiles_of(graph: Graph, profiles: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """For each operand of a node that has one of these profiles by name: the profile, its element type, and the family
    of the node's operator (``other`` for one without a sampler)."""
    registry = frontend(graph.frontend).registry()
    types = {value.name: value.type.dtype for value in graph.inputs}
    types.update((constant.name, constant.type.dtype) for constant in graph.constants)
    for node in graph.nodes:
        names = {name for name in node.references() if name in profiles and name in types}
        if names:
            family = registry[node.target].family if node.target in registry else OTHER
            for name in names:
                yield profiles[name], types[name], family


def _nested(counts: Mapping[tuple[str, str, str], int]) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (first, second, third), count in counts.items():
        found.setdefault(first, {}).setdefault(second, {})[third] = count
    return found


def setting_text(value: Setting) -> str:
    """A setting as it is counted and shown: ``on`` and ``off`` for flags, a name or a number as it is."""
    return ("off", "on")[value] if isinstance(value, bool) else str(value) or "none"


def outcomes_of(seen: Iterable[Observation], variants: Sequence[tuple[str, str]]) -> dict[str, Outcome]:
    """What a case came to, by runtime variant, as the funnel counts it; under ``''`` when it came to no runtime.

    ``variants`` are the pairs of a runtime and its variant that all ran, unless something in ``seen`` says otherwise.
    What writes to standard output has failed, for all variants together, since it is not known which one wrote.
    """
    found = {f"{runtime} {variant}": Outcome.SUCCESS for runtime, variant in variants}
    for item in seen:
        signature = item.signature
        if signature.kind in PERFORMANCE:
            continue  # it gave what it should
        if signature.kind in MISMATCH:
            outcome = Outcome.INCONCLUSIVE if item.verdict is Verdict.INCONCLUSIVE else Outcome.MISMATCH
            runtime = f"{signature.component} " if signature.stage is Stage.INFERENCE else ""
            # What a witness put down to the runtime names it already.
            names = (variant.removeprefix(runtime) for variant in item.settings.split(", "))
            found.update((runtime + variant, outcome) for variant in names)
            continue
        stages = {Stage.RUNTIME_LOAD: Outcome.LOAD_FAILED, Stage.INFERENCE: Outcome.RUN_FAILED}
        outcome = stages.get(signature.stage, Outcome.CONVERTER_FAILED)
        if signature.kind is Kind.UNSUPPORTED:
            outcome = Outcome.UNSUPPORTED
        elif signature.kind is Kind.INVALID:
            outcome = Outcome.INVALID
        if not item.settings:
            return {"": outcome}
        found[f"{signature.component} {item.settings}"] = outcome
    return found


def classes_of(node: Node, roles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Places of a call's arguments, each with the class of what is there. ``roles`` says for each value whether it is
    an input, a constant, or made by a node.

    A place is a position or a keyword, and has one class. Those of the items of a tuple of values, and of the parts of
    a subscript, are at places within it, such as ``0[]`` or ``1[].start``, where several classes may be found.
    """
    for position, argument in enumerate(node.args):
        yield from _classes(str(position), argument, roles)
    for keyword, argument in node.kwargs:
        yield from _classes(keyword, argument, roles)


def _classes(place: str, value: Argument, roles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if isinstance(value, tuple):
        if any(isinstance(item, (Ref, tuple, Slice)) for item in value):
            yield place, "tuple of values"
            for item in value:
                yield from _classes(f"{place}[]", item, roles)
        else:
            kinds = sorted({_literal(item, roles) for item in value})
            mixed = "mixed" if len({repr(item) for item in value}) > 1 else "uniform"
            yield place, f"{mixed} tuple of {', '.join(kinds)}" if kinds else "empty tuple"
    elif isinstance(value, Slice):
        yield place, "slice"
        for name in ("start", "stop", "step"):
            yield from _classes(f"{place}.{name}", getattr(value, name), roles)
    else:
        yield place, _literal(value, roles)


def _literal(value: Argument, roles: Mapping[str, str]) -> str:
    """The class of an argument without parts, in words of which there are not too many."""
    if isinstance(value, str):
        return repr(value) if value.isidentifier() else "text"
    if isinstance(value, complex):
        return "complex"
    if isinstance(value, Graph):
        return "body"
    return str(argument_class(value, roles))


def _count(into: Counter[str], flow: Flow) -> None:
    for sequences in flow.sequences():
        into.update(sequences)


def merge(parts: Iterable[Coverage | None]) -> Coverage | None:
    """The sum of what parts of a batch counted; None when none did."""
    present = [part for part in parts if part is not None]
    if len(present) < 2:
        return present[0] if present else None
    source: Counter[str] = Counter()
    artifact: Counter[str] = Counter()
    arguments: dict[str, dict[str, dict[str, int]]] = {}
    cells: dict[str, dict[str, dict[str, int]]] = {}
    options: dict[str, dict[str, dict[str, int]]] = {}
    refusals: dict[str, dict[str, dict[str, int]]] = {}
    structures: Counter[str] = Counter()
    profiles: dict[str, dict[str, dict[str, int]]] = {}
    for part in present:
        structures.update(part.structures)
        source.update(part.source)
        artifact.update(part.artifact)
        nested = (
            (arguments, part.arguments),
            (cells, part.cells),
            (profiles, part.profiles),
            (options, part.options),
            (refusals, part.refusals),
        )
        for total, own in nested:
            for first, inner in own.items():
                for second, counts in inner.items():
                    summed = total.setdefault(first, {}).setdefault(second, {})
                    for name, count in counts.items():
                        summed[name] = summed.get(name, 0) + count
    return Coverage(
        present[0].format,
        dict(source),
        dict(artifact),
        arguments,
        cells,
        dict(structures),
        profiles,
        options,
        refusals,
    )
