"""Users' ``.tflite`` models on LiteRT's kernels and through tf2onnx's importer: what is right passes, what is planted
is found where it is, quantized operators are held to the steps of their scales."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from fuzzer.errors import UsageError
from fuzzer.pipeline import Pipeline
from fuzzer.routes import select
from fuzzer.runtimes.base import runtimes
from fuzzer.runtimes.litert import LiteRT
from fuzzer.tasks import CaseResult, JudgeTask, Subject
from fuzzer.tflite_bounds import bounds_of
from generators.frontends.base import feeds_of, frontend
from generators.graph import Array, Case
from generators.importers.child import Request, read
from generators.serial import dumps
from generators.transforms import isolate
from oracles.outcome import Kind, Verdict
from oracles.quantization import judge_quantized
from tests.tflite_models import KINDS, model

ROOT = Path(__file__).parents[2]
ROUTES = {"tflite.model": "litert", "tflite.tf2onnx": "onnxruntime"}


def read_case(directory: Path, kind: str) -> Case:
    path = directory / f"{kind}.tflite"
    path.write_bytes(model(kind))
    return read(Request(str(path), ""))[0]


def judged(converter: str, *cases: Case) -> list[CaseResult]:
    runtime = ROUTES[converter]
    subject = Subject("tflite", converter, {}, tuple((runtime, variant) for variant in runtimes()[runtime].variants))
    pipeline = Pipeline(subject, lambda step: None, lambda text: None, lambda: "")
    task = JudgeTask(subject, tuple((number, dumps(case)) for number, case in enumerate(cases)))
    return [result for result in pipeline.judge(task).results if result.number >= 0]


def parts_of(case: Case) -> list[Case]:
    """The operators by themselves, but for those of constants alone: XNNPACK of ai-edge-litert 2.3 refuses a model of
    one DEQUANTIZE of a float16 constant."""
    return [part for part in isolate(case, frontend("tflite").run(case.graph, case.feeds)) if part.graph.inputs]


@pytest.mark.parametrize("converter", ROUTES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_passes_whole_and_in_parts(tmp_path: Path, converter: str, kind: str) -> None:
    case = read_case(tmp_path, kind)
    for result in judged(converter, case, *parts_of(case)):
        assert not result.refused
        assert [seen for seen in result.seen if seen.verdict == Verdict.BUG.value] == []


@pytest.fixture
def bad_additions(monkeypatch: pytest.MonkeyPatch) -> None:
    """tf2onnx with a handler that loses the sign of sums."""
    from tf2onnx.tflite_handlers import tfl_math

    original = tfl_math.separate_fused_activation_function

    def separate(context: Any, node: Any) -> None:
        original(context, node)
        if node.type == "Add":
            context.insert_new_node_on_output("Abs", node.output[0])

    monkeypatch.setattr(tfl_math, "separate_fused_activation_function", separate)


@pytest.mark.usefixtures("bad_additions")
@pytest.mark.parametrize("kind", ["float", "int8"])
def test_a_planted_defect_of_an_importer_is_found_in_its_operator(tmp_path: Path, kind: str) -> None:
    case = read_case(tmp_path, kind)
    guilty = [
        part.graph.nodes[0].target
        for part, result in zip(parts_of(case), judged("tflite.tf2onnx", *parts_of(case)), strict=True)
        if any(seen.verdict == Verdict.BUG.value for seen in result.seen)
    ]
    assert guilty == ["tflite.ADD"]
    if kind == "float":
        [whole] = judged("tflite.tf2onnx", case)
        assert {(seen.component, seen.kind) for seen in whole.seen} == {("tflite.tf2onnx", Kind.VALUE.value)}


@pytest.mark.parametrize(
    ("wrong", "accused"),
    [(lambda name: name == "xnnpack", "xnnpack"), (lambda name: True, "xnnpack, builtin, reference")],
)
def test_kernels_that_dissent_are_the_runtimes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[str], bool], accused: str
) -> None:
    """Nobody converted the model: where all kernels are wrong together, LiteRT is still the one to blame."""
    load, run = LiteRT.load, LiteRT.run

    def marked(self: LiteRT, artifact: Any, settings: Any) -> Any:
        session = load(self, artifact, settings)
        session.spoilt = wrong(str(settings["kernels"])) and settings.get("threads", 1) == 1
        return session

    def spoilt(self: LiteRT, session: Any, artifact: Any, feeds: Any) -> list[Array]:
        return [output + 1 if session.spoilt else output for output in run(self, session, artifact, feeds)]

    monkeypatch.setattr(LiteRT, "load", marked)
    monkeypatch.setattr(LiteRT, "run", spoilt)
    [result] = judged("tflite.model", read_case(tmp_path, "float"))
    assert {(seen.component, seen.kind, seen.detail) for seen in result.seen} == {("litert", "value", accused)}


def test_one_step_is_granted_and_two_are_not(tmp_path: Path) -> None:
    case = read_case(tmp_path, "int8")
    [part] = [part for part in parts_of(case) if part.graph.operators() == ("tflite.FULLY_CONNECTED",)]
    ours = frontend("tflite")
    [expected] = ours.execute(ours.load(part))
    bounds = bounds_of(part.graph, feeds_of(part))
    assert bounds is not None
    np.testing.assert_array_equal(bounds.floats[0], 1.0)
    off = np.where(expected < 100, 1, -1).astype(np.int8)
    assert judge_quantized(ours, part, [expected], [expected + off], bounds) == []
    [found] = judge_quantized(ours, part, [expected], [expected + 2 * off], bounds)
    assert found.verdict is Verdict.BUG
    assert found.numbers["bound"] == 1.0


def test_models_that_are_not_quantized_have_no_bounds(tmp_path: Path) -> None:
    case = read_case(tmp_path, "float")
    assert bounds_of(case.graph, feeds_of(case)) is None


def test_no_campaign_grows_such_graphs() -> None:
    for patterns in ((), ("*tf*",)):
        assert "tflite" not in {route.frontend for route in select(patterns)}
    with pytest.raises(UsageError, match="models of your own"):
        select(["tflite.model"])
    assert {route.frontend for route in select(["tflite.model"], own_models=True)} == {"tflite"}


PLANTED = """
import importlib.abc, importlib.machinery, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "tf2onnx.tflite_handlers.tfl_math":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            original = module.separate_fused_activation_function

            def separate(context, node):
                original(context, node)
                if node.type == "Add":
                    context.insert_new_node_on_output("Abs", node.output[0])

            module.separate_fused_activation_function = separate

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


