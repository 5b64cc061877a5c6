"""Subjects with planted defects, registered through entry points like any other plugin.

Converters hand a graph on as the identity does, runtimes interpret it; each misbehaves in its own way whenever its
guilty operator is met. What a subject does to a graph inside a campaign it also does to a plain torch module in a
reproducer, where a function mode stands in for the graph.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from fuzzer.converters.identity import Identity
from fuzzer.formats import Artifact, Format, Settings
from fuzzer.runtimes.interpreter import Interpreter
from generators.frontends.base import LoadedModel, frontend
from generators.graph import Array, Constant, DType, Graph, Node, Ref, Slice, TensorType, Value
from oracles.outcome import Stage

GUILTY = "torch.neg"
#: Several outputs of the same type, for the subject that swaps them.
PAIR = "torch.unbind"


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def hang() -> None:
    while True:
        time.sleep(1)


def eat_memory() -> None:
    hoard = []
    while True:
        hoard.append(np.ones(1 << 23))
        time.sleep(0.001)


def leave() -> None:
    os._exit(3)


def print_garbage() -> None:
    print("DEBUG: entering pass")


def dawdle() -> None:
    """A third of a second of work that nobody needs, whatever the machine."""
    deadline = time.perf_counter() + 0.3
    while time.perf_counter() < deadline:
        np.ones((64, 64)) @ np.ones((64, 64))


def complain() -> None:
    raise ValueError("no lowering for this operator")


DEEDS: dict[str, Callable[[], None]] = {
    deed.__name__: deed for deed in (segfault, abort, hang, eat_memory, leave, print_garbage, complain, dawdle)
}


class Planted(Identity):
    """A converter that does something at the guilty operator."""

    source = Format.TORCH
    stages: ClassVar[dict[str, Stage]] = {"convfuzz_planted": Stage.CONVERT}
    guilty: ClassVar[str] = GUILTY
    dynamic = False
    pack = 8

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        if self.guilty in model.graph.operators():
            return self.misbehave(model, settings)
        return super().convert(model, settings)

    def misbehave(self, model: LoadedModel, settings: Settings) -> Artifact:
        graph = self.rewrite(model.graph)
        return super().convert(LoadedModel(graph, model.source, model.native, model.arguments), settings)

    def rewrite(self, graph: Graph) -> Graph:
        return graph

    def script(self, settings: Settings) -> str:
        # A deed is done while converting, which for a plain module is to run it.
        return f"import convfuzz_planted\nmodel, artifact = convfuzz_planted.convert({type(self).__name__!r}, model)\n"

    def after(self, result: Any) -> Any:
        """What becomes of a result of the guilty operator in a plain torch module."""
        return result


class Deed(Planted):
    """A converter that performs one of the deeds."""

    deed: ClassVar[str]

    def misbehave(self, model: LoadedModel, settings: Settings) -> Artifact:
        DEEDS[self.deed]()
        return super().misbehave(model, settings)

    def after(self, result: Any) -> Any:
        DEEDS[self.deed]()
        return result


class Segfault(Deed):
    name, deed = "planted.segfault", "segfault"


class Abort(Deed):
    name, deed = "planted.abort", "abort"


class Hang(Deed):
    name, deed = "planted.hang", "hang"


class Memory(Deed):
    name, deed = "planted.memory", "eat_memory"


class Exit(Deed):
    name, deed = "planted.exit", "leave"


class Prints(Deed):
    name, deed = "planted.prints", "print_garbage"


class Raises(Deed):
    name, deed = "planted.raises", "complain"


class Drops(Planted):
    """Loses the last output."""

    name = "planted.drops"

    def rewrite(self, graph: Graph) -> Graph:
        return Graph(graph.frontend, graph.inputs, graph.constants, graph.nodes, graph.outputs[:-1])

    def after(self, result: Any) -> Any:
        return ()


class Swaps(Planted):
    """Takes the two results of the guilty operator for each other."""

    name, guilty = "planted.swaps", PAIR

    def rewrite(self, graph: Graph) -> Graph:
        nodes = tuple(
            Node(node.target, node.args, node.kwargs, node.outputs[::-1], node.unpack)
            if node.target == self.guilty
            else node
            for node in graph.nodes
        )
        return Graph(graph.frontend, graph.inputs, graph.constants, nodes, graph.outputs)

    def after(self, result: Any) -> Any:
        return tuple(result)[::-1]


class After(Planted):
    """Appends a call to the guilty operator's result where that is an output of the model."""

    appended: ClassVar[str]
    arguments: ClassVar[tuple[Any, ...]]

    def rewrite(self, graph: Graph) -> Graph:
        guilty = made_by(graph, self.guilty)
        extra = tuple(
            Node(self.appended, (Ref(name), *self.arguments), (), (Value(f"{name} after", TensorType("float32", ())),))
            for name in sorted(guilty & set(graph.outputs))
        )
        outputs = tuple(f"{name} after" if name in guilty else name for name in graph.outputs)
        return Graph(graph.frontend, graph.inputs, graph.constants, (*graph.nodes, *extra), outputs)

    def after(self, result: Any) -> Any:
        return frontend("torch").resolve(self.appended)(
            result, *(frontend("torch").native_argument(argument, {}) for argument in self.arguments)
        )


