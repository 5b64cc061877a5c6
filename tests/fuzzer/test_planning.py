"""Which settings and runtime variants batches have."""

from __future__ import annotations

from collections import Counter

import pytest

from fuzzer.converters.base import converters
from fuzzer.learning import Learnt
from fuzzer.planning import Plan, default_settings
from fuzzer.routes import select
from fuzzer.runtimes.base import runtimes

NAMES = ["tflite", "tf2onnx", "torch.onnx-dynamo", "torch.onnx-torchscript", "onnx", "keras.onnx"]


def batches(names: list[str], count: int, seed: int = 5) -> list[tuple[str, dict[str, object], tuple[str, ...]]]:
    plan = Plan(seed, select(names), 10, pack=4)
    issued = [plan.batch(index, Learnt()) for index in range(count)]
    return [(one.converter, dict(one.settings), tuple(variant for _, variant in one.variants)) for one in issued]


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_every_option_comes_up_soon(name: str) -> None:
    converter = converters()[name]
    longest = max(len(option.drawn) for option in converter.options)
    found = batches([name], 4 * -(-longest // 3))
    for option in converter.options:
        assert {settings[option.name] for _, settings, _ in found} == {*option.drawn, option.values[0]}


def test_every_second_batch_has_the_defaults() -> None:
    # The first round, in which every value comes up, has them in one of four.
    found = batches(NAMES, 56 * len(NAMES))[16 * len(NAMES) :]
    usual = Counter(name for name, settings, _ in found if settings == default_settings(converters()[name]))
    assert set(usual) == set(NAMES)
    assert all(20 <= count <= 38 for count in usual.values())  # what is drawn may happen to be the defaults
    # Not by the parity of the turn, on which the choice of operators depends.
    tflite = [settings["quantization"] != "none" for name, settings, _ in found if name == "tflite"]
    assert any(tflite[0::2])
    assert any(tflite[1::2])


def test_later_values_are_drawn_by_weight() -> None:
    found = Counter(settings["quantization"] for _, settings, _ in batches(["tflite"], 2000))
    weights = {"none": 6, "dynamic": 1, "float16": 1, "int8": 1, "int8_io": 1}
    assert found.keys() == weights.keys()
    assert all(60 <= found[way] <= 140 for way in weights if way != "none")


def test_occasional_variants_take_turns_and_the_others_are_always_there() -> None:
    occasional = runtimes()["onnxruntime"].occasional
    found = batches(["onnx:onnx:onnxruntime"], 8 * len(occasional))
    seen: dict[str, list[int]] = {}
    for turn, (_, _, variants) in enumerate(found):
        assert {"unoptimized", "optimized"} <= set(variants)
        [one] = set(variants) & set(occasional)
        seen.setdefault(one, []).append(turn)
    assert all(len(turns) == 8 for turns in seen.values())
    assert all({turn % 2 for turn in turns} == {0, 1} for turns in seen.values())


def test_slow_runtimes_take_part_in_a_share_of_the_batches_unless_they_are_alone() -> None:
    both = Plan(7, select(["torch.export"]), 4, None)
    alone = Plan(7, select(["torch:torch.export:inductor"]), 4, None)
    taking_part = [{name for name, _ in both.batch(index, Learnt()).variants} for index in range(300)]
    assert all("torch.export.module" in names for names in taking_part)
    assert 3 <= sum("inductor" in names for names in taking_part) <= 30
    assert all(alone.batch(index, Learnt()).variants == (("inductor", "cpu"),) for index in range(20))


def test_a_batch_depends_on_seed_and_index_alone() -> None:
    assert batches(NAMES, 30) == batches(NAMES, 60)[:30]
    assert batches(NAMES, 30) != batches(NAMES, 30, seed=6)
