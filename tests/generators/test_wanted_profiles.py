"""Combinations of profile, element type and family that are asked for come up, and nothing else changes."""

from __future__ import annotations

from collections import Counter

from fuzzer.coverage import profiles_of
from fuzzer.learning import Learnt
from fuzzer.profile_cells import never_from
from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.random_graphs import Weights, grow
from generators.serial import dumps

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
    learnt = Learnt()
    assert learnt.unmet(SeededChoices(1), 8) == ()
    learnt.profiles.update({("typical", "float32", "pooling"): 30, ("mask any", "bool", "selection"): 4})
    everything = learnt.unmet(SeededChoices(1), 100)
    assert ("special", "float32", "pooling") in everything
    assert ("mask none", "", "selection") in everything
    assert ("typical", "float32", "pooling") not in everything
    assert set(everything) == {row[:3] for row in never_from(learnt.profiles)}
    some = learnt.unmet(SeededChoices(1), 5)
    assert len(some) == 5
    assert set(some) < set(everything)


def test_what_cannot_be_is_not_asked_for() -> None:
    counts = {
        ("indices any", "int64", "loss"): 100,
        ("mask any", "bool", "attention"): 50,
        ("typical", "int8", "loss"): 9,
    }
    missing = {row[:3] for row in never_from(counts)}
    assert ("indices ends", "", "loss") in missing
    assert ("mask one", "", "attention") in missing
    assert not missing & {
        ("indices negative", "", "loss"),
        ("mask none", "", "attention"),
        ("mask rows", "", "attention"),
    }
    assert ("fractions", "int8", "loss") not in missing
