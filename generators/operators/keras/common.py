"""What the samplers for Keras layers share: operands, dtypes, weights, and calls of a layer that is there already.

A sampler gives the operands and the constructor's arguments to :func:`layer`, which has the frontend build the layer
and draws the weights that it turns out to have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from generators.draw import MAX_ELEMENTS, Call, Draw, Elements, Handle, argument_of
from generators.frontends.base import EvaluationError
from generators.frontends.keras_source import CALL_ARGUMENTS, WEIGHTS
from generators.graph import DTYPES, Array, DType, Node, Symbol, references
from generators.handles import Unconnected
from generators.operators.keras import REGISTRY
from generators.operators.tensorflow.common import LARGEST, moderate, no_nan

if TYPE_CHECKING:
    from generators.frontends.keras import KerasFrontend

operator = REGISTRY.operator

#: Layers compute in float32 by default and most models do nothing else.
FLOATS = ("float32", "float32", "float32", "float32", "float32", "float16", "bfloat16", "float64")
#: Activations by name, as the argument of a layer: those of ``keras.activations`` that need no argument. Without
#: ``glu``, which halves the last dimension: layers promise the dimension that they were given.
ACTIVATIONS = (
    *("relu", "sigmoid", "tanh", "softmax", "gelu", "elu", "selu", "softplus", "softsign", "silu", "relu6"),
    *("leaky_relu", "hard_sigmoid", "hard_silu", "mish", "exponential", "linear", "log_softmax", "log_sigmoid"),
    *("celu", "squareplus", "tanh_shrink", "hard_tanh", "hard_shrink", "soft_shrink", "threshold"),
    *("sparse_plus", "sparse_sigmoid"),
)
#: Activations that recurrent layers are used with: gates between 0 and 1, states that do not explode.
GATES = ("sigmoid", "hard_sigmoid", "tanh", "softsign", "relu", "linear", "hard_tanh")
#: Share of the layers without a result of another node among their operands that are not even built: most of them are
#: dropped afterwards, and building takes longer than all else.
_UNCONNECTED = 0.9
#: Share of the draws, in a graph with weights, that call one of its layers again.
SHARED = 0.06
#: Elements of an operand.
_LARGEST_OPERAND = MAX_ELEMENTS // 4


def operand(
    draw: Draw,
    ranks: Sequence[int],
    *,
    dtypes: Sequence[str] = FLOATS,
    largest: int = _LARGEST_OPERAND,
    limit: float = 1e4,
    minimum: int = 1,
    where: Callable[[Handle], bool] | None = None,
) -> Handle:
    """A tensor with a batch and no empty dimension, small enough for sums of products of it to stay finite, unless the
    case wants them not to be."""

    def fits(x: Handle) -> bool:
        if x.size > largest or (where is not None and not where(x)):
            return False
        if x.array.dtype.kind not in "fV":
            return True
        if draw.nonfinite:
            return no_nan(x)
        return moderate(x, 30.0 if x.dtype == "float16" else limit)

    return draw.value(
        dtypes=dtypes, ranks=ranks, minimum=minimum, where=fits, otherwise="typical" if draw.flag() else None
    )


def policy(draw: Draw, x: Handle) -> dict[str, Any]:
    """``dtype`` for a layer on ``x``: that of ``x`` where the default of float32 would be another, mostly. What is
    left casts its operand."""
    return {"dtype": DType(x.dtype)} if x.dtype != "float32" and x.dtype in LARGEST and draw.flag(0.85) else {}


def activation(draw: Draw, share: float = 0.5) -> dict[str, Any]:
    """An activation as an argument, often none."""
    return {"activation": draw.choice(ACTIVATIONS)} if draw.flag(share) else {}


def bias(draw: Draw) -> dict[str, Any]:
    """``use_bias``, mostly left at its default of True."""
    return {"use_bias": draw.flag()} if draw.flag(0.35) else {}


def made(path: str, **kwargs: Any) -> tuple[Any, ...]:
    """A layer as an argument of another one (:mod:`generators.frontends.keras`)."""
    return (Symbol(path), tuple(kwargs.items()))


def layer(draw: Draw, *args: Any, **kwargs: Any) -> Call:
    """The call of the sampler's layer, as by :func:`built`; mostly dropped when it uses no result of another node."""
    used: dict[str, Handle] = {}
    for value in (*args, *kwargs.values()):
        argument_of(value, used)
    if draw.unconnected(used.values()) and draw.flag(_UNCONNECTED):
        raise Unconnected("uses no result of another node")
    return built(draw, draw.target, *args, **kwargs)


