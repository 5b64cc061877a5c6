"""What only goes wrong at another size than the one that a model was converted with."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpus.records import FindingState
from corpus.store import Store
from fuzzer.converters.base import converters
from fuzzer.converters.torch_onnx_dynamo import TorchOnnxDynamo
from fuzzer.converters.torch_onnx_torchscript import TorchOnnxTorchScript
from fuzzer.formats import Artifact, Format, Unsupported
from fuzzer.promises import takes
from fuzzer.runtimes.base import runtimes
from generators.frontends.base import frontend
from generators.graph import Array, Case, Graph, Input, Node, Ref, Value, type_of
from generators.serial import loads
from generators.sizes import at_size, is_dynamic
from generators.transforms import retype, union
from oracles.outcome import Kind, Stage
from tests.fuzzer.planted_campaigns import MOSTLY_GUILTY, environment, finish, start


def floats(*shape: int) -> Array:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def case_of(name: str, targets: list[str], sizes: list[int], axis: int = 0) -> Case:
    """A chain of calls of one argument on an input of rank 2 whose extent at the axis has those sizes."""
    feeds = [{"x": floats(*((size, 3) if axis == 0 else (3, size)))} for size in sizes]
    marking = ("n", None) if axis == 0 else (None, "n")
    nodes = []
    for index, target in enumerate(targets):
        before = f"v{index - 1}" if index else "x"
        nodes.append(Node(target, (Ref(before),), (), (Value(f"v{index}", type_of(feeds[0]["x"])),)))
    entry = Input("x", type_of(feeds[0]["x"]), (), marking)
    graph = Graph(name, (entry,), (), tuple(nodes), (nodes[-1].outputs[0].name,))
    graph = retype(graph, frontend(name).run(graph, feeds[0]))
    return Case(graph, feeds[0], {}, tuple(feeds[1:]))


#: Converter, runtime, operators that keep the shape, and a size of each kind that the route takes.
ROUTES = [
    ("torch.onnx-dynamo", "onnxruntime", ["torch.neg", "torch.relu"], [4, 6, 1, 0]),
    ("torch.onnx-torchscript", "onnxruntime", ["torch.neg", "torch.relu"], [4, 6, 1, 0]),
    ("tf2onnx", "onnxruntime", ["tf.math.negative", "tf.nn.relu"], [4, 6, 1, 0]),
    ("tflite", "litert", ["tf.math.negative", "tf.nn.relu"], [4, 6, 1]),
    ("onnx", "onnxruntime", ["onnx.Neg", "onnx.Relu"], [4, 6, 1, 0]),
]


@pytest.mark.parametrize(("name", "runtime", "targets", "sizes"), ROUTES, ids=[name for name, *_ in ROUTES])
def test_a_model_runs_at_every_size_that_it_promises(
    name: str, runtime: str, targets: list[str], sizes: list[int]
) -> None:
    """In company of a static graph, on one session."""
    converter, chosen = converters()[name], runtimes()[runtime]
    ours = frontend(converter.source.value)
    dynamic = case_of(ours.name, targets, sizes)
    fixed = at_size(case_of(ours.name, targets, [5]), 0)
    both = union([fixed, dynamic]).case
    assert is_dynamic(both.graph)
    converter.warm_up()
    chosen.warm_up()
    artifact = converter.convert(ours.load(both), {})
    converter.validate(artifact, ours.load(both))
    for variant in chosen.variants.values():
        session = chosen.load(artifact, variant)
        for number in range(len(sizes)):
            at = at_size(both, number)
            feeds = [at.feeds[value.name] for value in at.graph.inputs]
            assert takes(artifact, 0, feeds)
            values = ours.run(at.graph, at.feeds)
            for output, actual in zip(at.graph.outputs, chosen.run(session, artifact, feeds), strict=True):
                np.testing.assert_array_equal(actual, values[output])


@pytest.mark.parametrize("dims", ["Dim", "Dim.DYNAMIC", "Dim.AUTO", "name"])
def test_what_torch_export_makes_static_is_not_promised(dims: str) -> None:
    """A reshape to a literal shape pins the extent: the exporter says so, or leaves it at that."""
    case = case_of("torch", ["torch.neg"], [4, 6])
    value = Value("v1", type_of(floats(2, 6)))
    pinned = Node("torch.reshape", (Ref("v0"), (2, 6)), (), (value,))
    graph = replace(case.graph, nodes=(*case.graph.nodes, pinned), outputs=("v1",))
    converter = TorchOnnxDynamo()
    model = frontend("torch").load(Case(graph, case.feeds))
    if dims in ("Dim.DYNAMIC", "name"):
        with pytest.raises(Unsupported, match=r"inferred a static shape|Constraints violated"):
            converter.convert(model, {"dims": dims})
        return
    artifact = converter.convert(model, {"dims": dims})
    assert not takes(artifact, 0, [floats(6, 3)])
    assert takes(artifact, 0, [floats(4, 3)])


def test_a_range_that_torch_export_states_is_what_is_promised() -> None:
    case = case_of("torch", ["torch.neg"], [4, 6])
    node = Node("torch.narrow", (Ref("v0"), 0, 1, 3), (), (Value("v1", type_of(floats(3, 3))),))
    graph = replace(case.graph, nodes=(*case.graph.nodes, node), outputs=("v1",))
    artifact = TorchOnnxDynamo().convert(frontend("torch").load(Case(graph, case.feeds)), {})
    assert [takes(artifact, 0, [floats(size, 3)]) for size in (3, 4, 9)] == [False, True, True]


def test_promises() -> None:
    extents = (("s", 3), (None, "t"), ("2*s + t", 1), None)
    artifact = Artifact(Format.ONNX, b"", ("a", "b", "c", None), (), extents=extents, ranges={"t": (2, 9)})
    good = [floats(5, 3), floats(7, 4), floats(14, 1), floats(8)]
    assert takes(artifact, 0, good)
    assert takes(artifact, 3, [floats(2)])
    assert takes(Artifact(Format.ONNX, b"", ("a",), ()), 0, [floats(5)])
    for place, other in ((0, (5, 4)), (0, (4, 3)), (1, (7, 1)), (1, (7, 10)), (2, (13, 1))):
        assert not takes(artifact, 0, [floats(*other) if index == place else feed for index, feed in enumerate(good)])
    odd = Artifact(Format.ONNX, b"", ("a",), (), extents=(("Max(1, s)",),))
    assert not takes(odd, 0, [floats(5)])


def test_torchscript_refuses_what_its_tracer_warns_of() -> None:
    """The extent is read in Python when the module is traced."""
    case = case_of("torch", ["torch.nn.functional.gumbel_softmax"], [4, 6])
    with pytest.raises(Unsupported):
        TorchOnnxTorchScript().convert(frontend("torch").load(case), {})


def test_a_defect_at_another_size_is_found_minimized_and_verified(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    routes = ["torch:planted.frozen-size:interpreter"]
    campaign = finish(start(corpus, seed=26, graphs=400, routes=routes, operators=MOSTLY_GUILTY))
    with Store.open(corpus) as store:
        [bucket] = store.summary(campaign).buckets
        finding = bucket.representative
        assert finding.state is FindingState.VERIFIED
        assert finding.nodes == 1
        assert (finding.signature.stage, finding.signature.kind) == (Stage.CONVERT, Kind.SHAPE)
        assert finding.title.startswith("neg(x0) ")
        assert "[s0" in finding.title
        assert " at s0=" in finding.title
        case = loads(store.objects.get(finding.minimized_object))
        script = store.objects.get(finding.reproducer_object).decode()
    # One dimension, one further size, as small as they can be.
    [(first, *rest)] = [value.dynamic for value in case.graph.inputs]
    assert first == "s0"
    assert not any(rest)
    [small, large] = [case.feeds["x0"].shape, *(feeds["x0"].shape for feeds in case.further)]
    assert large == (small[0] + 1, *small[1:])
    assert small[0] <= 2
    assert max(small[1:], default=0) <= 1
    path = tmp_path / "reproducer.py"
    path.write_text(script)
    done = subprocess.run([sys.executable, path], env=environment(), capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "dynamic_shapes = [{0: 's0'}]" in script
