"""What converters are spared changes nothing: artifacts and exceptions stay the same.

Artifacts of torch.onnx are compared byte for byte as they are. Nothing is normalised in them: names are numbered
from one in each conversion, and the stack traces in the metadata hold the frames of the model alone. tf2onnx gives
other bytes each time, so the structure of its models is compared (``warm_and_cold.structure``). Of exceptions the type,
the stage, the innermost function of the subject and the normalised message are compared, which is what findings are
told apart by.
"""

from __future__ import annotations

import copy
import inspect
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from fuzzer.converters._flatbuffer_offsets import quick_offsets
from fuzzer.converters._onnx_signatures import kept_signatures
from fuzzer.converters._onnxscript_rules import indexed_rules
from fuzzer.converters._tf2onnx_copies import quick_copies
from fuzzer.converters._tf2onnx_graphs import StepFailed, quick_nodes, shared_graphs
from fuzzer.converters._torch_jit import sparing_iteration
from fuzzer.converters._torch_tracing import sparing_tracing
from tests.fuzzer.warm_and_cold import PACK_EVERY

WAYS = ("warm", "cold")
#: Cold conversions that show whether a subject gives the same twice: one in three dies of a division by garbage.
REPEATS = 12


def converted(
    name: str, first: int, stop: int, folder: Path, ways: tuple[str, ...] = WAYS
) -> dict[int, dict[str, str]]:
    """Results by number and way, of random graphs in processes that may die: eager torch and the exporter both crash
    now and then. A graph that a process died of is converted each way again, alone."""
    results: dict[int, dict[str, str]] = defaultdict(dict)
    while first < stop:
        file = folder / f"{first}-{'-'.join(ways)}.jsonl"
        file.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "tests.fuzzer.warm_and_cold",
            name,
            str(file),
            str(first),
            str(stop),
            ",".join(ways),
        ]
        with open(folder / "stderr.txt", "ab") as errors:
            status = subprocess.run(command, stdout=errors, stderr=errors, check=False).returncode
        records: list[dict[str, Any]] = (
            [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        )
        assert records, (folder / "stderr.txt").read_text()[-3000:]
        for record in records:
            if "result" in record and record["step"] in WAYS:
                results[record["number"]][record["step"]] = record["result"]
        last = records[-1]
        if last["step"] == "done":
            return results
        number = last["number"]
        if last["step"] in WAYS and len(ways) == 1:
            results[number][last["step"]] = f"the process ended with status {status}"
        elif last["step"] in WAYS:
            for way in ways:
                results[number] |= converted(name, number, number + 1, folder, (way,))[number]
        first = number + 1
    return results


def check(results: dict[int, dict[str, str]]) -> int:
    """How many graphs gave an artifact; asserts that all graphs gave the same both ways."""
    different = {
        number: found for number, found in results.items() if len(found) != 2 or found["warm"] != found["cold"]
    }
    assert not different
    return sum(re.match("[0-9a-f]{64} ", found["cold"]) is not None for found in results.values())


def leave_out_unsteady(results: dict[int, dict[str, str]], name: str, folder: Path) -> int:
    """Remove the graphs that are different each way and whose cold conversions also differ from each other, alone in
    fresh processes: nobody can say what they are to give. Returns how many."""
    unsteady = []
    for number, found in results.items():
        if found.get("warm") != found.get("cold"):
            again = {converted(name, number, number + 1, folder, ("cold",))[number].get("cold") for _ in range(REPEATS)}
            if len(again) > 1:
                unsteady.append(number)
    for number in unsteady:
        del results[number]
    return len(unsteady)


def test_warm_conversions_of_random_graphs_are_cold_ones(tmp_path: Path) -> None:
    results = converted("torch.onnx-dynamo", PACK_EVERY - 7, PACK_EVERY + 1, tmp_path)
    assert len(results) >= 6
    assert check(results) >= 3


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("name", "count", "share"),
    [
        ("torch.onnx-dynamo", 500, 0.5),
        ("torch.onnx-torchscript", 500, 0.3),
        ("tf2onnx", 150, 0.4),
        ("tflite", 300, 0.1),
    ],
)
def test_warm_conversions_of_many_random_graphs_are_cold_ones(
    name: str, count: int, share: float, tmp_path: Path
) -> None:
    results = converted(name, 0, count, tmp_path)
    unsteady = leave_out_unsteady(results, name, tmp_path)
    assert unsteady <= count / 100
    artifacts = check(results)
    print(f"{unsteady} left out: each cold conversion differs")
    print(f"{count} numbers, {len(results)} graphs, {artifacts} artifacts, {len(results) - artifacts} other outcomes")
    assert len(results) >= 0.95 * count
    # Enough of them: tflite refuses four graphs in five, and that the same way counts for less.
    assert artifacts >= share * count