def built(draw: Draw, target: str, *args: Any, **kwargs: Any) -> Call:
    """The call of a layer, with weights drawn for those that it has. A layer that cannot be built comes back without
    weights, for eager mode to refuse."""
    frontend = cast("KerasFrontend", draw.frontend)
    used: dict[str, Handle] = {}
    node = Node(
        target,
        tuple(argument_of(value, used) for value in args),
        tuple((key, argument_of(value, used)) for key, value in kwargs.items()),
        (),
    )
    try:
        wanted = frontend.weights(node, {name: handle.native for name, handle in used.items()})
    except EvaluationError:
        wanted = []
    weights = []
    for path, shape, dtype in wanted:
        weights.append(draw.tensor(shape, dtype, _elements(draw, path), reuse=False, constant=True))
    if weights:
        kwargs[WEIGHTS] = tuple(weights)
    return Call(node.target, args, kwargs)


def _elements(draw: Draw, path: str) -> Elements | None:
    """Values for the weight of that path: variances and scales positive, with some exceptions; others small, of any
    value profile now and then."""
    name = path.rpartition("/")[2]
    if name in ("moving_variance", "variance"):
        return _spread(0.01, 4.0)
    if name in ("gamma", "scale"):
        return _spread(0.2, 3.0) if draw.flag(0.8) else "typical"
    if draw.flag(0.15) and not draw.nonfinite:
        return draw.choice(("ties", "fractions", "typical", "zeros_and_signs", "integers"))
    return _spread(-1.0, 1.0)


def _spread(low: float, high: float) -> Elements:
    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        return np.asarray(rng.uniform(low, high, shape)).astype(DTYPES[dtype])

    return elements


def another_call(draw: Draw, nodes: Sequence[Node], handles: Sequence[Handle]) -> Call | None:
    """One of the nodes with weights again, on other operands of the same types; None mostly."""
    with_weights = [node for node in nodes if node.kwargs and node.kwargs[-1][0] == WEIGHTS]
    if not with_weights or not draw.flag(SHARED):
        return None
    node = draw.choice(with_weights)
    by_name = {handle.name: handle for handle in handles}
    weights = {name for other in with_weights for name in references(other.kwargs[-1][1])}
    operands = [name for name in dict.fromkeys(node.references()) if name not in weights]
    instead: dict[str, Handle] = {}
    for name in operands:
        old = by_name[name]
        others = [
            handle
            for handle in handles
            if handle.type == old.type and handle.name not in weights and handle.name not in instead
        ]
        bounds = old.bounds
        # What is legal for the operand may depend on its values: others must lie between its extremes.
        others = [handle for handle in others if handle is not old and handle.within(*bounds)]
        if others and draw.flag(0.7):
            instead[name] = draw.choice(others)
            draw.require(instead[name], lambda x, bounds=bounds: x.within(*bounds))  # type: ignore[misc]
        else:
            instead[name] = draw.tensor(old.shape, old.dtype, _shuffled(old), reuse=False, constant=False)

    def change(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(change(item) for item in value)
        name = next(references(value), None)
        return value if name is None else instead.get(name) or by_name[name]

    kwargs = {key: change(value) if key in CALL_ARGUMENTS or key == WEIGHTS else value for key, value in node.kwargs}
    return Call(node.target, tuple(change(value) for value in node.args), kwargs)


def _shuffled(old: Handle) -> Elements:
    """The elements of a value in another order."""

    def elements(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
        return rng.permutation(old.array.reshape(-1)).reshape(shape)

    return elements
