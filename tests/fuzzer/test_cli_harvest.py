"""The command ``harvest``, and what other commands make of a harvest that is there, absent or another one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fuzzer import cli
from fuzzer.cli_harvest import available, require, usable
from fuzzer.config import CampaignConfig
from fuzzer.errors import UsageError
from fuzzer.learning import Learnt
from fuzzer.planning import Plan, task_of
from fuzzer.routes import select
from generators.frontends.base import frontend
from generators.graph import Case, Graph, Input, Node, Ref, TensorType, Value
from generators.harvest.building import torch_version
from generators.harvest.records import Entry, Harvest, Sample, Slot, cache_path, fingerprint, write
from generators.serial import dumps

KIND = TensorType("float32", (3,))
TARGET = "torch.special.log_ndtr"


def sample(target: str) -> Sample:
    """A call of a function of one tensor, which may be any."""
    graph = Graph("torch", (Input("x0", KIND),), (), (Node(target, (Ref("x0"),), (), (Value("v0", KIND),)),), ("v0",))
    case = Case(graph, {"x0": np.ones(3, dtype=np.float32)})
    return Sample(dumps(case), (Slot("x0", ("typical",), True, "float32", (3,)),), True)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harvest:
    """A harvest of two operators, one of them hand-written as well, in a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    entries = (
        Entry("special_log_ndtr", "operator", TARGET, (sample(TARGET),), "", 3, {"is not finite": 2}),
        Entry("sin", "operator", "torch.sin", (sample("torch.sin"),), "", 1),
        Entry("rand", "operator", reason="draws random numbers"),
        Entry("nn_LazyConv1d", "module", reason="turns into another module"),
    )
    harvest = Harvest("torch", torch_version(), entries)
    write(harvest, cache_path("torch", torch_version()))
    return harvest


def test_the_command_says_what_is_there(cached: Harvest, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["harvest"]) == 0
    out = capfd.readouterr().out
    assert fingerprint(cached) in out
    assert "OpInfo: 3 entries, 2 usable (2 targets), 2 of 4 samples" in out
    assert "1  draws random numbers" in out
    assert cli.run(["harvest", "--json"]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["fingerprint"] == fingerprint(cached)
    assert record["ModuleInfo"] == {
        "entries": 1,
        "usable": 0,
        "samples": 0,
        "unusable": {"turns into another module": 1},
    }


def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "expecttest", None)
    assert cli.run(["harvest"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert lines[-2:] == [
        "error: torch's samples of operators need the package expecttest",
        "hint: `python -m pip install expecttest`",
    ]


def test_operators_are_counted_by_origin(cached: Harvest, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        assert cli.run(["operators", "--counts"]) == 0
        out = capfd.readouterr().out
        control = frontend("tensorflow").control_flow()
        assert control is not None
        hand_written = len(frontend("tensorflow").registry()) + len(control.targets)
        assert f"tensorflow: {hand_written} operators: {hand_written} hand-written, 0 harvested\n" in out
        line = next(line for line in out.splitlines() if line.startswith("torch: "))
        assert line.endswith("hand-written (1 of them with harvested samples, too), 1 harvested")
    finally:
        frontend("torch").mix_in("")


def test_a_campaign_without_a_harvest_gets_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert usable() == ""
    note = capfd.readouterr().err
    assert note.count("\n") == 1
    assert "`convfuzz harvest` builds it" in note
    require("")  # nothing is asked for
    with pytest.raises(UsageError, match="draws from the harvest 0123"):
        require("0123")


def test_a_damaged_harvest_is_told_and_not_used(cached: Harvest, capfd: pytest.CaptureFixture[str]) -> None:
    path = cache_path("torch", torch_version())
    path.write_bytes(path.read_bytes()[:-2])
    assert usable() == ""
    assert "is damaged" in capfd.readouterr().err
    assert available() == ""


def test_batches_record_the_harvest(cached: Harvest) -> None:
    assert usable() == fingerprint(cached)
    require(fingerprint(cached))
    config = CampaignConfig(seed=1, harvest=usable())
    assert CampaignConfig.from_builtins(config.to_builtins()) == config
    plan = Plan(1, select(["identity.torch", "identity.tensorflow"]), 3, None, harvest=config.harvest)
    issued = [plan.batch(index, Learnt()) for index in range(2)]
    assert {batch.frontend: batch.harvest for batch in issued} == {"torch": fingerprint(cached), "tensorflow": ""}
    torch = next(batch for batch in issued if batch.frontend == "torch")
    assert task_of(1, torch, (0,)).harvest == fingerprint(cached)
    stored = msgspec.to_builtins(torch)
    del stored["harvest"]  # of an earlier release
    assert msgspec.convert(stored, type(torch)).harvest == ""
