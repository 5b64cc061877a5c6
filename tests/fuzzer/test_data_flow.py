"""Sequences of operators follow the data, in source graphs and in artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import flatbuffers
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper

from fuzzer.data_flow import Flow, flow_of, flows_of
from fuzzer.formats import Artifact, Format
from generators.graph import Argument, Graph, Input, Node, Ref, TensorType, Value

KIND = TensorType("float32", (2,))


def counted(flow: Flow) -> Counter[str]:
    return Counter(sequence for sequences in flow.sequences() for sequence in sequences)


def node(target: str, to: str, *args: Argument) -> Node:
    return Node(target, args, (), (Value(to, KIND),))


def graph(*nodes: Node) -> Graph:
    return Graph("torch", (Input("x", KIND),), (), nodes, (nodes[-1].outputs[0].name,))


def test_a_chain_has_every_stretch_of_it_up_to_five() -> None:
    names = "abcdefg"
    nodes = [node(name, name.upper(), Ref(before)) for before, name in zip("xABCDEF", names, strict=True)]
    expected = [" ".join(names[i : i + n]) for n in range(1, 6) for i in range(len(names) - n + 1)]
    assert counted(flow_of(graph(*nodes))) == Counter(expected)


def test_paths_through_a_diamond_count_each_and_a_value_used_twice_once() -> None:
    made = graph(
        node("a", "A", Ref("x")),
        node("b", "B", Ref("A")),
        node("b", "C", Ref("A")),
        node("c", "D", (Ref("B"), Ref("C"))),
        node("d", "E", Ref("D"), Ref("D")),
    )
    assert counted(flow_of(made)) == {
        "a": 1,
        "b": 2,
        "c": 1,
        "d": 1,
        "a b": 2,
        "b c": 2,
        "c d": 1,
        "a b c": 2,
        "b c d": 2,
        "a b c d": 2,
    }


def test_a_body_goes_on_from_what_it_captures() -> None:
    body = Graph("torch", (Input("y", KIND),), (), (node("inner", "I", Ref("y"), Ref("A")),), ("I",))
    made = graph(node("a", "A", Ref("x")), node("loop", "L", Ref("x"), body), node("after", "Z", Ref("L")))
    assert {"a inner", "a loop", "loop after"} <= set(counted(flow_of(made)))
    assert "inner after" not in counted(flow_of(made))


def test_wiring_that_multiplies_paths_is_cut_short() -> None:
    """Of 300 operators that each consume all before them, there are 1.9e10 sequences of five."""
    flow = Flow()
    for index in range(300):
        flow.add("a", map(str, range(index)), {str(before): before for before in range(index)})
    assert set(counted(flow)) == {"a"}


def test_names_hold_no_spaces() -> None:
    flow = Flow()
    flow.add("my operator", (), {})
    flow.add("", (), {})
    flow.add("x" * 5000, (), {})
    assert [len(sequence.split(" ")) for sequence in counted(flow)] == [1, 1, 1]
    assert max(map(len, counted(flow))) == 200


def onnx_artifact(nodes: Sequence[onnx.NodeProto], functions: Sequence[onnx.FunctionProto] = ()) -> Artifact:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    imports = [helper.make_opsetid(domain, 20) for domain in ("", "com.microsoft", "local")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [value], [value]), opset_imports=imports, functions=functions
    )
    return Artifact(Format.ONNX, model.SerializeToString(), ("x",), ("x",))


def test_onnx_names_other_domains_and_enters_bodies() -> None:
    body = helper.make_graph([helper.make_node("Neg", ["a"], ["n"])], "then", [], [])
    artifact = onnx_artifact(
        [
            helper.make_node("Abs", ["x"], ["a"]),
            helper.make_node("Gelu", ["a", ""], ["g"], domain="com.microsoft"),
            helper.make_node("If", ["g"], ["i"], then_branch=body, else_branch=body),
            helper.make_node("Relu", ["i"], ["r"], domain="ai.onnx"),
        ]
    )
    [flow] = flows_of(artifact)
    found = counted(flow)
    assert found["Abs com.microsoft::Gelu If Relu"] == 1
    assert found["Abs Neg"] == 2
    assert max(sequence.count(" ") for sequence in found) == 3


def test_graphs_of_a_pack_are_not_connected() -> None:
    artifact = onnx_artifact([helper.make_node("Abs", ["x"], ["a"]), helper.make_node("Neg", ["x"], ["b"])])
    assert counted(*flows_of(artifact)) == {"Abs": 1, "Neg": 1}


def test_an_onnx_function_is_a_flow_of_its_own() -> None:
    nodes = [helper.make_node("Abs", ["p"], ["q"]), helper.make_node("Neg", ["q"], ["r"])]
    function = helper.make_function("local", "f", ["p"], ["r"], nodes, [helper.make_opsetid("", 20)])
    artifact = onnx_artifact([helper.make_node("f", ["x"], ["y"], domain="local")], [function])
    outer, inner = flows_of(artifact)
    assert counted(outer) == {"local::f": 1}
    assert counted(inner) == {"Abs": 1, "Neg": 1, "Abs Neg": 1}


def tflite_artifact(*subgraphs: Sequence[tuple[int, list[int], list[int]]]) -> Artifact:
    """A FlatBuffer of subgraphs of operators: index of the code (ADD, GELU, a custom one), inputs, outputs."""
    names = schema.BuiltinOperator
    model = schema.ModelT()
    model.operatorCodes = []
    for builtin, custom in ((names.ADD, None), (names.GELU, None), (names.CUSTOM, b"Flex Thing")):
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.customCode = builtin, min(builtin, 127), custom
        model.operatorCodes.append(code)
    model.subgraphs = []
    for operators in subgraphs:
        subgraph = schema.SubGraphT()
        subgraph.operators = []
        for code_index, inputs, outputs in operators:
            operator = schema.OperatorT()
            operator.opcodeIndex, operator.inputs, operator.outputs = code_index, inputs, outputs
            subgraph.operators.append(operator)
        model.subgraphs.append(subgraph)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return Artifact(Format.TFLITE, bytes(builder.Output()), (), ())


def test_tflite_names_builtins_and_custom_operators() -> None:
    artifact = tflite_artifact([(0, [0, -1], [1]), (1, [1], [2]), (2, [2, 1], [3])], [(0, [1], [2])])
    first, second = flows_of(artifact)
    assert counted(first) == {
        "ADD": 1,
        "GELU": 1,
        "Flex_Thing": 1,
        "ADD GELU": 1,
        "ADD Flex_Thing": 1,
        "GELU Flex_Thing": 1,
        "ADD GELU Flex_Thing": 1,
    }
    assert counted(second) == {"ADD": 1}


@pytest.mark.parametrize("format", [Format.GRAPH, Format.TORCH])
def test_other_formats_have_no_operators_of_their_own(format: Format) -> None:
    assert flows_of(Artifact(format, b"anything", (), ())) == []
