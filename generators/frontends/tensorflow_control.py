"""Control flow of TensorFlow: the operators, and the names of the functions that bodies become. Imports no TensorFlow.

In eager mode TensorFlow runs the functions in Python, so that nothing stands in for the operators.
"""

from __future__ import annotations

from collections.abc import Mapping

COND = "tf.cond"
WHILE = "tf.while_loop"
MAP = "tf.map_fn"

#: Names of the functions that bodies become, in the order of a call's bodies.
ROLES: Mapping[str, tuple[str, ...]] = {COND: ("true", "false"), WHILE: ("condition", "body"), MAP: ("each",)}
