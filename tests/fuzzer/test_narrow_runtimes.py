"""A runtime that computes with fewer bits than values need says nothing, neither for a converter nor against it."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from fuzzer.prepared import Prepared, Results
from fuzzer.verdicts import NARROWED, Verdicts
from generators.frontends.base import Frontend
from generators.graph import Case, Graph
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict

WIDE, NARROW = "onnxruntime", "openvino"


@pytest.mark.parametrize(
    ("numbers", "stage", "component"),
    [({NARROWED: 1.0}, Stage.CONVERT, "converter"), ({}, Stage.INFERENCE, WIDE)],
    ids=["computes with 32 bits", "differs by no more than rounding explains"],
)
def test_who_computes_narrowly_does_not_side_with_the_source(
    numbers: dict[str, float], stage: Stage, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worst(self: Verdicts, item: Any, results: Any, name: str, variant: str, bounds: Any) -> Observation:
        verdict = Verdict.BUG if name == WIDE else Verdict.INCONCLUSIVE
        seen = Signature(Stage.INFERENCE, name, Kind.VALUE)
        return Observation(seen, verdict, "", (0,), variant, numbers if name == NARROW else {})

    monkeypatch.setattr(Verdicts, "_worst", worst)
    outputs: list[Results] = [(name, "f32", [[np.zeros(1)]]) for name in (WIDE, NARROW)]
    item = Prepared(0, Case(Graph("torch", (), (), (), ()), {}), [])
    found = Verdicts(cast(Frontend, None), "converter").of(item, outputs, None)
    [bug] = [seen for seen in found if seen.verdict is Verdict.BUG]
    assert (bug.signature.stage, bug.signature.component) == (stage, component)
