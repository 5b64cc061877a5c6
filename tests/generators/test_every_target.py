"""Every operator that there is comes into graphs: hand-written and harvested."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from generators.choices import SeededChoices
from generators.frontends.base import Frontend, frontend
from generators.harvest.records import HarvestError
from generators.random_graphs import Weights, grow
from generators.transforms import retype

FRONTENDS = ("torch", "tensorflow", "onnx", "keras")
#: Targets that come into no graph, with the reason, by frontend; those of torch of releases that a harvest may be of.
NEVER: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "never_accepted.json").read_text())
#: Graphs that are tried for a target, each with a few draws for each of its nodes.
TRIES = 60


@cache
def subject(name: str) -> Frontend:
    """The frontend, with torch's harvest in it if there is one."""
    found = frontend(name)
    if name == "torch":
        from generators.harvest.building import load
        from generators.harvest.records import fingerprint

        with suppress(HarvestError):
            found.mix_in(fingerprint(load()))
    return found


def accepted(name: str, target: str) -> bool:
    """Whether a graph of that operator alone has a node of it, and runs as it was grown."""
    ours = subject(name)
    weights = Weights((target,), (1.0,))
    for seed in range(TRIES):
        try:
            grown = grow(ours, SeededChoices(404, seed), nodes=2, weights=weights)
        except ValueError:  # nothing could be placed
            continue
        graph = grown.case.graph
        assert set(graph.operators()) == {target}
        values = ours.run(graph, grown.case.feeds)
        assert retype(graph, values) == graph
        return True
    return False


@pytest.mark.sweep
@pytest.mark.parametrize("name", FRONTENDS)
def test_every_target_is_accepted_or_known_not_to_be(name: str) -> None:
    targets = subject(name).registry().targets()
    never = [target for target in targets if not accepted(name, target)]
    assert never == sorted(set(never) & NEVER[name].keys()), "these come into no graph, and nobody says why"
    stale = sorted(NEVER[name].keys() & set(targets) - set(never))
    assert not stale, "these are said never to come into a graph, and do"


@pytest.mark.parametrize("name", FRONTENDS)
def test_what_is_listed_has_a_reason(name: str) -> None:
    assert all(len(reason) > 15 for reason in NEVER[name].values())


def test_there_are_as_many_hand_written_ones_as_promised() -> None:
    least = {"torch": 500, "tensorflow": 320, "onnx": 170, "keras": 90}
    for name, count in least.items():
        assert len(frontend(name).registry().targets()) >= count
