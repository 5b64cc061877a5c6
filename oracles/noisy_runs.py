"""Runs of a case's graph with random errors of the size of a rounding, and in double precision.

Noise is put in by the :class:`~generators.operators.registry.Rounding` class of each operator:

* EXACT operators get none.
* Results of BASIC and COMPOSITE operators get it where they are inexact, which shows in a difference to the same
  operator evaluated in double precision on the same data: one unit in the last place (ulp) for BASIC, for COMPOSITE
  two, or as much as eager mode itself was seen to err there.
* COMPOSITE operators see their floating arguments disturbed by one ulp as well, times the square root of the number
  of arguments that a result depends on (*fan-in*). Rounding errors of a sum of n terms grow as a random walk (Higham &
  Mary 2019, "A new approach to probabilistic rounding error analysis"), whatever the order of summation; disturbing
  the terms keeps the bound in proportion to the sum of their absolute values, also when the result cancels. Fan-in is
  measured: one element of an argument is changed and the results that change with it are counted.
* Elementwise COMPOSITE operators leave *simple* arguments alone (those that need at most half of the significand:
  small integers, halves), and a COMPOSITE operator with simple arguments and an exact result is exact here. So integer
  data in floating tensors is judged sharply: ``floor_divide(6, 2)`` is 3, and a sum of small integers has one value.
* An operator that is not homogeneous may compute with ones inside (``exp(x) - 1``): results for arguments below one
  get noise of a rounding of one. In half precision, where each step of a decomposition may be rounded to half, it is
  a rounding of the larger of one and the argument.
* A denormal result may be flushed to zero, and a sum that is zero may have either sign, a sum of one term, too.
* An operator that is registered as tabulated interpolates with weights from a coarse table, in every precision: its
  results get noise of a thousandth of the largest argument.

Bodies of control flow are run node by node, so that noise is put into each step of a loop, and a predicate that varies
takes the other branch. How an operator in a body depends on its arguments is measured where it runs first.

The errors of one operator are all of one sign and size in half of its evaluations, since approximations are biased.
Every other sample has all its noise times the factor of safety, and its deviations count in proportion: so the factor
holds for discontinuities too, where a deviation does not grow with its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from generators.frontends.base import WIDER, EvaluationError, Frontend, widen_node
from generators.graph import DTYPES, Array, Case, Graph, Node, Value, dtype_name
from generators.operators.registry import Rounding
from generators.transforms import widen
from oracles.bounds import deviation_of
from oracles.compare import classes, wide
from oracles.probes import Sensitivity, probe
from oracles.reassociation import Chains
from oracles.significands import SIGNIFICAND, all_simple, simple
from oracles.tolerances import ROUNDED, smallest_normal, unit_roundoff

_HALF = frozenset({"float16", "bfloat16"})
#: A relative error of eager mode within one operator above this shows that terms cancelled inside.
_CANCELLED = 0.05
#: Ulps of noise on inexact results.
_RESULT_ULPS = {Rounding.BASIC: 1.0, Rounding.COMPOSITE: 2.0}


class NoisyRuns:
    """Eager values, the reference and noisy samples of one case."""

    def __init__(self, frontend: Frontend, case: Case, seed: int) -> None:
        self._frontend = frontend
        self._case = case
        self._random = np.random.default_rng([0x6E6F, seed])
        self.notes: dict[str, None] = {}
        self.eager = {name: np.array(array, copy=True) for name, array in frontend.run(case.graph, case.feeds).items()}
        self._registry = frontend.registry()
        self._chains = Chains(case.graph, self.eager, all_simple)
        self._probes: dict[tuple[Value, ...], tuple[Sensitivity, list[Array]]] = {}
        self._amplitude = 1.0
        self._only_eager: set[tuple[Value, ...]] = set()
        self._doubles = {value.name: widen(case.feeds[value.name]) for value in case.graph.inputs}
        self._doubles.update((constant.name, widen(constant.data)) for constant in case.graph.constants)
        self._needed: dict[tuple[str, ...], list[int]] = {}

    def needed(self, wanted: Sequence[str]) -> list[int]:
        """Indices of the nodes that values with these names depend on, in order."""
        key = tuple(wanted)
        if key not in self._needed:
            names, found = set(key), []
            for index in reversed(range(len(self._case.graph.nodes))):
                node = self._case.graph.nodes[index]
                if any(value.name in names for value in node.outputs):
                    found.append(index)
                    names.update(node.references())
            self._needed[key] = found[::-1]
        return self._needed[key]

    def sample(self, amplitude: float, wanted: Sequence[str]) -> tuple[dict[str, Array], str]:
        """Values of a run with noise of so many times its usual size, by name, and why some are lacking; of the nodes
        only those that the ``wanted`` values depend on."""
        graph = self._case.graph
        self._amplitude = amplitude
        values = {value.name: self._flush(self._case.feeds[value.name]) for value in graph.inputs}
        values.update((constant.name, self._flush(constant.data)) for constant in graph.constants)
        problem = ""
        for index in self.needed(wanted):
            node = graph.nodes[index]
            names = set(node.references())
            if not names <= values.keys():
                continue
            try:
                outputs = self._noisy(node, {name: values[name] for name in names})
            except EvaluationError as error:
                problem = problem or f"refused with rounding noise: {error}"
                continue
            if len(outputs) == len(node.outputs):
                values.update((value.name, array) for value, array in zip(node.outputs, outputs, strict=True))
        return values, problem

    def reference(self, wanted: Sequence[str]) -> dict[str, Array]:
        """Values in double precision by name, at least those wanted."""
        values = self._doubles
        for index in self.needed(wanted):
            node = self._case.graph.nodes[index]
            if node.outputs and node.outputs[0].name in values:
                continue
            inputs = {name: values[name] for name in set(node.references())}
            outputs = self._step_in_double(node, inputs)
            values.update((value.name, array) for value, array in zip(node.outputs, outputs, strict=True))
        return values

    def _step_in_double(self, node: Node, inputs: dict[str, Array]) -> list[Array]:
        """Results of a node in double precision, or the nearest that there is, in the shapes of its eager results."""
        if next(node.bodies(), None) is not None:
            outputs: list[Array] | None = self._controlled(node, inputs, self._step_in_double, widen, double=True)
        else:
            outputs = self._double(node, inputs)
        shapes = [self.eager[value.name].shape for value in node.outputs]
        if outputs is None or [array.shape for array in outputs] != shapes:
            # An operator whose shape follows its data, or its element type, is no reference for another shape.
            outputs = self._eager_step(node, inputs)
        if [array.shape for array in outputs] != shapes:
            outputs = [widen(self.eager[value.name]) for value in node.outputs]
        return outputs

    def _controlled(
        self,
        node: Node,
        inputs: Mapping[str, Array],
        step: Callable[[Node, dict[str, Array]], list[Array]],
        start: Callable[[Array], Array],
        *,
        double: bool = False,
    ) -> list[Array] | None:
        """Results of a node of control flow, each node of its bodies run by ``step``, their constants as ``start``
        makes them; ``double`` says that element types among its own arguments are widened. None where the operator
        refuses what its bodies give."""
        called = widen_node(node) if double else node
        bodies = dict(zip(map(id, called.bodies()), node.bodies(), strict=True))

        def run(given: Graph, arrays: Sequence[Array]) -> list[Array]:
            body, values = bodies[id(given)], dict(inputs)
            values.update(zip((value.name for value in body.inputs), arrays, strict=True))
            values.update((constant.name, start(constant.data)) for constant in body.constants)
            for inner in body.nodes:
                outputs = step(inner, {name: values[name] for name in set(inner.references())})
                if len(outputs) != len(inner.outputs):
                    raise EvaluationError(f"{inner.target}: {len(outputs)} results, {len(inner.outputs)} expected")
                values.update((value.name, array) for value, array in zip(inner.outputs, outputs, strict=True))
            return [values[name] for name in body.outputs]

        try:
            return self._frontend.control(called, inputs, run)
        except EvaluationError as error:
            self.notes.setdefault(f"{node.target}: {_first_line(error)}")
            return None

    def _double(self, node: Node, inputs: Mapping[str, Array]) -> list[Array] | None:
        """Results of a node in double precision, in the widened types of its eager results; None if that fails."""
        if node.outputs in self._only_eager:
            return None
        try:
            outputs = self._frontend.evaluate(node, inputs, double=True)
        except EvaluationError as error:
            self.notes.setdefault(f"{node.target}: not in double precision: {_first_line(error)}")
            self._only_eager.add(node.outputs)
            return None
        if len(outputs) != len(node.outputs):
            return None
        return [self._coerced(value.name, array) for value, array in zip(node.outputs, outputs, strict=True)]

    def _coerced(self, name: str, array: Array) -> Array:
        """An operator that gives float32 whatever it is given would stop those behind it: widen its result."""
        eager = dtype_name(self.eager[name].dtype)
        wanted = DTYPES[WIDER.get(eager, eager)]
        with np.errstate(all="ignore"):
            return array if array.dtype == wanted else array.astype(wanted)

    def _eager_step(self, node: Node, inputs: Mapping[str, Array]) -> list[Array]:
        """Results of the eager operator on arguments rounded to its own precision, widened; its recorded results
        when it refuses those."""
        with np.errstate(all="ignore"):
            rounded = {name: array.astype(self.eager[name].dtype) for name, array in inputs.items()}
        try:
            outputs = self._frontend.evaluate(node, rounded)
        except EvaluationError:
            outputs = [self.eager[value.name] for value in node.outputs]
        return [widen(np.array(array, copy=True)) for array in outputs]

    # -- noise -----------------------------------------------------------------------------------------------------

    def _noisy(self, node: Node, inputs: dict[str, Array]) -> list[Array]:
        if next(node.bodies(), None) is not None:
            # It computes nothing itself.
            outputs = self._controlled(node, inputs, self._noisy, self._flush)
            if outputs is None:
                raise EvaluationError(f"{node.target}: its bodies do not fit")
            return outputs
        rounding = self._registry.rounding(node.target)
        if rounding is Rounding.EXACT:
            return self._copied(node, inputs)
        sensitivity = Sensitivity()
        cancelled: list[Array] = []
        if rounding is Rounding.COMPOSITE:
            sensitivity, cancelled = self._measured(node)
            inputs = self._disturbed(node, inputs, sensitivity)
        outputs = self._copied(node, inputs)
        exact = self._double(node, {name: widen(array) for name, array in inputs.items()})
        inner = self._inner(inputs, sensitivity) if rounding is Rounding.COMPOSITE else None
        of_simple = all(all_simple(array) for array in inputs.values())
        if self._frontend.registry().tabulated(node):
            outputs = [self._interpolated(array, inputs) for array in outputs]
        return [
            self._rounded(
                array,
                exact[number] if exact is not None and exact[number].shape == array.shape else None,
                _RESULT_ULPS[rounding] * np.sqrt(sensitivity.fan_in),
                inner,
                of_simple,
                cancelled[number] if cancelled else None,
                sums=sensitivity.fan_in > 1 or self._frontend.registry().sums(node.target),
                terms=self._chains.behind(node),
            )
            for number, array in enumerate(outputs)
        ]

    def _interpolated(self, array: Array, inputs: Mapping[str, Array]) -> Array:
        """A result with the error of weights that were looked up at rounded positions: a thousandth of the largest
        argument."""
        if array.dtype.kind not in "fV" or not array.size:
            return array
        parts = [np.abs(wide(value))[np.isfinite(wide(value))] for value in inputs.values() if value.dtype.kind in "fV"]
        largest = max((float(part.max(initial=0.0)) for part in parts), default=0.0)
        with np.errstate(all="ignore"):
            noisy = wide(array) + self._unit(array) * (self._amplitude * largest * 2.0**-10)
        return np.asarray(np.where(classes(array) == 0, noisy, wide(array))).astype(array.dtype)

    def _copied(self, node: Node, inputs: Mapping[str, Array]) -> list[Array]:
        return [np.array(array, copy=True) for array in self._frontend.evaluate(node, inputs)]

    def _measured(self, node: Node) -> tuple[Sensitivity, list[Array]]:
        """How the operator depends on its arguments, and where terms cancelled inside it in eager mode."""
        if node.outputs not in self._probes:
            inputs = {name: self.eager[name] for name in set(node.references())}
            sensitivity = probe(lambda arrays: self._double(node, arrays), inputs)
            exact = self._double(node, {name: widen(array) for name, array in inputs.items()})
            cancelled: list[Array] = []
            for value, reference in zip(node.outputs, exact or [], strict=bool(exact)):
                eager = self.eager[value.name]
                error = deviation_of(eager, reference)
                cancelled.append(np.asarray((error > _CANCELLED * np.abs(wide(eager))) & np.isfinite(error)))
            self._probes[node.outputs] = sensitivity, cancelled
        return self._probes[node.outputs]

    def _disturbed(self, node: Node, inputs: dict[str, Array], sensitivity: Sensitivity) -> dict[str, Array]:
        if sensitivity.fan_in > 1 and all(all_simple(array) for array in inputs.values()):
            clean = self._copied(node, inputs)
            exact = self._double(node, {name: widen(array) for name, array in inputs.items()})
            if exact is not None and all(_equal(left, right) for left, right in zip(clean, exact, strict=True)):
                return inputs
        disturbed = {}
        for name, array in inputs.items():
            if dtype_name(array.dtype) not in SIGNIFICAND and array.dtype.kind != "c":
                disturbed[name] = array
                continue
            noisy = self._relative(array, np.sqrt(sensitivity.fan_in))
            if sensitivity.fan_in <= 1:
                noisy = np.where(simple(array), array, noisy)
            disturbed[name] = np.asarray(noisy)
        return disturbed

    def _inner(self, inputs: Mapping[str, Array], sensitivity: Sensitivity) -> Array | None:
        """The magnitude of the numbers that an operator may compute with inside, as far as its arguments tell."""
        if sensitivity.homogeneous:
            return None
        floating = [array for array in inputs.values() if dtype_name(array.dtype) in SIGNIFICAND]
        if not floating:
            return None
        half = any(dtype_name(array.dtype) in _HALF for array in floating)
        if sensitivity.fan_in > 1:
            return np.asarray(1.0) if half else None
        largest = floating[0].astype(np.float64)
        largest = np.where(np.isfinite(largest), np.abs(largest), 0.0)
        return np.asarray(np.maximum(largest, 1.0) if half else np.where(largest < 1, 1.0, 0.0))

    def _rounded(
        self,
        array: Array,
        exact: Array | None,
        ulps: float,
        inner: Array | None,
        of_simple: bool,
        cancelled: Array | None,
        *,
        sums: bool = False,
        terms: Array | None = None,
    ) -> Array:
        """A result with noise where it is inexact. ``exact`` is the result in double precision (None: unknown);
        ``sums`` tells that elements come from several arguments, ``terms`` is the magnitude of what they are sums of,
        where that may be added up in another order."""
        name = dtype_name(array.dtype)
        if name not in ROUNDED or array.size == 0:
            return array
        values = wide(array)
        finite = classes(array) == 0
        unit = self._amplitude * unit_roundoff(name)
        with np.errstate(all="ignore"):
            scale = ulps * 2 * unit * np.abs(values)
            if inner is not None and _broadcasts(inner, values):
                scale = scale + 2 * unit * inner
            if exact is None:
                inexact = finite
            elif WIDER.get(name, name) == name:
                # Double precision itself: whether a result is exact shows only in short operands and results.
                inexact = finite & ~(simple(array) & of_simple)
            else:
                inexact = finite & (values != exact) & np.isfinite(exact)
                error = np.abs(exact - values)
                scale = np.where(inexact & np.isfinite(error), np.maximum(scale, error), scale)
            noisy = np.where(inexact, values + self._unit(array) * scale, values)
            if terms is not None and terms.shape == array.shape:
                noisy = np.where(finite, noisy + self._unit(array) * (2 * unit * terms), noisy)
            if cancelled is not None and cancelled.shape == array.shape and cancelled.any():
                # What is left of terms that cancelled may be nothing at all in another order of operations.
                noisy = np.where(cancelled & (self._random.random(array.shape) < 0.25), 0.0, noisy)
            if sums and array.dtype.kind != "c":
                # A sum that starts from zero and one that starts from its first term may differ in the sign of a zero.
                zero = np.asarray(noisy == 0)
                if zero.any():
                    noisy = np.where(zero, np.copysign(noisy, self._random.random(array.shape) - 0.5), noisy)
            if exact is not None:
                # Overflow (or an invalid operation) inside an operator: others may compute it differently.
                odd = np.asarray(classes(array) != classes(exact.astype(array.dtype)))
                if odd.any():
                    noisy = np.where(odd & (self._random.random(array.shape) < 0.5), exact, noisy)
            return self._flush(np.asarray(noisy).astype(array.dtype))

    def _relative(self, array: Array, ulps: float) -> Array:
        """The array with a relative error of that many ulps on every element."""
        values = wide(array)
        with np.errstate(all="ignore"):
            unit = self._amplitude * unit_roundoff(dtype_name(array.dtype))
            noisy = values + self._unit(array) * (ulps * 2 * unit * np.abs(values))
            return np.asarray(np.where((classes(array) == 0) & (values != 0), noisy, values)).astype(array.dtype)

    def _unit(self, array: Array) -> Array:
        """Numbers of magnitude 0.6 to 1 and random sign: never so small that they round to nothing."""
        shape = () if self._random.random() < 0.5 else array.shape

        def draw() -> Array:
            signed = self._random.random(shape) * 0.8 - 0.4
            return np.asarray(signed + np.copysign(0.6, signed))

        return draw() + 1j * draw() if array.dtype.kind == "c" else draw()

    def _flush(self, array: Array) -> Array:
        """The array with denormals set to zero, half of the time."""
        name = dtype_name(array.dtype)
        if name not in SIGNIFICAND or self._random.random() < 0.5:
            return array
        # Of the types that NumPy has itself, weights by the million are not worth a copy in double precision.
        with np.errstate(all="ignore"):
            denormal = np.abs(array if array.dtype.kind == "f" else array.astype(np.float64)) < smallest_normal(name)
        return np.where(denormal, np.copysign(np.zeros_like(array), array), array) if denormal.any() else array


def _equal(left: Array, right: Array) -> bool:
    return left.shape == right.shape and bool(np.array_equal(wide(left), wide(right), equal_nan=True))


def _broadcasts(inner: Array, values: Array) -> bool:
    try:
        return np.broadcast_shapes(inner.shape, values.shape) == values.shape
    except ValueError:
        return False


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:160]