def test_rules_that_cannot_match_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx_ir as ir
    from onnxscript.rewriter import _DEFAULT_REWRITE_RULES, RewriteRuleSet, _matcher

    def model() -> ir.Model:
        x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape((2, 3)))
        once = ir.node("Transpose", [x], {"perm": [1, 0]})
        twice = ir.node("Transpose", [once.outputs[0]], {"perm": [1, 0]})
        added = ir.node("Add", [twice.outputs[0], x])
        graph = ir.Graph([x], [added.outputs[0]], nodes=[once, twice, added], opset_imports={"": 20})
        return ir.Model(graph, ir_version=10)

    tried: list[tuple[Any, str]] = []
    match = _matcher.SimplePatternMatcher.match

    def counted(self: Any, model: Any, graph: Any, node: Any, **options: Any) -> Any:
        tried.append((self.pattern.output_nodes[0].op, node.op_type))
        return match(self, model, graph, node, **options)

    monkeypatch.setattr(_matcher.SimplePatternMatcher, "match", counted)
    rules = RewriteRuleSet(_DEFAULT_REWRITE_RULES)
    cold = model()
    applied = rules.apply_to_model(cold)
    attempts = len(tried)
    tried.clear()
    warm = model()
    with indexed_rules():
        assert rules.apply_to_model(warm) == applied > 0
    assert str(ir.to_proto(warm)) == str(ir.to_proto(cold))
    assert 0 < len(tried) < attempts / 4
    assert all(operator.matches(node) for operator, node in tried)


def test_a_root_that_accepts_several_operators_is_always_tried() -> None:
    import onnx_ir as ir
    from onnxscript.rewriter import RewriteRule
    from onnxscript.rewriter._pattern_ir import PrefixPattern

    def pattern(op: Any, x: Any) -> Any:
        return op.submodule("Re")(x)

    rule = RewriteRule(pattern, lambda op, x, **_: op.Identity(x))
    assert isinstance(rule._matcher.pattern.output_nodes[0].op, PrefixPattern)
    x = ir.Value(name="x")
    node = ir.node("Relu", [x])
    graph = ir.Graph([x], [node.outputs[0]], nodes=[node], opset_imports={"": 20})
    with indexed_rules():
        assert rule.try_rewrite(ir.Model(graph, ir_version=10), graph, node) is not None


def test_signatures_of_other_schemas_are_not_mistaken_for_those_of_onnx() -> None:
    import onnx
    from onnx_ir.schemas import OpSignature

    official = onnx.defs.get_schema("Relu", 20, "")
    impostor = onnx.defs.OpSchema("Relu", "", official.since_version)
    with kept_signatures():
        first = OpSignature.from_op_schema(official)
        assert OpSignature.from_op_schema(onnx.defs.get_schema("Relu", 20, "")) is first
        assert OpSignature.from_op_schema(impostor).params == []
    assert OpSignature.from_op_schema(official) is not first
    assert OpSignature.from_op_schema(official) == first


def test_values_by_number_are_those_of_the_iterators_and_that_is_undone() -> None:
    import torch
    from torch.onnx._internal.torchscript_exporter import symbolic_helper, utils

    graph = torch._C.Graph()
    values = [graph.addInput() for _ in range(3)]
    node = graph.insertNode(graph.create("prim::Split", values, 2))
    empty = graph.insertNode(graph.create("prim::Nothing", [], 0))
    before = (torch._C.Node.inputs, torch._C.Node.outputs, utils._split_tensor_list_constants, symbolic_helper.inspect)
    slow = [[value.unique() for value in group] for group in (node.inputs(), node.outputs(), empty.inputs())]
    with sparing_iteration():
        assert torch._C.Node.inputs is not before[0]
        quick = [[value.unique() for value in group] for group in (node.inputs(), node.outputs(), empty.inputs())]
        signature = symbolic_helper.inspect.signature(check)
    assert quick == slow == [[0, 1, 2], [3, 4], []]
    assert signature == inspect.signature(check)
    after = (torch._C.Node.inputs, torch._C.Node.outputs, utils._split_tensor_list_constants, symbolic_helper.inspect)
    assert after == before


