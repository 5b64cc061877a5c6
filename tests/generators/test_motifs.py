"""Motifs and their mutations: all are drawn, run, and print as what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from generators.choices import RecordedChoices, RecordingChoices, SeededChoices
from generators.frontends.base import frontend
from generators.motifs import CUT, KINDS, grow_motif, names
from generators.motifs.registry import MOTIFS, Motif, motif
from generators.motifs.vocabularies import VOCABULARIES
from generators.motifs.vocabulary import ALONG, BINARY, REDUCTIONS, UNARY
from generators.random_graphs import Grown, Growth, Weights, begin, grow
from generators.transforms import retype
from generators.wellformed import check_case
from oracles.compare import same

FRONTENDS = ("torch", "tensorflow", "onnx", "keras")
EVERY = [(name, motif) for name in FRONTENDS for motif in names(name)]
MUTATIONS = [(name, kind) for name in FRONTENDS for kind in KINDS if kind not in VOCABULARIES[name].without]


@cache
def weights(name: str) -> Weights:
    return Weights.of(frontend(name))


def growth_of(name: str, *seed: int) -> Growth:
    return begin(frontend(name), SeededChoices(2718, *seed), weights=weights(name))


def grown_motif(name: str, motif: str, mutation: str, *seed: int) -> Grown | None:
    growth = growth_of(name, *seed)
    growth.motif(motif, mutation)
    return growth.finish() if growth.nodes else None


def check(name: str, grown: Grown) -> None:
    """The graph is well formed, and interpreter and printed source give what growth computed, to the bit."""
    ours = frontend(name)
    case = grown.case
    check_case(case)
    values = ours.run(case.graph, case.feeds)
    assert all(same(values[key], grown.values[key]) for key in values)
    printed = ours.execute(ours.load(replace(case, graph=retype(case.graph, values))))
    assert len(printed) == len(case.graph.outputs)
    assert all(same(array, values[key]) for array, key in zip(printed, case.graph.outputs, strict=True))


@pytest.mark.parametrize(("name", "motif"), EVERY)
def test_every_motif_is_grown_whole_and_runs(name: str, motif: str) -> None:
    found = [grown for seed in range(6) if (grown := grown_motif(name, motif, "", seed)) is not None]
    for grown in found:
        check(name, grown)
    drawn = Counter(grown.motifs[0] for grown in found)
    assert drawn.keys() <= {f"motif {motif}", f"motif {motif}{CUT}"}
    assert drawn[f"motif {motif}"] >= 3
    assert max(len(grown.case.graph.nodes) for grown in found) >= 2


@pytest.mark.parametrize(("name", "kind"), MUTATIONS)
def test_every_mutation_is_made_and_runs(name: str, kind: str) -> None:
    made = 0
    for seed in range(60):
        grown = grown_motif(name, "", kind, seed, 1)
        if grown is not None and f"mutation {kind}" in grown.motifs:
            check(name, grown)
            made += 1
            if made == 2:
                return
    pytest.fail(f"{kind} was made in {made} of 60 motifs")


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "motif"), EVERY)
def test_every_motif_with_every_mutation(name: str, motif: str) -> None:
    made: Counter[str] = Counter()
    whole = 0
    kinds = [kind for kind in KINDS if kind not in VOCABULARIES[name].without]
    for number, kind in enumerate(kinds):
        for seed in range(12):
            grown = grown_motif(name, motif, kind, seed, number)
            if grown is not None:
                check(name, grown)
                whole += CUT not in grown.motifs[0]
                made.update(grown.motifs[1:])
    assert whole >= 0.75 * 12 * len(kinds)
    assert len(made) >= 3, made


def recorded_motifs(name: str) -> Iterator[tuple[Grown, Grown]]:
    for seed in range(40):
        recording = RecordingChoices(SeededChoices(3, seed))
        first = grow(frontend(name), recording, weights=weights(name))
        yield first, grow(frontend(name), RecordedChoices(recording.record), weights=weights(name))


@pytest.mark.parametrize("name", FRONTENDS)
def test_graphs_with_motifs_are_a_function_of_their_choices(name: str) -> None:
    """All randomness comes through the choices: a replay of them gives the same graph."""
    motifs = 0
    for first, again in recorded_motifs(name):
        assert first.case.graph == again.case.graph
        assert first.motifs == again.motifs
        assert all(same(first.case.feeds[key], again.case.feeds[key]) for key in first.case.feeds)
        motifs += bool(first.motifs)
    assert motifs >= 5


@pytest.mark.parametrize("name", FRONTENDS)
def test_about_half_of_the_graphs_have_a_motif(name: str) -> None:
    graphs = [grow(frontend(name), SeededChoices(5, seed), weights=weights(name)) for seed in range(120)]
    with_motif = sum(bool(grown.motifs) for grown in graphs)
    assert 0.3 <= with_motif / len(graphs) <= 0.65
    accepted = sum(grown.accepted for grown in graphs)
    drawn = accepted + sum(sum(grown.dropped.values()) - grown.dropped["unconnected"] for grown in graphs)
    assert accepted >= 0.8 * drawn


def test_graphs_of_chosen_operators_and_small_ones_have_no_motif() -> None:
    torch = frontend("torch")
    chosen = Weights.of(torch, only=("torch.nn.functional.*",))
    for seed in range(30):
        grown = grow(torch, SeededChoices(6, seed), weights=chosen)
        assert not grown.motifs
        assert all(target.startswith("torch.nn.functional.") for target in grown.case.graph.operators())
        assert not grow(torch, SeededChoices(7, seed), nodes=3, weights=weights("torch")).motifs


def test_graphs_of_chosen_operators_may_have_motifs_made_of_others() -> None:
    torch = frontend("torch")
    chosen = Weights.of(torch, {"torch.mul": 0.0}, only=("torch.nn.functional.*",), motifs=True)
    with_motif = 0
    for seed in range(60):
        grown = grow(torch, SeededChoices(6, seed), weights=chosen)
        with_motif += bool(grown.motifs)
        others = {target for target in grown.case.graph.operators() if not target.startswith("torch.nn.functional.")}
        assert "torch.mul" not in others
        # A sampler of those may take one of several results.
        assert grown.motifs or others <= {"operator.getitem"}
    assert 15 <= with_motif <= 45


def test_nodes_that_are_apart_use_nothing_of_each_other() -> None:
    torch = frontend("torch")
    for seed in range(20):
        grown = grow(
            torch, SeededChoices(8, seed), nodes=3, weights=Weights.of(torch, only=("torch.sort",)), apart=True
        )
        assert [node.target for node in grown.case.graph.nodes] == ["torch.sort"] * 3
        made = {value.name for node in grown.case.graph.nodes for value in node.outputs}
        used = [set(node.references()) for node in grown.case.graph.nodes]
        assert all(names.isdisjoint(made) for names in used)
        assert sum(map(len, used)) == len(set().union(*used))


def test_motifs_keep_away_from_operators_that_are_excluded() -> None:
    torch = frontend("torch")
    without = Weights.of(torch, {"torch.mul": 0.0, "torch.add": 0.0})
    dropped: Counter[str] = Counter()
    for seed in range(60):
        grown = grow(torch, SeededChoices(8, seed), weights=without)
        assert {"torch.mul", "torch.add"}.isdisjoint(grown.case.graph.operators())
        dropped.update(grown.dropped)
    assert dropped["excluded"]


@pytest.mark.parametrize("name", FRONTENDS)
def test_every_word_has_samplers_behind_it(name: str) -> None:
    """Operators that no sampler knows have no arithmetic class, and TensorFlow executes them by other kernels."""
    registry = frontend(name).registry()
    spelled: list[str] = []
    if name != "keras":  # whose words are layers
        side = VOCABULARIES[name]().side
        spelled = [
            target
            for table in (UNARY, BINARY, REDUCTIONS, ALONG)
            for spellings in table.values()
            for target in spellings[side]
        ]
    assert [target for target in spelled if target not in registry] == []
    for seed in range(200):
        growth = growth_of(name, seed, 2)
        growth.motif()
        assert [node.target for node in growth.nodes if node.target not in registry] == []


def test_there_are_enough_of_them_and_each_name_once() -> None:
    assert len(names("torch")) >= 40
    assert len(names("tensorflow")) >= 40
    assert len(names("onnx")) >= 45
    assert len(names("keras")) >= 15
    with pytest.raises(ValueError, match="two motifs"):
        motif("layer norm")(lambda m: None)


def test_a_defect_of_a_motif_is_not_taken_for_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a mutation excuses a motif that stumbles over shapes."""

    def stumbles(m: object) -> None:
        raise IndexError("a slip")

    monkeypatch.setitem(MOTIFS, "stumbling", Motif("stumbling", stumbles, ("torch",), 1.0))
    growth = growth_of("torch", 1)
    with pytest.raises(IndexError):
        growth.motif("stumbling")
    assert callable(grow_motif)
