"""The assertion for test suites of converters, and the example in its documentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fuzzer.errors import UsageError
from fuzzer.testing import ConverterCrash, WrongModel, check_conversion, close_workers
from generators.graph import Case, Graph, Node, Ref, TensorType, Value
from oracles.outcome import Kind
from oracles.verification import verify
from tests.fuzzer.graphs import given, unary
from tests.fuzzer.planted_campaigns import TESTS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "pytest.md"
RELU = unary("torch", "relu", "float32", 2)


def planted_pytest(test: str, directory: Path, *, planted: bool = True) -> subprocess.CompletedProcess[str]:
    """pytest over a file with that content, in a process and a directory of its own."""
    (directory / "test_example.py").write_text(test)
    path = os.pathsep.join(
        [*([str(TESTS / "planted")] if planted else []), str(ROOT), os.environ.get("PYTHONPATH", "")]
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_what_converts_right_passes() -> None:
    check_conversion(RELU, "identity.torch")
    check_conversion(RELU.graph, "torch:identity.torch:interpreter")


def test_a_route_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="no route or converter"):
        check_conversion(RELU, "nix")
    with pytest.raises(ValueError, match="converts graphs of tensorflow, and this is one of torch"):
        check_conversion(RELU, "tflite")
    with pytest.raises(ValueError, match="has no option nix"):
        check_conversion(RELU, "identity.torch", settings={"nix": 1})


def test_a_graph_that_the_framework_refuses_is_no_example() -> None:
    # Eager mode of torch has no such operator for complex numbers.
    with pytest.raises(ValueError, match="has no result to compare with"):
        check_conversion(unary("torch", "relu", "complex64", 2), "identity.torch")


def test_the_example_of_the_guide_does_what_the_guide_says(tmp_path: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    done = planted_pytest(example, tmp_path, planted=False)
    assert "1 failed, 1 passed" in done.stdout, done.stdout[-3000:]
    assert "fuzzer.testing.WrongModel: truncatediv(" in done.stdout
    assert "wrong model · node conversion · tf2onnx" in done.stdout
    [named] = set(re.findall(r"reproducer: (\S+\.py)", done.stdout))
    script = (tmp_path / named).read_text(encoding="utf-8")
    assert "convfuzz" not in script
    assert verify(script, 1, deadline=120).failures == 1


_SEGFAULT = """
from hypothesis import given, settings
from fuzzer.testing import CONVERSIONS, ConverterCrash, check_conversion, graphs
import pytest

@settings(CONVERSIONS, max_examples=3, derandomize=True, database=None)
@given(graphs("torch", nodes=1, operators=["torch.neg"]))
def test_a_converter_that_dies_fails_the_test(case):
    with pytest.raises(ConverterCrash, match="SIGSEGV"):
        check_conversion(case, "planted.segfault", minimized=False, reproducers=None)

def test_pytest_goes_on():
    assert True
"""


def test_a_segfault_of_the_subject_does_not_end_pytest(tmp_path: Path) -> None:
    done = planted_pytest(_SEGFAULT, tmp_path)
    assert "2 passed" in done.stdout, done.stdout[-3000:]


def test_a_defect_tells_everything_about_itself(tmp_path: Path) -> None:
    """Of a real defect: the message, the case, and a script that shows it."""
    kind = TensorType("float32", (1,))
    node = Node("operator.floordiv", (Ref("x"), -0.021), (), (Value("y", kind),))
    case = Case(Graph("torch", (given("x", "float32", 1),), (), (node,), ("y",)), {"x": np.ones(1, np.float32)})
    with pytest.raises(WrongModel) as caught:
        check_conversion(case, "torch.onnx-torchscript", reproducers=tmp_path)
    defect = caught.value
    assert "expected -48.0, got -47.0" in str(defect)
    assert "x0 // (-0.021)" in str(defect)
    assert defect.observations[0].signature.kind is Kind.VALUE
    assert defect.path is not None
    assert defect.path.read_text(encoding="utf-8") == defect.script
    assert verify(defect.script, 1, deadline=120).failures == 1
    assert not isinstance(defect, ConverterCrash)


@pytest.fixture(autouse=True, scope="module")
def _no_workers_are_left() -> object:
    yield
    close_workers()
