"""Combinations of profile, element type and family that are asked for come up, and nothing else changes."""

from __future__ import annotations

from collections import Counter

import pytest

from fuzzer.coverage import profiles_of
from fuzzer.learning import Learnt
from fuzzer.profile_cells import never_from
from generators.asking import askable
from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.random_graphs import Weights, begin, grow
from generators.seeking import seek
from generators.serial import dumps
from generators.structures import structures_of

TORCH = frontend("torch")


def counted(wanted: tuple[tuple[str, str, str], ...], graphs: int = 150) -> Counter[tuple[str, str, str]]:
    weights = Weights.of(TORCH)
    found: Counter[tuple[str, str, str]] = Counter()
    for seed in range(graphs):
        case = grow(TORCH, SeededChoices(8, seed), nodes=8, weights=weights, wanted=wanted).case
        found.update(profiles_of(case.graph, case.profiles))
    return found


def test_what_is_wanted_comes_up() -> None:
    wanted = (("ties", "int16", "elementwise"), ("tiny", "float64", "elementwise"), ("indices ends", "", "indexing"))
    before, after = counted(()), counted(wanted)

    def of(counts: Counter[tuple[str, str, str]], profile: str, dtype: str, family: str) -> int:
        return sum(n for (p, d, f), n in counts.items() if (p, f) == (profile, family) and dtype in ("", d))

    for cell in wanted:
        assert of(after, *cell) > 1.5 * of(before, *cell) + 2
    # Others go on as before, within what is to be expected of a few hundred operands.
    assert of(after, "typical", "float32", "elementwise") > of(before, "typical", "float32", "elementwise") / 3


def test_without_anything_wanted_a_seed_gives_what_it_always_gave() -> None:
    for seed in range(20):
        plain = grow(TORCH, SeededChoices(2, seed), nodes=5).case
        assert dumps(plain) == dumps(grow(TORCH, SeededChoices(2, seed), nodes=5, wanted=()).case)
        other = grow(TORCH, SeededChoices(2, seed), nodes=5, wanted=(("tiny", "float16", "no such family"),)).case
        assert dumps(plain) == dumps(other)


def test_a_batch_asks_for_what_was_never_drawn() -> None:
    learnt = Learnt(frontend="torch")
    assert learnt.unmet(SeededChoices(1), 8) == ()
    learnt.profiles.update({("typical", "float32", "pooling"): 30, ("mask any", "bool", "clamp"): 4})
    everything = learnt.unmet(SeededChoices(1), 1000)
    assert ("special", "float32", "pooling") in everything
    assert ("mask none", "", "clamp") in everything
    assert ("typical", "float32", "pooling") not in everything
    assert set(everything) == {row[:3] for row in never_from("torch", learnt.profiles)}
    some = learnt.unmet(SeededChoices(1), 5)
    assert len(some) == 5
    assert set(some) < set(everything)
    # What no converter of the frontend was given comes before what this one was not given.
    learnt.together.profiles.update(
        learnt.profiles + Counter({(c[0], c[1] or "bool", c[2]): 1 for c in everything[3:]})
    )
    assert set(learnt.unmet(SeededChoices(1), 3)) == set(everything[:3])


def test_types_that_no_operator_of_a_family_was_given_yet_are_asked_for() -> None:
    missing = {row[:3] for row in never_from("torch", {("typical", "float32", "matrices of our own"): 1})}
    assert ("special", "float32", "matrices of our own") in missing
    assert not any(dtype == "int8" for _, dtype, _ in missing)
    missing = {row[:3] for row in never_from("torch", {("typical", "float32", "comparison"): 1})}
    assert ("ties", "int8", "comparison") in missing
    assert {family for *_, family in missing} == {"comparison"}


@pytest.mark.parametrize(
    "cell",
    [("mixed_magnitudes", "int16", "pooling"), ("special", "float64", "reduction"), ("indices ends", "", "scatter")],
)
def test_a_graph_starts_with_what_is_sought(cell: tuple[str, str, str]) -> None:
    met = 0
    for seed in range(40):
        growth = begin(TORCH, SeededChoices(5, seed), wanted=(cell,))
        growth.profiles.nonfinite = True
        if seek(growth, cell, tries=300):
            case = growth.finish().case
            found = set(profiles_of(case.graph, case.profiles))
            assert any((p, f) == (cell[0], cell[2]) and cell[1] in ("", d) for p, d, f in found)
            met += 1
    assert met > 20


@pytest.mark.parametrize("name", ["torch", "tensorflow", "onnx", "keras"])
def test_what_is_asked_for_comes_up(name: str) -> None:
    ours = frontend(name)
    # Of the rare shapes those that take no time.
    for structure in askable(name):
        if structure in ("deep chain", "wide graph", "large constant"):
            continue
        tries = (grow(ours, SeededChoices(3, seed), nodes=6, asked=(structure,)) for seed in range(500))
        assert any(structure in (*structures_of(grown.case.graph), *grown.motifs) for grown in tries), structure


def test_what_cannot_be_is_not_asked_for() -> None:
    counts: dict[tuple[str, str, str], int] = {
        ("indices any", "int64", "loss"): 100,
        ("mask any", "bool", "attention"): 50,
        ("typical", "int8", "loss"): 9,
    }
    missing = {row[:3] for row in never_from("torch", counts)}
    assert ("indices ends", "", "loss") in missing
    assert ("mask one", "", "attention") in missing
    assert not missing & {
        ("indices negative", "", "loss"),
        ("mask none", "", "attention"),
        ("mask rows", "", "attention"),
    }
    assert ("fractions", "int8", "loss") not in missing