def test_a_quantized_model_is_reduced_to_the_guilty_operator(tmp_path: Path) -> None:
    """As a user runs it, tf2onnx with a planted defect in every process."""
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    (tmp_path / "mine.tflite").write_bytes(model("int8"))
    paths = [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def convfuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fuzzer.cli", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800, check=False
        )

    done = convfuzz("minimize", "mine.tflite", "--route", "tflite.tf2onnx", "--json")
    assert done.returncode == 1, done.stderr
    rows = [row for line in done.stdout.splitlines() if "finding" in (row := json.loads(line)) and "outcome" in row]
    assert {row["finding"] for row in rows if row["outcome"] == "mismatch"} != {""}
    [bucket] = [json.loads(line) for line in convfuzz("findings", "--json").stdout.splitlines()]
    shown = bucket["representative"]
    assert (shown["state"], shown["nodes"]) == ("verified", 1)
    assert shown["title"].startswith("ADD(x0, x1, fusedActivationFunction=")
    script = (tmp_path / "convfuzz-corpus" / "findings" / shown["id"] / "reproducer.py").read_text()
    assert "tf2onnx.convert.from_tflite" in script
    assert "fuzzer" not in script
    again = read(Request(str(tmp_path / "convfuzz-corpus" / "findings" / shown["id"] / "reproducer.py"), ""))[0]
    assert again.graph.operators() == ("tflite.ADD",)