def test_constants_that_are_lists_are_still_split_in_every_block() -> None:
    import torch
    from torch.onnx._internal.torchscript_exporter import utils

    source = """
def branches(x, c: bool):
    y = x + 1.5
    if c:
        y = y * 2.5
    return y
"""

    def with_list(nested: bool) -> torch._C.Graph:
        graph: torch._C.Graph = torch.jit.CompilationUnit(source).branches.graph
        number = 2.5 if nested else 1.5
        [within] = [node for node in graph.findAllNodes("prim::Constant") if node.output().toIValue() == number]
        graph.insertConstant([torch.ones(2), torch.zeros(1)]).node().moveBefore(within)
        return graph

    for nested in (False, True):
        slow, quick = (with_list(nested) for _ in range(2))
        utils._split_tensor_list_constants(slow, slow)
        with sparing_iteration():
            utils._split_tensor_list_constants(quick, quick)
        assert str(quick) == str(slow)
        assert "prim::ListConstruct" in str(quick)


def test_tracing_without_copies_and_annotations_is_undone() -> None:
    import torch
    from torch._ops import OperatorBase
    from torch.fx.traceback import NodeSource
    from torch.utils import _traceback

    graph = torch.fx.Graph()
    source = NodeSource(graph.placeholder("x"))
    before = (OperatorBase.py_impl, _traceback.traceback)
    with sparing_tracing():
        assert OperatorBase.py_impl is not before[0]
        assert OperatorBase.py_impl.__code__.co_firstlineno == before[0].__code__.co_firstlineno
        assert copy.deepcopy([source])[0] is source
        frame = _traceback.traceback.FrameSummary(__file__, 1, "f")
    assert (OperatorBase.py_impl, _traceback.traceback) == before
    assert copy.deepcopy(source) is not source
    assert frame.line.startswith('"""What converters are spared')


def test_quick_copies_of_graphs_are_deep_copies() -> None:
    import onnx
    from onnx import helper
    from tf2onnx.graph import Graph

    def made() -> Any:
        body = Graph([helper.make_node("Identity", ["x"], ["inner"], name="i")], {"inner": [2]}, {"inner": 1}, opset=18)
        nodes = [helper.make_node("Placeholder", [], ["x"], name="x"), helper.make_node("Relu", ["x"], ["y"], name="y")]
        shape = [2]
        graph = Graph(nodes, {"x": shape, "y": shape}, {"x": 1, "y": 1}, opset=18, output_names=["y"])
        graph.get_node_by_name("x").set_body_graph_as_attr("then_branch", body)
        return graph

    def told(value: Any, seen: dict[int, int]) -> Any:
        """Everything in the value, with objects that occur again named by their number."""
        if isinstance(value, (str, int, float, bool, type(None))):
            return value
        if isinstance(value, onnx.NodeProto):
            return value.SerializeToString(deterministic=True)
        if id(value) in seen:
            return seen[id(value)]
        seen[id(value)] = len(seen)
        if isinstance(value, (list, tuple, set)):
            return [type(value).__name__, *(told(item, seen) for item in value)]
        if isinstance(value, dict):
            return [(told(key, seen), told(item, seen)) for key, item in value.items()]
        return [type(value).__name__, told(vars(value), seen) if hasattr(value, "__dict__") else str(value)]

    graph = made()
    before = told(graph, {})
    slow = copy.deepcopy(graph)
    with quick_copies():
        quick = copy.deepcopy(graph)
    assert told(quick, {}) == told(slow, {})
    assert quick._output_shapes["x"] is quick._output_shapes["y"] is not graph._output_shapes["x"]
    quick.get_node_by_name("x").set_attr("axis", 3)
    quick._output_shapes["x"].append(4)
    assert told(graph, {}) == before
    assert "__deepcopy__" not in vars(Graph)


def body_and_graph() -> Any:
    """A graph of tf2onnx in which a node has a subgraph that uses a value of the graph."""
    from onnx import helper
    from tf2onnx.graph import Graph

    nodes = [helper.make_node("Placeholder", [], ["x"], name="x"), helper.make_node("Relu", ["x"], ["y"], name="y")]
    graph = Graph(nodes, {"x": [2], "y": [2]}, {"x": 1, "y": 1}, opset=18, output_names=["y"])
    body = graph.create_new_graph_with_same_config()
    body.parent_graph = graph
    graph.get_node_by_name("x").set_body_graph_as_attr("then_branch", body)
    body.make_node("Neg", ["x"], name="inner", dtypes=[1], shapes=[[2]])
    return graph


