"""Functions as people write them: as operators of Python and as methods of tensors.

Each takes its arguments from the sampler of the function that it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping

from generators.draw import Call, Draw, Handle
from generators.operators.torch import (  # noqa: F401  (their samplers are looked up)
    activations,
    casts,
    comparison,
    cumulative,
    elementwise,
    indexing,
    integers,
    linear,
    reductions,
    scatter,
    shape,
    sorting,
)
from generators.operators.torch.registry import REGISTRY

#: Operators of Python by the function they stand for.
_SYMBOLS: Mapping[str, str] = {
    "operator.add": "torch.add",
    "operator.sub": "torch.sub",
    "operator.mul": "torch.mul",
    "operator.truediv": "torch.true_divide",
    "operator.floordiv": "torch.floor_divide",
    "operator.mod": "torch.remainder",
    "operator.pow": "torch.pow",
    "operator.matmul": "torch.matmul",
    "operator.neg": "torch.neg",
    "operator.invert": "torch.bitwise_not",
    "operator.abs": "torch.abs",
    "operator.and_": "torch.bitwise_and",
    "operator.or_": "torch.bitwise_or",
    "operator.xor": "torch.bitwise_xor",
    "operator.lshift": "torch.bitwise_left_shift",
    "operator.rshift": "torch.bitwise_right_shift",
    "operator.lt": "torch.lt",
    "operator.le": "torch.le",
    "operator.gt": "torch.gt",
    "operator.ge": "torch.ge",
    "operator.eq": "torch.eq",
    "operator.ne": "torch.ne",
}
#: Methods that are functions of the same name whose first argument is the tensor.
_METHODS = (
    *(
        "abs",
        "add",
        "all",
        "amax",
        "amin",
        "any",
        "argmax",
        "argsort",
        "bmm",
        "ceil",
        "chunk",
        "clamp",
        "cos",
        "cumsum",
    ),
    *("diagonal", "eq", "erf", "exp", "expm1", "flatten", "flip", "floor", "gather", "ge", "gt", "index_select"),
    *("isnan", "log", "log1p", "logical_not", "logsumexp", "lt", "masked_scatter", "matmul", "maximum", "mean"),
    *("minimum", "movedim", "mul", "narrow", "ne", "neg", "nan_to_num", "pow", "prod", "reciprocal", "relu"),
    *("repeat_interleave", "roll", "rsqrt", "scatter", "scatter_add", "select", "sigmoid", "sign", "sin", "softmax"),
    *("sort", "split", "sqrt", "square", "squeeze", "std", "sub", "sum", "t", "tanh", "tile", "topk", "transpose"),
    *("tril", "triu", "trunc", "unbind", "unflatten", "unsqueeze", "var"),
)
_F = "torch.nn.functional."


def _function(method: str) -> str:
    return f"torch.{method}" if f"torch.{method}" in REGISTRY else _F + method


def _spelled(draw: Draw) -> Call:
    """The function's call, spelled in the other way where it can be: with a tensor in the first place."""
    spelling = draw.target
    draw.target = _FUNCTIONS[spelling]
    call = REGISTRY[draw.target].sampler(draw)
    operands = 1 if spelling in ("operator.neg", "operator.invert", "operator.abs") else 2
    plain = not call.kwargs and len(call.args) == operands
    first = isinstance(call.args[0], Handle)
    if call.target != draw.target or not (first if spelling.startswith("torch.Tensor.") else plain):
        draw.reject("has arguments that this spelling has no place for")
    return Call(spelling, call.args, call.kwargs)


_FUNCTIONS: Mapping[str, str] = {
    **_SYMBOLS,
    **{f"torch.Tensor.{name}": _function(name) for name in _METHODS if f"torch.Tensor.{name}" not in REGISTRY},
}


def _register() -> None:
    for spelling, function in _FUNCTIONS.items():
        original = REGISTRY[function]
        REGISTRY.operator(
            spelling,
            family=original.family,
            rounding=original.rounding,
            weight=0.3 * original.weight if spelling in _SYMBOLS else 0.12 * original.weight,
            tabulated=original.tabulated,
            domain=original.domain,
        )(_spelled)


_register()