class Retypes(After):
    name, appended, arguments = "planted.retypes", "torch.Tensor.to", (DType("complex128"),)


class Reshapes(After):
    name, appended, arguments = "planted.reshapes", "torch.unsqueeze", (0,)


class FrozenSize(Planted):
    """Takes the first extent of the guilty operator's result for a constant where that is an output of the model: cuts
    off what a longer one has more."""

    name = "planted.frozen-size"
    dynamic = True

    def __init__(self) -> None:
        #: First extents of the results in a traced module, the results themselves, and how many when it ran.
        self.traced: list[int] = []
        self.results: list[Any] = []
        self.tracing = False
        self.calls = 0

    def rewrite(self, graph: Graph) -> Graph:
        types = graph.types()
        guilty = {name for name in made_by(graph, self.guilty) & set(graph.outputs) if types[name].rank}
        extra = tuple(
            Node(
                "operator.getitem",
                (Ref(name), Slice(None, types[name].shape[0])),
                (),
                (Value(f"{name} cut", types[name]),),
            )
            for name in sorted(guilty)
        )
        outputs = tuple(f"{name} cut" if name in guilty else name for name in graph.outputs)
        return Graph(graph.frontend, graph.inputs, graph.constants, (*graph.nodes, *extra), outputs)

    def after(self, result: Any) -> Any:
        if self.tracing:
            self.traced.append(len(result))
            return result
        self.calls += 1
        return result[: self.traced[(self.calls - 1) % len(self.traced)]]


class Folded(FrozenSize):
    """Takes what the guilty operator returns for the example inputs for a constant."""

    name = "planted.folded"
    dynamic = False

    def misbehave(self, model: LoadedModel, settings: Settings) -> Artifact:
        ours, graph = frontend("torch"), model.graph
        given = zip(graph.inputs, model.arguments, strict=True)
        values = ours.run(graph, {value.name: ours.to_array(argument) for value, argument in given})
        nodes = tuple(node for node in graph.nodes if node.target != self.guilty)
        folded = tuple(Constant(name, values[name].copy()) for name in sorted(made_by(graph, self.guilty)))
        graph = Graph(graph.frontend, graph.inputs, (*graph.constants, *folded), nodes, graph.outputs)
        return Identity.convert(self, LoadedModel(graph, model.source, model.native, model.arguments), settings)

    def after(self, result: Any) -> Any:
        if self.tracing:
            self.results.append(result)
            return result
        self.calls += 1
        return self.results[(self.calls - 1) % len(self.results)]


class TurnsNaN(Planted):
    """Multiplies the results of the guilty operator by NaN where they are floats."""

    name = "planted.nan"
    factor: ClassVar[float] = float("nan")

    def rewrite(self, graph: Graph) -> Graph:
        nodes: list[Node] = []
        for node in graph.nodes:
            kind = node.outputs[0].type.dtype
            if node.target != self.guilty or not kind.startswith(("float", "bfloat")):
                nodes.append(node)
                continue
            inner = Value(f"{node.outputs[0].name} before", node.outputs[0].type)
            nodes.append(Node(node.target, node.args, node.kwargs, (inner,), node.unpack))
            nodes.append(Node("torch.mul", (Ref(inner.name), self.factor), (), node.outputs))
        return Graph(graph.frontend, graph.inputs, graph.constants, tuple(nodes), graph.outputs)

    def after(self, result: Any) -> Any:
        return torch.mul(result, self.factor)


class OnePercent(TurnsNaN):
    name, factor = "planted.one-percent", 1.01