def test_a_shared_graph_does_not_find_its_subgraphs_where_a_copy_does_not() -> None:
    from tf2onnx import optimizer

    def consumers(graph: Any) -> list[str]:
        [body] = graph.get_node_by_name("x").get_body_graphs().values()
        before = [node.name for node in graph.find_output_consumers("x")]
        body.remove_node("inner")
        return [
            *before,
            "removed",
            *(node.name for node in graph.find_output_consumers("x")),
            str(len(_entries(graph))),
        ]

    original = consumers(body_and_graph())
    copied = consumers(copy.deepcopy(body_and_graph()))
    graph = body_and_graph()
    with shared_graphs():
        assert optimizer.copy.deepcopy(graph) is graph
    assert consumers(graph) == copied != original
    assert optimizer.copy is copy


def _entries(graph: Any) -> dict[int, Any]:
    entries: dict[int, Any] = graph._input_to_graph["x"]
    return entries


def test_a_step_that_fails_on_a_shared_graph_has_the_conversion_done_again() -> None:
    from tf2onnx.optimizer.optimizer_base import GraphOptimizerBase

    class Failing(GraphOptimizerBase):  # type: ignore[misc]
        def _optimize(self, graph: Any) -> Any:
            raise ZeroDivisionError("no")

    original = GraphOptimizerBase.optimize
    with shared_graphs(), pytest.raises(StepFailed, match="Failing: no"):
        Failing().optimize(body_and_graph(), 0)
    assert GraphOptimizerBase.optimize is original


def test_quick_nodes_do_what_nodes_of_tf2onnx_do() -> None:
    from tf2onnx.graph import Graph, Node

    def told(graph: Any) -> list[Any]:
        node = graph.get_node_by_name("y")
        node.set_attr("axis", 2)
        node.update_proto()
        extracted = graph.extract_sub_graph_nodes(["y"], remove_unused_inputs=False)
        graph.delete_unused_nodes(graph.outputs)
        placeholder = graph.get_node_by_name("x")
        placeholder.update_proto()
        found = [
            str(node.op),
            str(placeholder.op),
            sorted(found.name for found in extracted),
            sorted(graph.dump_node_statistics().items()),
            placeholder.get_implicit_inputs(),
            node.get_implicit_inputs(),
            sorted(graph._dtypes.items()),
            sorted(graph._output_shapes.items()),
            sorted((name, sorted(users)) for name, users in graph._output_to_consumers.items()),
            sorted(graph._output_to_node_name.items()),
            sorted(graph.contained_graphs),
        ]
        graph.inputs.append(node)
        with pytest.raises(ValueError, match="graph input 'y' not exist"):
            graph.reset_nodes([placeholder])
        node.graph = None
        with pytest.raises(ValueError, match="not belonging any graph"):
            node.get_body_graphs()
        return found

    before = {**vars(Node), **vars(Graph)}
    # tf2onnx numbers names through the life of the process: the second is a copy.
    made = body_and_graph()
    slow = told(copy.deepcopy(made))
    with quick_nodes():
        assert Node.update_proto is not before["update_proto"]
        assert told(made) == slow
    assert {**vars(Node), **vars(Graph)} == before


def test_quick_offsets_are_those_of_flatbuffers() -> None:
    from flatbuffers.table import Table

    def asked(data: bytes, position: int, field: int) -> Any:
        try:
            found = Table(data, position).Offset(field)
        except Exception as error:  # noqa: BLE001  (errors are to be the same, too)
            return type(error).__name__, str(error)
        return type(found).__name__, found

    table = bytes([8, 0, 8, 0, 4, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0])
    backwards = bytes(8) + (2**32 - 100).to_bytes(4, "little") + (100).to_bytes(4, "little")
    questions = [
        (data, position, field)
        for data in (table, backwards, b"", bytes(range(256)), bytes([255]) * 16)
        for position in (0, 1, 8, 12, 15, 16, 200)
        for field in (4, 6, 8, 10, 60000)
    ]
    slow = [asked(*question) for question in questions]
    original = Table.Offset
    with quick_offsets():
        assert Table.Offset is not original
        assert [asked(*question) for question in questions] == slow
    assert Table.Offset is original
    assert ("int", 4) in slow
    assert ("int", 0) in slow
    assert {kind for kind, _ in slow} > {"int", "error"}
