"""The samplers of torch: legal, defined, deterministic, and wide enough to be worth having."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from generators.choices import SeededChoices
from generators.frontends.base import Frontend, frontend
from generators.graph import Array, DType, Node, Ref, Slice, TensorType
from generators.operators.registry import Rounding
from generators.random_graphs import Grown, Weights, grow
from generators.wellformed import check_case

GRAPHS = 300
F = "torch.nn.functional."


@cache
def subject() -> Frontend:
    torch.set_num_threads(1)
    return frontend("torch")


def targets() -> tuple[str, ...]:
    return subject().registry().targets()


@cache
def graphs() -> tuple[Grown, ...]:
    """Random graphs of all operators."""
    weights = Weights.of(subject())
    return tuple(grow(subject(), SeededChoices(20, number), weights=weights) for number in range(GRAPHS))


@cache
def of_one(target: str, count: int) -> tuple[Grown, ...]:
    """Graphs of a single operator on its own fresh inputs and results, among them ones with non-finite values."""
    weights = Weights((target,), (1.0,))
    found = []
    for number in range(count):
        try:
            found.append(grow(subject(), SeededChoices(21, number), nodes=3, weights=weights))
        except ValueError:  # nothing could be placed
            continue
    return tuple(found)


def nodes_of(*names: str, count: int = 60) -> Iterator[tuple[Node, dict[str, Array]]]:
    """Nodes of those targets with the values of their graphs: from graphs of one operator and from mixed ones."""
    for grown in itertools.chain(*(of_one(name, count) for name in names), graphs()):
        for node in grown.case.graph.nodes:
            if node.target in names:
                yield node, dict(grown.values)


def keywords(node: Node) -> dict[str, Any]:
    return dict(node.kwargs)


def value_of(argument: Any, values: dict[str, Array]) -> Any:
    """The array of a reference, any other argument as it is."""
    return values[argument.name] if isinstance(argument, Ref) else argument


def test_there_are_many_operators_of_every_family() -> None:
    registry = subject().registry()
    assert len(targets()) >= 300
    families = Counter(registry[target].family for target in targets())
    assert len(families) >= 20
    assert min(families.values()) >= 1
    assert all(registry[target].weight > 0 for target in targets())


@pytest.mark.parametrize("target", targets())
def test_every_operator_is_accepted_and_never_raises(target: str) -> None:
    found = of_one(target, 6)
    accepted = [node.target for grown in found for node in grown.case.graph.nodes]
    assert set(accepted) == {target}
    raised = [reason for grown in found for reason in grown.dropped if reason.startswith("raised")]
    assert not raised


def test_most_draws_are_accepted() -> None:
    accepted = sum(grown.accepted for grown in graphs())
    dropped: Counter[str] = sum((grown.dropped for grown in graphs()), Counter())
    # Left out on purpose, and nobody's fault.
    del dropped["unconnected"]
    assert accepted / (accepted + dropped.total()) >= 0.8, dropped.most_common(10)
    raised = sum(number for reason, number in dropped.items() if reason.startswith("raised"))
    assert raised <= 0.005 * accepted, [reason for reason in dropped if reason.startswith("raised")]


def test_cases_are_well_formed_and_values_have_their_types() -> None:
    for grown in graphs():
        check_case(grown.case)
        for name, kind in grown.case.graph.types().items():
            array = grown.values[name]
            assert kind.shape == array.shape
            assert kind == TensorType(kind.dtype, tuple(array.shape))


def test_a_second_run_gives_the_same_bytes() -> None:
    for grown in graphs():
        again = subject().run(grown.case.graph, grown.case.feeds)
        assert again.keys() == grown.values.keys()
        for name, array in again.items():
            assert array.tobytes() == grown.values[name].tobytes(), (name, grown.case.graph.nodes)


def test_printed_source_gives_the_same_bytes() -> None:
    for grown in graphs():
        model = subject().load(grown.case)
        outputs = subject().execute(model)
        assert len(outputs) == len(grown.case.graph.outputs)
        for array, name in zip(outputs, grown.case.graph.outputs, strict=True):
            assert array.dtype == grown.values[name].dtype
            assert array.tobytes() == grown.values[name].tobytes(), model.source


def test_finite_cases_have_finite_results() -> None:
    plain = [grown for grown in graphs() if not {"special", "integer_extremes"} & set(grown.case.profiles.values())]
    assert len(plain) >= GRAPHS // 2
    results = [grown.values[value.name] for grown in plain for node in grown.case.graph.nodes for value in node.outputs]
    infinite = [array for array in results if array.dtype.kind in "fc" and not np.isfinite(array).all()]
    # A case that wants non-finite results may get them without such inputs: log of zero.
    assert len(infinite) <= 0.05 * len(results)


def test_the_same_seed_gives_the_same_case() -> None:
    first = grow(subject(), SeededChoices(3, 1))
    second = grow(subject(), SeededChoices(3, 1))
    assert first.case.graph == second.case.graph


# -- the result is defined -------------------------------------------------------------------------------------


def _no_ties(array: Array, axis: int | None) -> bool:
    array = np.asarray(array, dtype=np.float64)
    if axis is None or array.ndim == 0:
        array, axis = array.reshape(-1), 0
    ordered = np.sort(array, axis=axis)
    return not np.isnan(array).any() and bool((np.diff(ordered, axis=axis) != 0).all())


def test_indices_of_selection_are_unambiguous() -> None:
    seen = Counter[str]()
    names = ("torch.sort", "torch.argsort", "torch.topk", "torch.kthvalue", "torch.cummax", "torch.cummin")
    for node, values in nodes_of(*names, "torch.median", "torch.nanmedian"):
        options = keywords(node)
        array = value_of(node.args[0], values)
        position = {"torch.topk": 2, "torch.kthvalue": 2}.get(node.target, 1)
        positional = node.args[position] if len(node.args) > position else None
        axis = options.get("dim", positional)
        if options.get("stable"):
            seen["stable"] += 1
        elif len(node.outputs) == 2 or node.target == "torch.argsort":
            assert _no_ties(array, -1 if axis is None else axis), node
            seen["distinct"] += 1
    assert seen["stable"] >= 20
    assert seen["distinct"] >= 100


def test_pooling_returns_indices_only_of_distinct_elements() -> None:
    seen = 0
    for node, values in nodes_of(F + "max_pool1d", F + "max_pool2d", F + "adaptive_max_pool2d"):
        if keywords(node).get("return_indices"):
            assert _no_ties(value_of(node.args[0], values), None)
            seen += 1
    assert seen >= 10


def test_replacing_writes_never_meet() -> None:
    seen = Counter[str]()
    for node, values in nodes_of("torch.scatter", "torch.index_copy", "torch.index_put"):
        x = value_of(node.args[0], values)
        if node.target == "torch.index_put":
            indices = [value_of(index, values) for index in node.args[1]]  # type: ignore[union-attr]
            if keywords(node)["accumulate"] or indices[0].dtype == bool:
                continue
            rows = np.broadcast_arrays(*(index % n for index, n in zip(indices, x.shape, strict=False)))
            positions = list(zip(*(row.reshape(-1).tolist() for row in rows), strict=True))
            assert len(set(positions)) == len(positions)
        else:
            index = value_of(node.args[2], values)
            axis = node.args[1] if node.target == "torch.scatter" else 0
            assert _no_ties(index, axis)  # type: ignore[arg-type]
        seen[node.target] += 1
    assert min(seen[name] for name in ("torch.scatter", "torch.index_copy", "torch.index_put")) >= 20


def test_integers_are_never_divided_by_zero_nor_overflow() -> None:
    seen = 0
    names = ("torch.floor_divide", "torch.remainder", "torch.fmod", "torch.Tensor.div", "torch.div")
    for node, values in nodes_of(*names):
        x, y = (np.asarray(value_of(argument, values)) for argument in node.args[:2])
        if x.dtype.kind not in "iub" or y.dtype.kind not in "iub":
            continue
        assert (y != 0).all(), node
        common = np.result_type(x, y)
        if common.kind == "i" and (y == -1).any():
            assert x.size == 0 or x.min() > np.iinfo(x.dtype if x.dtype.kind == "i" else common).min
        seen += 1
    assert seen >= 50


def test_shifts_stay_within_the_width() -> None:
    seen = 0
    for node, values in nodes_of("torch.bitwise_left_shift", "torch.bitwise_right_shift"):
        x, amount = (np.asarray(value_of(argument, values)) for argument in node.args[:2])
        if amount.size:
            assert amount.min() >= 0
            assert amount.max() < 8 * x.dtype.itemsize
            seen += 1
    assert seen >= 50


def test_casts_to_integers_are_in_range() -> None:
    seen = 0
    named = {"int": "int32", "long": "int64", "short": "int16", "char": "int8", "byte": "uint8"}
    for node, values in nodes_of("torch.Tensor.to", "torch.Tensor.type", *(f"torch.Tensor.{name}" for name in named)):
        dtype = node.args[1].name if isinstance(node.args[-1], DType) else named.get(node.target.rsplit(".", 1)[1])  # type: ignore[union-attr]
        x = value_of(node.args[0], values)
        if x.dtype.kind in "fV" and dtype is not None and np.dtype(dtype if dtype != "bfloat16" else "f4").kind in "iu":
            numbers = np.trunc(x.astype(np.float64))
            assert np.isfinite(numbers).all()
            assert (numbers >= np.iinfo(dtype).min).all()
            assert (numbers <= np.iinfo(dtype).max).all()
            seen += 1
    assert seen >= 50


# -- the whole range of arguments is drawn ---------------------------------------------------------------------


def kinds(name: str, classify: Callable[[Node], Iterator[str]], count: int = 150) -> Counter[str]:
    found: Counter[str] = Counter()
    for node, _ in nodes_of(name, count=count):
        found.update(set(classify(node)))
    return found


def _convolutions(node: Node) -> Iterator[str]:
    options = keywords(node)
    padding = options.get("padding", 0)
    yield padding if isinstance(padding, str) else "asymmetric" if isinstance(padding, tuple) else "plain"
    for name, usual in (("stride", 1), ("dilation", 1), ("groups", 1), ("output_padding", 0)):
        value = options.get(name, usual)
        if max(value if isinstance(value, tuple) else (value,)) > usual:
            yield name
    yield "bias" if "bias" in options else "no bias"


def test_single_elements_are_not_dilated_in_half_precision() -> None:
    for name in (F + "conv1d", F + "conv2d", F + "conv3d"):
        for node, values in nodes_of(name):
            weight = value_of(node.args[1], values)
            dilation = keywords(node).get("dilation", 1)
            kernel = weight.shape[2:]
            steps = dilation if isinstance(dilation, tuple) else (dilation,) * len(kernel)
            if weight.dtype == np.float16:
                assert all(step == 1 for step, size in zip(steps, kernel, strict=True) if size == 1)


def test_convolutions_draw_all_of_their_arguments() -> None:
    plain = kinds(F + "conv2d", _convolutions)
    for kind in ("same", "valid", "asymmetric", "plain", "stride", "dilation", "groups", "bias", "no bias"):
        assert plain[kind] >= 5, kind
    transposed = kinds(F + "conv_transpose2d", _convolutions)
    for kind in ("asymmetric", "stride", "dilation", "groups", "output_padding", "bias"):
        assert transposed[kind] >= 5, kind


def _resizes(node: Node) -> Iterator[str]:
    options = keywords(node)
    yield options["mode"]
    for name in ("size", "scale_factor", "antialias"):
        if name in options:
            yield name
    for name in ("align_corners", "recompute_scale_factor"):
        if name in options:
            yield f"{name}={options[name]}"


def test_resizing_draws_every_mode() -> None:
    found = kinds(F + "interpolate", _resizes)
    modes = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")
    options = ("size", "scale_factor", "antialias", "align_corners=True", "align_corners=False")
    for kind in (*modes, *options, "recompute_scale_factor=True"):
        assert found[kind] >= 3, kind


def _pads(node: Node) -> Iterator[str]:
    amounts = node.args[1]
    assert isinstance(amounts, tuple)
    yield str(keywords(node).get("mode", "constant"))
    if min(amounts) < 0:  # type: ignore[type-var]
        assert keywords(node).get("mode") != "circular"  # it leaves memory uninitialised
        yield "negative"
    if amounts[0] != amounts[1]:
        yield "asymmetric"


def test_padding_draws_every_mode_and_negative_amounts() -> None:
    found = kinds(F + "pad", _pads)
    for kind in ("constant", "reflect", "replicate", "circular", "negative", "asymmetric"):
        assert found[kind] >= 5, kind


def _subscripts(node: Node) -> Iterator[str]:
    index = node.args[1]
    for item in index if isinstance(index, tuple) else (index,):
        if isinstance(item, Slice):
            yield "step" if item.step else "slice"
            if isinstance(item.start, int) and item.start < 0:
                yield "negative bound"
        else:
            yield {type(None): "new axis", type(...): "ellipsis", int: "integer", Ref: "tensor"}[type(item)]


def test_subscripts_are_of_every_form() -> None:
    found = kinds("operator.getitem", _subscripts, count=250)
    for kind in ("slice", "step", "negative bound", "new axis", "ellipsis", "integer", "tensor"):
        assert found[kind] >= 10, kind


def test_values_are_of_every_dtype_and_rank() -> None:
    types = [kind for grown in graphs() for kind in grown.case.graph.types().values()]
    dtypes = Counter(kind.dtype for kind in types)
    wanted = [
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "bool",
        "complex64",
    ]
    assert all(dtypes[name] for name in wanted), dtypes
    ranks = Counter(kind.rank for kind in types)
    assert all(ranks[rank] >= 30 for rank in range(6)), ranks
    assert any(0 in kind.shape for kind in types)


def test_exact_operators_are_told_apart() -> None:
    registry = subject().registry()
    exact = ("torch.permute", "torch.lt", "torch.topk", "torch.bitwise_and", F + "relu", "torch.floor", "torch.neg")
    assert all(registry.rounding(name) is Rounding.EXACT for name in exact)
    basic = ("torch.add", "torch.sub", "torch.mul", "torch.div", "torch.reciprocal")
    assert all(registry.rounding(name) is Rounding.BASIC for name in basic)
    composite = ("torch.floor_divide", "torch.remainder", "torch.exp", F + "conv2d", "torch.sum", "torch.no_such")
    assert all(registry.rounding(name) is Rounding.COMPOSITE for name in composite)