class Bloats(Planted):
    """Keeps a table of four mebibytes for each of the guilty operator's calls, and needs none of them."""

    name = "planted.bloats"
    size: ClassVar[int] = 1 << 22

    def __init__(self) -> None:
        self.calls = 0

    def rewrite(self, graph: Graph) -> Graph:
        tables = tuple(
            Constant(f"{node.outputs[0].name} table", np.ones(self.size // 4, np.float32))
            for node in graph.nodes
            if node.target == self.guilty
        )
        return Graph(graph.frontend, graph.inputs, (*graph.constants, *tables), graph.nodes, graph.outputs)

    def after(self, result: Any) -> Any:
        self.calls += 1
        return result


class Slow(Planted):
    """Has a product of large matrices computed for each of the guilty operator's calls, and uses none of them."""

    name = "planted.slow"
    extent: ClassVar[int] = 2000

    def rewrite(self, graph: Graph) -> Graph:
        nodes: list[Node] = []
        kind = TensorType("float32", (self.extent, self.extent))
        for node in graph.nodes:
            nodes.append(node)
            if node.target == self.guilty:
                name = node.outputs[0].name
                nodes.append(Node("torch.full", (kind.shape, 1.0), (), (Value(f"{name} large", kind),)))
                operands = (Ref(f"{name} large"), Ref(f"{name} large"))
                nodes.append(Node("torch.matmul", operands, (), (Value(f"{name} product", kind),)))
        return Graph(graph.frontend, graph.inputs, graph.constants, tuple(nodes), graph.outputs)

    def after(self, result: Any) -> Any:
        large = torch.full((self.extent, self.extent), 1.0)
        torch.matmul(large, large)
        return result


class Correct(Planted):
    name = "planted.correct"


class PlantedRuntime(Interpreter):
    """A runtime that changes what the guilty operator returns."""

    packages: ClassVar[tuple[str, ...]] = ("convfuzz_planted",)
    guilty: ClassVar[str] = GUILTY
    deed: ClassVar[str] = ""

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        if self.deed and self.guilty in session.operators():
            DEEDS[self.deed]()
        torch_frontend = frontend("torch")
        values: dict[str, Any] = {
            value.name: torch_frontend.to_native(feed) for value, feed in zip(session.inputs, feeds, strict=True)
        }
        values.update((constant.name, torch_frontend.to_native(constant.data)) for constant in session.constants)
        for node in session.nodes:
            outputs, _ = torch_frontend.call(node, values)
            if node.target == self.guilty:
                outputs = [self.change(output) for output in outputs]
            values.update(zip((value.name for value in node.outputs), outputs, strict=True))
        return [torch_frontend.to_array(values[name]).copy() for name in session.outputs]

    def change(self, output: torch.Tensor) -> torch.Tensor:
        return output

    def script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        return f"import convfuzz_planted\nactual = convfuzz_planted.run({type(self).__name__!r}, model, inputs)\n"


class OffByOne(PlantedRuntime):
    """Adds one to the last element."""

    name = "planted-off-by-one"

    def change(self, output: torch.Tensor) -> torch.Tensor:
        if output.numel() == 0 or output.dtype is torch.bool:
            return output
        output = output.clone(memory_format=torch.contiguous_format)
        output.view(-1)[-1] += 1
        return output


class Saturates(PlantedRuntime):
    """Gives nothing beyond 40."""

    name = "planted-saturates"

    def change(self, output: torch.Tensor) -> torch.Tensor:
        return output.clamp(-40, 40) if output.is_floating_point() else output


class RuntimeSegfault(PlantedRuntime):
    # Another operator than the other runtimes' one: where this one dies, nothing else is seen.
    name, deed, guilty = "planted-segfault", "segfault", PAIR


class RuntimeSlow(PlantedRuntime):
    name, deed = "planted-slow", "dawdle"


class RuntimeCorrect(PlantedRuntime):
    name = "planted-correct"


def made_by(graph: Graph, target: str) -> set[str]:
    """Values that nodes of the target make."""
    return {value.name for node in graph.nodes if node.target == target for value in node.outputs}


# -- the same subjects for plain torch modules, as reproducers use them ------------------------------------------------


class _Mode(TorchFunctionMode):
    """Calls ``change`` with the results of every function named like the guilty operator."""

    def __init__(self, guilty: str, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.guilty = guilty
        self.change = change

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if getattr(function, "__name__", "") == self.guilty.rpartition(".")[2]:
            with torch._C.DisableTorchFunction():
                return self.change(result)
        return result


def _outputs(result: Any) -> list[torch.Tensor]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def convert(name: str, model: Any) -> tuple[Callable[..., Any], bytes]:
    """What the converter class of that name makes of a torch module: a callable in the place of the module."""
    subject = getattr(sys.modules[__name__], name)()

    def converted(*inputs: torch.Tensor) -> Any:
        with _Mode(subject.guilty, subject.after):
            return model(*inputs)

    if isinstance(subject, FrozenSize):
        subject.tracing = True
        converted(*_example_inputs())
        subject.tracing = False
    if isinstance(subject, Deed):
        converted(*_example_inputs())
    if isinstance(subject, Bloats):
        converted(*_example_inputs())
        return converted, bytes(subject.calls * subject.size)
    return converted, b""


def _example_inputs() -> Any:
    """The inputs of the script that is being run."""
    return getattr(sys.modules["__main__"], "inputs", ())


def run(name: str, model: Any, inputs: Sequence[torch.Tensor]) -> list[Array]:
    """What the runtime class of that name makes of a module."""
    runtime = getattr(sys.modules[__name__], name)()

    def change(result: Any) -> Any:
        if runtime.deed:
            DEEDS[runtime.deed]()
        return runtime.change(result)

    with _Mode(runtime.guilty, change):
        return [output.numpy() for output in _outputs(model(*inputs))]
