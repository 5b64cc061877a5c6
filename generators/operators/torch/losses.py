"""Losses with all reductions, as models that are exported with theirs have them."""

from __future__ import annotations

from typing import Any

from generators.draw import Call, Draw
from generators.graph import FLOATING
from generators.operators.torch.registry import REGISTRY
from generators.selectors import distribution, probabilities

operator = REGISTRY.operator
F = "torch.nn.functional."


def _reduction(draw: Draw) -> dict[str, Any]:
    return {"reduction": draw.choice(("none", "mean", "sum"))}


@operator(F + "mse_loss", F + "l1_loss", F + "smooth_l1_loss", F + "huber_loss", family="loss", weight=0.4)
def regression(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, minimum=1)
    options = _reduction(draw)
    if draw.target.endswith("smooth_l1_loss"):
        options["beta"] = draw.choice((1.0, 0.5, 2.0, 0.0))
    elif draw.target.endswith("huber_loss"):
        options["delta"] = draw.choice((1.0, 0.5, 2.0))
    return draw.call(x, draw.tensor(x.shape, x.dtype, reuse=False), **options)


@operator(F + "binary_cross_entropy_with_logits", family="loss", weight=0.5)
def binary(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, minimum=1)
    options = _reduction(draw)
    if draw.flag(0.3):
        options["weight"] = draw.tensor(x.shape[-1:], x.dtype, "fractions")
    if draw.flag(0.3):
        options["pos_weight"] = draw.tensor(x.shape[-1:], x.dtype, "fractions")
    return draw.call(x, probabilities(draw, x.shape, x.dtype), **options)


@operator(F + "binary_cross_entropy", family="loss", weight=0.4)
def binary_of_probabilities(draw: Draw) -> Call:
    """Predictions of exactly 0 and 1 among them: torch clamps the logarithm at -100."""
    x = probabilities(draw, draw.shape(minimum=1), draw.dtype(FLOATING))
    options = _reduction(draw)
    if draw.flag(0.3):
        options["weight"] = draw.tensor(x.shape[-1:], x.dtype, "fractions")
    return draw.call(x, probabilities(draw, x.shape, x.dtype), **options)


@operator(F + "kl_div", family="loss", weight=0.4)
def kl_div(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(1, 5), minimum=1)
    target = probabilities(draw, x.shape, x.dtype)
    reduction = draw.choice(("none", "batchmean", "sum", "mean"))
    if draw.flag(0.3):
        return draw.call(x, draw.tensor(x.shape, x.dtype, "negative"), reduction=reduction, log_target=True)
    return draw.call(x, target, reduction=reduction)


@operator(F + "cross_entropy", F + "nll_loss", family="loss", weight=0.9)
def classification(draw: Draw) -> Call:
    x = draw.value(dtypes=FLOATING, ranks=range(1, 5), minimum=1, where=lambda x: x.shape[min(x.rank, 2) - 1] > 1)
    cross = draw.target.endswith("cross_entropy")
    axis = min(x.rank, 2) - 1
    classes = x.shape[axis]
    options = _reduction(draw)
    if draw.flag(0.3):
        options["weight"] = draw.tensor((classes,), x.dtype, "fractions")
    if cross and draw.flag(0.3):
        options["label_smoothing"] = draw.choice((0.1, 0.3))
    if cross and draw.flag(0.2):  # probabilities instead of classes
        return draw.call(x, distribution(draw, x.shape, x.dtype, axis), **options)
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    target = draw.indices(shape, 0, classes - 1)
    if draw.flag(0.3):
        options["ignore_index"] = draw.integer(0, classes - 1)
        if bool((target.array == options["ignore_index"]).all()):  # the mean of nothing
            options["reduction"] = "sum"
        else:
            draw.require(target, lambda target: not bool((target.array == options["ignore_index"]).all()))
    return draw.call(x, target, **options)
