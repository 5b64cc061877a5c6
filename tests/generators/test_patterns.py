"""Patterns hold for the nodes that they describe, and the generator makes those rare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import Case, Constant, Graph, Input, Node, Ref, TensorType, Value
from generators.patterns import Avoided, Context, Pattern, candidates, generalised, node_key
from generators.random_graphs import Weights, grow

MATRIX = TensorType("float32", (2, 3))
GRAPH = Graph(
    "torch",
    (Input("x", MATRIX), Input("i", TensorType("int64", (0,)))),
    (Constant("w", np.zeros((3, 2), np.float16)),),
    (
        Node("torch.transpose", (Ref("x"), 0, -1), (), (Value("t", TensorType("float32", (3, 2))),)),
        Node("torch.add", (Ref("t"), Ref("w")), (("alpha", 2.0),), (Value("a", TensorType("float32", (3, 2))),)),
        Node("torch.cat", ((Ref("i"), Ref("i")),), (("dim", 0),), (Value("c", TensorType("int64", (0,))),)),
    ),
    ("a", "c"),
)
TRANSPOSE, ADD, CAT = GRAPH.nodes


@pytest.mark.parametrize(
    ("pattern", "nodes"),
    [
        ("torch.add", [ADD]),
        ("torch.add(float32,float16)", [ADD]),
        ("torch.add(float16,float32)", []),
        ("torch.add(~float,half)", [ADD]),
        ("torch.add(~float,float)", []),
        ('torch.add{"alpha": "real positive"}', [ADD]),
        ('torch.add{"alpha": "real negative"}', []),
        ('torch.add(~float,half){"after 0": "torch.transpose", "role 1": "constant"}', [ADD]),
        ('torch.add{"after 0": "torch.neg"}', []),
        ('torch.transpose{"2": "number negative"}', [TRANSPOSE]),
        ('torch.transpose{"3": null}', [TRANSPOSE]),
        ('torch.transpose{"rank 0": 2, "role 0": "input"}', [TRANSPOSE]),
        ('torch.cat{"empty": true}', [CAT]),
        ("torch.cat(int64)", [CAT]),
    ],
)
def test_a_pattern_matches_the_nodes_that_it_describes(pattern: str, nodes: list[Node]) -> None:
    avoided, context = Avoided([pattern]), Context.of(GRAPH)
    assert [node for node in GRAPH.nodes if avoided.matches(node, context)] == nodes
    assert avoided.in_graph(GRAPH) == bool(nodes)


def test_every_candidate_of_a_node_matches_it_and_the_general_ones_come_first() -> None:
    context = Context.of(GRAPH)
    for node in GRAPH.nodes:
        found = candidates(node, context)
        assert found[:2] == (node.target, node_key(node, {name: kind.dtype for name, kind in context.types.items()}))
        assert all(Avoided([pattern]).matches(node, context) for pattern in found)
        assert {Pattern.parse(pattern).target for pattern in found} == {node.target, "*"}


def test_minimized_graphs_become_patterns_of_growing_width() -> None:
    chain = replace(GRAPH, nodes=(TRANSPOSE, ADD), outputs=("a",))
    narrow, wider, widest = (generalised(chain, width) for width in range(3))
    assert narrow == 'torch.add(~float,half){"after 0": "torch.transpose", "alpha": "real positive"}'
    assert wider == 'torch.add(~float,half){"after 0": "torch.transpose"}'
    assert widest == 'torch.add{"after 0": "torch.transpose"}'
    assert all(Avoided([pattern]).in_graph(chain) for pattern in (narrow, wider, widest))
    assert generalised(GRAPH, 0) == ""


def test_malformed_conditions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"torch\.add"):
        Pattern.parse("torch.add{1}")


def count(avoid: Avoided, wanted: Avoided) -> int:
    chosen = frontend("torch")
    weights = Weights.of(chosen, only=["torch.sum", "torch.neg", "torch.transpose"])
    cases: list[Case] = [
        grow(chosen, SeededChoices(5, seed), nodes=8, weights=weights, avoid=avoid).case for seed in range(60)
    ]
    return sum(wanted.matches(node, Context.of(case.graph)) for case in cases for node in case.graph.nodes)


def test_what_is_avoided_is_rare_and_not_extinct() -> None:
    pattern = Avoided(['torch.neg{"after 0": "torch.transpose"}'])
    free, avoiding = count(Avoided(), pattern), count(pattern, pattern)
    assert free > 25
    assert avoiding < free / 8
    assert count(pattern, Avoided(["torch.neg"])) > 100
