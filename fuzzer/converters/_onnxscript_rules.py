"""Not trying rewrite rules of onnxscript on nodes that they cannot match.

Its optimizer tries each of its rules, close to a hundred, on every node of a graph, and nearly every attempt ends at
the first thing that is compared: the operator type of the node against that of the pattern's root. Such an attempt is
left out here, which changes nothing. The root is the first output node of the pattern, also when there are several
(then each combination of candidates starts with the node at hand). A match starts from an empty result, in which no
pattern node is bound. Comparing operator types reads two strings. What a failed attempt leaves behind is a reason in
the matcher, which only a tracer or verbose output would show and which the next attempt throws away. The order of rules
and nodes, the visitors around them and whatever happens once the operator types agree are onnxscript's own. Commutative
variants are rules by themselves, with a root like any other.

A rule is tried on every node when its root accepts more than one operator type (a prefix, say), when one of its parts
is of a class that is not known here, and when there is a tracer or verbose output.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def indexed_rules() -> Iterator[None]:
    """While active, a rule is tried on a node only when the operator type of its pattern's root is the node's.

    Leaves out what it does not find: on an onnxscript that is laid out differently every rule is tried.
    """
    try:
        from onnxscript.rewriter._matcher import SimplePatternMatcher
        from onnxscript.rewriter._pattern_ir import NodePattern, StringConstantPattern
        from onnxscript.rewriter._rewrite_rule import RewriteRule

        attempt = RewriteRule.__dict__["try_rewrite"]
    except (ImportError, KeyError):
        yield
        return

    def root(rule: Any) -> str:
        """The one operator type that the root of the rule's pattern matches; empty when that is not known."""
        try:
            pattern, verbose = rule._matcher.pattern, rule._verbose
            first = pattern.output_nodes[0]
            operator = first.op
            known = (type(rule), type(rule._matcher), type(first), type(operator))
        except (AttributeError, IndexError):
            return ""
        if verbose or known != (RewriteRule, SimplePatternMatcher, NodePattern, StringConstantPattern):
            return ""
        return str(operator.value())

    roots: dict[Any, str] = {}

    def try_rewrite(
        self: Any, model: Any, graph_or_function: Any, node: Any, *, verbose: int | None = None, tracer: Any = None
    ) -> Any:
        wanted = roots.get(self)
        if wanted is None:
            wanted = roots[self] = root(self)
        if wanted and node.op_type != wanted and not verbose and tracer is None:
            return None
        return attempt(self, model, graph_or_function, node, verbose=verbose, tracer=tracer)

    RewriteRule.try_rewrite = try_rewrite
    try:
        yield
    finally:
        RewriteRule.try_rewrite = attempt
