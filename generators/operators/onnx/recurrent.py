"""Recurrent layers."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw, Handle
from generators.operators.onnx.common import dtypes, trimmed, weights
from generators.operators.onnx.registry import REGISTRY
from generators.selectors import lengths

#: Gates, and activation functions of one direction by default.
_LAYERS = {"RNN": (1, ("Tanh",)), "GRU": (3, ("Sigmoid", "Tanh")), "LSTM": (4, ("Sigmoid", "Tanh", "Tanh"))}


@REGISTRY.operator("onnx.GRU", "onnx.LSTM", "onnx.RNN", family="recurrent")
def recurrent(draw: Draw) -> Call:
    operator = draw.target.removeprefix("onnx.")
    gates, usual = _LAYERS[operator]
    # ONNX Runtime registers kernels for double that say they are not there yet.
    kind = draw.choice(dtypes(draw, within=("float32",)))
    direction = draw.weighted({"forward": 3, "reverse": 1, "bidirectional": 1.5})
    directions = 2 if direction == "bidirectional" else 1
    batch, steps, features, hidden = draw.integer(1, 3), draw.integer(1, 4), draw.integer(1, 4), draw.integer(1, 4)
    # ONNX Runtime has the default layout only.
    x = draw.tensor((steps, batch, features), kind, "typical" if draw.flag(0.6) else None)
    inputs: list[Handle | None] = [
        x,
        weights(draw, (directions, gates * hidden, features), kind, scale=0.5),
        weights(draw, (directions, gates * hidden, hidden), kind, scale=0.5),
        weights(draw, (directions, 2 * gates * hidden), kind, scale=0.5) if draw.flag() else None,
        lengths(draw, (batch,), 1, steps, dtypes="int32") if draw.flag(0.3) else None,
        weights(draw, (directions, batch, hidden), kind) if draw.flag(0.4) else None,
    ]
    if operator == "LSTM":
        inputs.append(weights(draw, (directions, batch, hidden), kind) if draw.flag(0.4) else None)
        inputs.append(weights(draw, (directions, 3 * hidden), kind, scale=0.5) if draw.flag(0.2) else None)
    attributes: dict[str, Any] = {"hidden_size": hidden, "outputs": 3 if operator == "LSTM" else 2}
    if direction != "forward" or draw.flag(0.2):
        attributes["direction"] = direction
    if operator == "GRU" and draw.flag(0.4):
        attributes["linear_before_reset"] = 1
    if draw.flag(0.2):
        chosen = [draw.choice(("Tanh", "Sigmoid", "Relu", "Softsign")) for _ in usual]
        attributes["activations"] = tuple(chosen) * directions
    if draw.flag(0.1):
        attributes["clip"] = draw.choice((0.5, 1.0, 3.0))
    return draw.call(*trimmed(inputs), **attributes)
