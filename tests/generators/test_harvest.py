"""Harvested operators: collected in a child, kept in a cache, drawn beside the hand-written ones."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import Node, Ref
from generators.harvest import building, exclusions
from generators.harvest.conversion import Unusable, to_case
from generators.harvest.domains import hermitian
from generators.harvest.records import Entry, Harvest, HarvestError, Sample, Slot, cache_path, fingerprint, read, write
from generators.harvest.samplers import FAMILY, with_harvest
from generators.harvest.trials import Trials, execute, reliable
from generators.operators.torch import REGISTRY
from generators.random_graphs import Weights, grow
from generators.serial import dumps, loads
from generators.wellformed import check_case
from tests.generators.harvested import small

TORCH = frontend("torch")
needs_expecttest = pytest.mark.skipif(importlib.util.find_spec("expecttest") is None, reason="needs expecttest")


# -- the file ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def made() -> Harvest:
    sample = Sample(b"bytes", (Slot("x0", ("typical", "tiny"), True, "float32", (2,)),), True)
    good = Entry("abs", "operator", "torch.abs", (sample,), "", 3, {"is not finite": 2})
    return Harvest("torch", "2.0", (good, Entry("rand", "operator", reason="draws random numbers")))


def test_a_harvest_survives_its_file(made: Harvest, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "torch-2.0.msgpack"
    write(made, path)
    assert read(path, "torch", "2.0") == made
    assert fingerprint(read(path, "torch", "2.0")) == fingerprint(made)
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    assert made.reasons("operator") == {"draws random numbers": 1}
    assert [entry.name for entry in made.usable("operator")] == ["abs"]


def test_what_is_no_harvest_is_refused_in_words(made: Harvest, tmp_path: Path) -> None:
    path = tmp_path / "torch-2.0.msgpack"
    with pytest.raises(HarvestError, match=r"there is no harvest of torch 2\.0: `convfuzz harvest` builds it"):
        read(path, "torch", "2.0")
    write(made, path)
    whole = path.read_bytes()
    with pytest.raises(HarvestError, match=r"is of torch 2\.0, not of torch 2\.1"):
        read(path, "torch", "2.1")
    for damaged in (b"", whole[:10], whole[:-1], whole + b"x", whole[:-3] + b"abc", b"pickle" + whole):
        path.write_bytes(damaged)
        with pytest.raises(HarvestError, match=r"is damaged|is no harvest"):
            read(path, "torch", "2.0")


def test_an_interrupted_collection_goes_on_behind_its_last_whole_entry(made: Harvest, tmp_path: Path) -> None:
    path = tmp_path / "partial"
    frames = b"".join(
        struct.pack("<I", len(data)) + data for data in (msgspec.msgpack.encode(entry) for entry in made.entries)
    )
    path.write_bytes(frames + frames[:20])
    assert building._resumed(path) == list(made.entries)
    assert path.read_bytes() == frames
    assert building._resumed(tmp_path / "absent") == []


def test_the_cache_is_used_and_a_damaged_one_is_not(
    made: Harvest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "expecttest", None)
    with pytest.raises(HarvestError, match="need the package expecttest: `python -m pip install expecttest`"):
        building.build()
    version = building.torch_version()
    path = cache_path("torch", version)
    mine = msgspec.structs.replace(made, version=version)
    write(mine, path)
    assert building.build() == mine
    assert building.load() == mine
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HarvestError, match="expecttest"):  # it would be built anew
        building.build()
    with pytest.raises(HarvestError, match="is damaged"):
        building.load()


def test_another_harvest_than_the_wanted_one_is_refused(
    made: Harvest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    version = building.torch_version()
    write(msgspec.structs.replace(made, version=version), cache_path("torch", version))
    with pytest.raises(HarvestError, match="the harvest 0123 is wanted"):
        TORCH.mix_in("0123")
    with pytest.raises(HarvestError, match="tensorflow has no harvest"):
        frontend("tensorflow").mix_in("0123")


# -- what is found out ------------------------------------------------------------------------------------------------


def node_of(target: str, *args: object, **kwargs: object) -> tuple[Node, dict[str, np.ndarray]]:
    return to_case(TORCH, target, args, kwargs)


@pytest.mark.parametrize(
    ("target", "arguments", "reason"),
    [
        ("torch.rand_like", (torch.zeros(8),), "draws random numbers"),
        ("torch.nn.functional.dropout", (torch.ones(8),), "draws random numbers"),
        ("torch.neg_", (torch.ones(3),), "writes into its argument"),
        ("torch.equal", (torch.ones(3), torch.ones(3)), "returns bool"),
        ("torch.linalg.inv", (torch.zeros(2, 2),), "raises in eager mode: _LinAlgError"),
    ],
)
def test_calls_without_a_result_of_their_own_are_told(target: str, arguments: tuple[object, ...], reason: str) -> None:
    node, arrays = node_of(target, *arguments)
    with pytest.raises(Unusable, match=reason):
        reliable(TORCH, node, arrays)


def test_uninitialised_memory_shows() -> None:
    node, arrays = node_of("torch.empty_like", torch.zeros(700))
    with pytest.raises(Unusable, match="gives another result in a second run"):
        reliable(TORCH, node, arrays)


@pytest.mark.parametrize(
    "name",
    [
        "randn",
        "bernoulli",
        "nn.functional.dropout2d",
        "empty",
        "new_empty",
        "as_strided",
        "linalg.eigh",
        "linalg.qr",
        "svd",
        "topk",
        "mode",
        "kthvalue",
        "scatter",
        "index_put",
        "byte",
        "__radd__",
        "to_sparse",
        "resize_",
        "lu",
    ],
)
def test_entries_whose_results_are_not_their_own_are_excluded(name: str) -> None:
    assert exclusions.exclusion(name)


@pytest.mark.parametrize("name", ["abs", "matmul", "linalg.solve", "nn.functional.conv2d", "fft.rfft", "logsumexp"])
def test_ordinary_entries_are_not(name: str) -> None:
    assert exclusions.exclusion(name) == ""


def trials_of(target: str, *args: object) -> Trials:
    node, arrays = node_of(target, *args)
    return Trials(TORCH, node, arrays, execute(TORCH, node, arrays), 1)


def test_slots_are_what_takes_other_values() -> None:
    [free] = trials_of("torch.sin", torch.ones(4)).slots(["x0"])
    assert free.free
    [positive] = trials_of("torch.log", torch.ones(4)).slots(["x0"])
    assert not positive.free
    assert "fractions" in positive.profiles
    assert "negative" not in positive.profiles
    # A count of repetitions decides about the shape of the result, and stays.
    assert trials_of("torch.repeat_interleave", torch.ones(2), torch.tensor([1, 2])).slots(["x1"]) == ()


def test_elastic_is_what_works_element_by_element() -> None:
    for target, arguments, wanted in (
        ("torch.sin", (torch.ones(4),), True),
        ("torch.add", (torch.ones(4), torch.ones(4)), True),
        ("torch.fft.fft", (torch.ones(4),), False),
    ):
        attempt = trials_of(target, *arguments)
        slots = attempt.slots([f"x{index}" for index in range(len(arguments))])
        assert attempt.elastic(slots) is wanted, target


def test_matrices_are_hermitian_or_outside_of_the_domain() -> None:
    assert hermitian([np.array([[1, 2], [2, 1]], dtype=np.float32)]) == ""
    assert hermitian([np.array([[1, 2], [0, 1]], dtype=np.float32)])
    # Without any harvest, too: a finding may be minimized in a process that has none.
    assert REGISTRY.domain("torch.linalg.cholesky_ex") is hermitian
    assert "torch.linalg.cholesky_ex" not in REGISTRY


# -- the samples ------------------------------------------------------------------------------------------------------


def check_samples(harvest: Harvest) -> int:
    """Every sample runs, twice to the same bytes, and prints to source that gives them; AssertionError otherwise."""
    count = 0
    for entry in harvest.entries:
        for sample in entry.samples:
            case = loads(sample.case)
            check_case(case)
            TORCH.check_arguments(case.graph)
            assert {slot.name for slot in sample.slots} == {value.name for value in case.graph.inputs}
            values = TORCH.run(case.graph, case.feeds)
            results = TORCH.execute(TORCH.load(case))
            assert len(results) == len(case.graph.outputs) > 0
            for name, array in zip(case.graph.outputs, results, strict=True):
                assert array.tobytes() == values[name].tobytes(), (entry.name, name)
                assert case.graph.types()[name].shape == array.shape
            count += 1
    return count


@needs_expecttest
def test_samples_run_and_print_to_equal_values() -> None:
    harvest = small()
    assert len(harvest.usable("operator")) >= 25
    assert len(harvest.usable("module")) >= 30
    assert check_samples(harvest) >= 500
    assert all(entry.reason for entry in harvest.entries if not entry.samples)


@needs_expecttest
def test_graphs_with_harvested_operators_are_valid() -> None:
    registry = with_harvest(REGISTRY, small())
    mine = [target for target in registry.targets() if registry[target].family == FAMILY]
    assert len(mine) >= 40
    assert len(registry) == len(REGISTRY) + len(mine)
    TORCH._mixed["small"] = registry  # type: ignore[attr-defined]
    TORCH.mix_in("small")
    try:
        weights = Weights.of(TORCH)
        accepted = dropped = harvested = 0
        for number in range(150):
            grown = grow(TORCH, SeededChoices(31, number), weights=weights)
            assert grown.case.graph == grow(TORCH, SeededChoices(31, number), weights=weights).case.graph
            check_case(grown.case)
            TORCH.check_arguments(grown.case.graph)
            assert dumps(loads(dumps(grown.case))) == dumps(grown.case)
            for array, name in zip(TORCH.execute(TORCH.load(grown.case)), grown.case.graph.outputs, strict=True):
                assert array.tobytes() == grown.values[name].tobytes()
            harvested += sum(node.target in mine for node in grown.case.graph.nodes)
            accepted += grown.accepted
            dropped += sum(count for reason, count in grown.dropped.items() if reason != "unconnected")
        assert harvested >= 15
        assert accepted / (accepted + dropped) >= 0.8
    finally:
        TORCH.mix_in("")
        del TORCH._mixed["small"]  # type: ignore[attr-defined]
    assert TORCH.registry() is REGISTRY


@needs_expecttest
def test_most_draws_of_every_harvested_operator_are_accepted() -> None:
    registry = with_harvest(REGISTRY, small())
    TORCH._mixed["small"] = registry  # type: ignore[attr-defined]
    TORCH.mix_in("small")
    try:
        accepted = dropped = 0
        for target in registry.targets():
            if registry[target].family != FAMILY:
                continue
            for seed in range(3):
                grown = grow(TORCH, SeededChoices(5, seed), nodes=2, weights=Weights((target,), (1.0,)))
                accepted += grown.accepted
                dropped += sum(count for reason, count in grown.dropped.items() if reason != "unconnected")
        assert accepted / (accepted + dropped) >= 0.8
    finally:
        TORCH.mix_in("")
        del TORCH._mixed["small"]  # type: ignore[attr-defined]


def test_a_damaged_sample_is_told() -> None:
    entry = Entry("sinc", "operator", "torch.special.log_ndtr", (Sample(b"nothing"),))
    registry = with_harvest(REGISTRY, Harvest("torch", "2.0", (entry,)))
    TORCH._mixed["damaged"] = registry  # type: ignore[attr-defined]
    TORCH.mix_in("damaged")
    try:
        with pytest.raises(HarvestError, match=r"a sample of torch\.special\.log_ndtr is damaged"):
            grow(TORCH, SeededChoices(1), weights=Weights(("torch.special.log_ndtr",), (1.0,)))
    finally:
        TORCH.mix_in("")
        del TORCH._mixed["damaged"]  # type: ignore[attr-defined]


@pytest.mark.sweep
@needs_expecttest
def test_all_of_torch_is_harvested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    harvest = building.build()
    assert check_samples(harvest) >= 5000
    assert len(harvest.usable("operator")) >= 400
    assert len(harvest.usable("module")) >= 100
    assert building.load() == harvest
    again = building.build(force=True)
    assert fingerprint(again) == fingerprint(harvest)


def test_references_of_a_call_are_its_tensors() -> None:
    tensor = torch.ones(2)
    node, arrays = node_of("torch.add", tensor, tensor)
    assert node.args == (Ref("x0"), Ref("x0"))
    assert list(arrays) == ["x0"]
