"""Models that take and return tuples, lists and dictionaries of tensors: every tensor in its place everywhere."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path as File

import numpy as np
import pytest

from fuzzer.converters.base import converters
from fuzzer.handling import script_of
from fuzzer.planning import default_settings
from fuzzer.runtimes.base import runtimes
from fuzzer.tasks import Subject
from generators.frontends.base import frontend
from generators.graph import Case, Graph, Input, Node, Path, Ref, TensorType, Value
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from tests.fuzzer.test_dynamic_reproducers import RUNNER

TARGETS = {
    "torch": ("torch.neg", ()),
    "tensorflow": ("tf.math.negative", ()),
    "keras": ("keras.layers.Activation", (("activation", "softsign"),)),
}
#: Keys that are not sorted, and inputs in another order than arguments that hold them.
PATHS = (("pair", 1), (), ("named", "mask"), ("pair", 0), ("named", "ids", (1,)), ("named", "ids", (0,)))
#: Results: one of several that is a dictionary, and all in one; what Keras does not have with it.
PLACES: dict[str, tuple[tuple[str, Path], ...]] = {
    "": (),
    "one of several": (("v4", ("r", "z")), ("v1", ("r", "mask"))),
    "all in one": tuple((f"v{index}", ("r", key)) for index, key in enumerate("zaycxb")),
    "nested": (("v5", ("r", "z")), ("v1", ("r", "b", (1,))), ("v3", ("r", "b", (0,))), ("v2", ("r", "a", 0))),
}
ROUTES = [
    ("torch.onnx-dynamo", {}, "onnxruntime", "optimized", True),
    ("torch.onnx-torchscript", {}, "onnxruntime", "optimized", True),
    ("torch.export", {}, "torch.export.module", "eager", False),
    ("tf2onnx", {}, "onnxruntime", "optimized", True),
    ("tf2onnx", {"api": "from_function"}, "onnxruntime", "optimized", False),
    ("tflite", {}, "litert", "xnnpack", True),
    ("tf.saved_model", {}, "tensorflow", "grappler", False),
    ("keras.onnx", {}, "onnxruntime", "optimized", False),
    ("keras.tf2onnx", {}, "onnxruntime", "optimized", True),
    ("keras.tflite", {}, "litert", "xnnpack", False),
]


def case_of(ours: str, *, dynamic: bool = False, returned: str = "") -> Case:
    """A graph of which each output is a function of one input."""
    target, kwargs = TARGETS[ours]
    kind = TensorType("float32", (2, 3))
    count = len(PATHS)
    marking = ("s0", None) if dynamic else ()
    inputs = tuple(Input(f"x{index}", kind, dynamic=marking, path=PATHS[index]) for index in range(count))
    nodes = tuple(
        Node(target, (Ref(f"x{index}"),), kwargs, (Value(f"v{index}", kind),)) for index in reversed(range(count))
    )
    graph = Graph(ours, inputs, (), nodes, tuple(f"v{index}" for index in range(count)), PLACES[returned])
    sizes = [2, 5] if dynamic else [2]
    feeds, *further = (
        {f"x{index}": np.full((size, 3), index + 1.0, "float32") for index in range(count)} for size in sizes
    )
    return Case(graph, feeds, {}, tuple(further))


def returnable(ours: str) -> list[str]:
    return ["", "all in one"] if ours == "keras" else list(PLACES)


@pytest.mark.parametrize(("name", "settings", "runtime", "variant", "dynamic"), ROUTES)
def test_every_tensor_gets_where_it_belongs(
    name: str, settings: dict[str, object], runtime: str, variant: str, dynamic: bool
) -> None:
    converter = converters()[name]
    used = {**default_settings(converter), **settings}
    for marked, returned in [
        # tf2onnx asks what is nested in a dictionary for its name when it is given a function.
        *((False, kind) for kind in returnable(converter.source.value) if kind != "nested" or "api" not in settings),
        *((True, kind) for kind in returnable(converter.source.value)[:2] if dynamic),
    ]:
        case = case_of(converter.source.value, dynamic=marked, returned=returned)
        model = frontend(case.graph.frontend).load(case)
        expected = frontend(case.graph.frontend).execute(model)
        artifact = converter.convert(model, used)
        converter.validate(artifact, model)
        runs = runtimes()[runtime]
        session = runs.load(artifact, runs.variants[variant])
        actual = runs.run(session, artifact, [case.feeds[value.name] for value in case.graph.inputs])
        for one, other in zip(expected, actual, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, err_msg=f"{marked} {returned}")


@pytest.mark.parametrize("ours", TARGETS)
def test_reproducers_arrange_the_inputs(ours: str, tmp_path: File) -> None:
    files, statuses = [], []
    for number, (name, settings, runtime, variant, dynamic) in enumerate(ROUTES):
        converter = converters()[name]
        if converter.source.value != ours:
            continue
        used = {**default_settings(converter), **settings}
        subject = Subject(ours, name, used, ((runtime, variant),))  # type: ignore[arg-type]
        signature = Signature(Stage.INFERENCE, runtime, Kind.VALUE, variant)
        seen = Observation(signature, Verdict.BUG, "", (0,), variant)
        for marked in (False, True)[: 1 + dynamic]:
            kinds = [kind for kind in returnable(ours) if kind != "nested" or "api" not in settings]
            returned = kinds[(number + marked) % len(kinds)]
            case = case_of(ours, dynamic=marked, returned=returned)
            text = script_of(case, seen, frontend(ours).source(case.graph), subject, converter)
            assert len(text.splitlines()) < 100
            assert "\narranged = lambda x: " in text
            assert ("\nreturned = lambda y: " in text) == bool(returned)
            changed = replace(case, feeds={**case.feeds, "x4": case.feeds["x4"] + 1})
            wrong = script_of(changed, seen, frontend(ours).source(case.graph), subject, converter)
            # What the runtime is fed is another tensor in the second script than what the model was called with.
            wrong = wrong.replace("for package in (", "feeds[4] = feeds[4] + 1\nfor package in (")
            for kind, content in (("right", text), ("wrong", wrong)):
                if kind == "wrong" and (marked or runtime == "torch.export.module" or runtime == "tensorflow"):
                    continue
                files.append(tmp_path / f"{number}_{marked}_{kind}.py")
                files[-1].write_text(content)
                statuses.append(int(kind == "wrong"))
    runner = tmp_path / "run.py"
    runner.write_text(textwrap.dedent(RUNNER))
    done = subprocess.run([sys.executable, runner, *files], cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert f"statuses {statuses}" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
