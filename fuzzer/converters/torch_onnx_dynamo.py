"""``torch.onnx.export(dynamo=True)``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import onnx

from fuzzer.converters._onnx_signatures import kept_signatures
from fuzzer.converters._onnxscript_rules import indexed_rules
from fuzzer.converters._torch_arguments import positional
from fuzzer.converters._torch_registry import warm_registry
from fuzzer.converters._torch_tracing import sparing_tracing
from fuzzer.converters.base import Converter
from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Extents, Format, Option, Setting, Settings
from fuzzer.onnx_artifacts import input_names, output_names, positional_artifact, saving, validate_onnx
from fuzzer.onnx_slices import slices
from generators.frontends.base import LoadedModel
from generators.graph import Graph
from generators.grouping import in_order, in_results, nested
from generators.sizes import is_dynamic, marking_of, symbols_of
from oracles.outcome import Stage


@contextmanager
def warm_exporter() -> Iterator[None]:
    """While active, ``torch.onnx.export`` is spared what it would do again for nothing; the result is the same."""
    with warm_registry(), sparing_tracing(), kept_signatures(), indexed_rules():
        yield


EXPORT_REFUSALS = (
    # Documented restrictions of control flow: layouts count as types, and what is returned is nothing that was given.
    Refusal(
        r"Expected (\w+) and (\w+) to have same metadata but found[^']*'(\w+):",
        r"control flow: \3 of \1 and \2 differ",
        "UncapturedHigherOrderOpError",
    ),
    Refusal(r"(\w+) might be aliasing the input or the output", r"control flow: aliases in \1", "RuntimeError"),
    # What torch.export finds of a dynamic dimension by tracing, and states, contradicts that it may have any extent.
    Refusal(r"Constraints violated", "constraints on dynamic dimensions"),
    Refusal(r"conflicts between user-specified ranges and inferred ranges", "constraints on dynamic dimensions"),
    # torch.export's documented limits: shapes or branches that depend on the elements of a tensor.
    Refusal(r"", "data-dependent expression", "GuardOnDataDependentSymNode"),
    Refusal(r"", r"data-dependent output shape", "DynamicOutputShapeException"),
    Refusal(r"", r"data-dependent output", "DataDependentOutputException"),
    Refusal(r"([\w.:]+): attempted to run this operator with Meta tensors, but there was no fake impl", r"\1"),
    Refusal(r"Could not run '([\w.:]+)' with arguments from the 'Meta' backend", r"\1"),
)
REFUSALS = (
    Refusal(
        r"No ONNX function found for <OpOverload\(op='([\w.:]+)', overload='(\w*)'\)>\. Failure message: "
        r"No decompositions registered for the (complex)-valued",
        r"\1.\2 of \3 values",
        "DispatchError",
    ),
    Refusal(r"No ONNX function found for <OpOverload\(op='([\w.:]+)', overload='(\w*)'\)>", r"\1.\2", "DispatchError"),
    Refusal(r"No ONNX function found for <torch\._higher_order_ops\.(\w+)\.\w+ object", r"\1", "DispatchError"),
    Refusal(r"No ONNX function found for (.+?)\. Failure message", r"\1", "DispatchError"),
    # What ONNX functions of torchlib check before they build anything.
    *(
        Refusal(r"^([^\n]*\b(?:only|not)\b[^\n]*\b(?:supported|implemented)\b[^\n]*)", r"\1", kind, scrub=True)
        for kind in ("AssertionError", "NotImplementedError", "ValueError")
    ),
    *EXPORT_REFUSALS,
)


class TorchOnnxDynamo(Converter):
    """torch.export, decompositions, torchlib's ONNX functions, onnxscript's version converter and optimizer."""

    name = "torch.onnx-dynamo"
    source = Format.TORCH
    target = Format.ONNX
    sliceable = True
    dynamic = True
    requires = ("torch>=2.9", "onnxscript>=0.5", "onnx>=1.20")
    through = "torch.export"
    # Functions of torchlib are written for opset 18; what is asked for beyond is made of it.
    parts: ClassVar[Mapping[str, tuple[Setting, str]]] = {
        "optimize": (False, "onnxscript.optimizer"),
        "opset": (18, "onnxscript.version_converter"),
        "external_data": (False, "torch.onnx-dynamo:external_data"),
        "keep_initializers_as_inputs": (False, "torch.onnx-dynamo:keep_initializers_as_inputs"),
    }
    pack = 16
    options: ClassVar[tuple[Option, ...]] = (
        Option("opset", (20, 18, 19, 21, 22, 23), (5, 4, 1, 1, 1, 2), "ONNX opset asked for"),
        Option("optimize", (True, False), (3, 1), "run onnxscript's optimizer on the result"),
        Option("external_data", (False, True), (4, 1), "tensors in a file beside the model"),
        Option(
            "keep_initializers_as_inputs", (False, True), (9, 1), "list the model's tensors as inputs with defaults"
        ),
        Option(
            "dims", ("Dim", "Dim.DYNAMIC", "Dim.AUTO", "name"), (5, 2, 1, 1), "how dynamic dimensions are given, if any"
        ),
    )
    stages: ClassVar[Mapping[str, Stage]] = {
        # Decomposition re-enters torch.export; it belongs to the second of the exporter's three steps.
        "torch.onnx._internal.exporter._core:_prepare_exported_program_for_export": Stage.CONVERT,
        "torch.onnx._internal.exporter._core:_exported_program_to_onnx_program": Stage.CONVERT,
        "torch.onnx._internal.exporter._capture_strategies": Stage.LOAD,
        "torch.export": Stage.LOAD,
        "torch._export": Stage.LOAD,
        "torch._dynamo": Stage.LOAD,
        "torch.onnx._internal.exporter": Stage.CONVERT,
        "torch.onnx._internal.exporter._onnx_program:optimize": Stage.OPTIMIZE,
        "onnxscript.function_libs": Stage.CONVERT,
        "onnxscript.optimizer": Stage.OPTIMIZE,
        "onnxscript.rewriter": Stage.OPTIMIZE,
        "onnxscript.version_converter": Stage.OPTIMIZE,
        "onnx_ir.passes": Stage.OPTIMIZE,
        "onnx_ir.serde": Stage.EXPORT,
        "torch.onnx._internal.exporter._onnx_program:model_proto": Stage.EXPORT,
    }

    def warm_up(self) -> None:
        import onnxscript  # noqa: F401
        import torch

        with warm_exporter(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for opset in self.options[0].values[:2]:
                torch.onnx.export(
                    torch.nn.ReLU(), (torch.zeros(2),), dynamo=True, opset_version=int(opset), verbose=False
                )

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        import torch

        graph = model.graph
        if any(next(node.bodies(), None) is not None for node in graph.nodes):
            # Each body is compiled under a name that all share: dynamo takes extents that differ for dynamic ones, and
            # gives up after a few.
            torch._dynamo.reset()
        with recognising(REFUSALS), warm_exporter(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model.native,
                positional(model.called_with),
                dynamo=True,
                dynamic_shapes=_dynamic_shapes(graph, str(settings.get("dims", "Dim"))),
                input_names=in_order(graph, input_names(graph)),
                output_names=in_results(graph, output_names(graph)),
                opset_version=int(settings.get("opset", self.options[0].values[0])),
                optimize=bool(settings.get("optimize", True)),
                external_data=False,
                verbose=False,
            )
            keep = bool(settings.get("keep_initializers_as_inputs", False))
            if settings.get("external_data", False) or keep:
                artifact = _saved(program, graph, keep, external_data=bool(settings.get("external_data", False)))
            else:
                artifact = positional_artifact(program.model_proto, graph)
        if is_dynamic(graph):
            artifact = replace(artifact, ranges=_ranges(program.exported_program, in_order(graph, artifact.extents)))
        return artifact

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        validate_onnx(artifact, model.graph)

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        return slices(artifact, counts)

    def script(self, settings: Settings) -> str:
        opset = int(settings.get("opset", self.options[0].values[0]))
        given = f", opset_version={opset}" if opset != self.options[0].values[0] else ""
        given += "" if settings.get("optimize", True) else ", optimize=False"
        keep = ", keep_initializers_as_inputs=True" if settings.get("keep_initializers_as_inputs", False) else ""
        written = "artifact = program.model_proto.SerializeToString()\n"
        if settings.get("external_data", False):
            written = f"artifact = 'model.onnx'\nprogram.save(artifact, external_data=True{keep})\n"
        elif keep:
            written = f"program.save('model.onnx'{keep})\nartifact = open('model.onnx', 'rb').read()\n"
        return (
            "import torch\n"
            "\n"
            "program = torch.onnx.export(\n"
            f"    model, tuple(inputs), dynamo=True{given},\n"
            "    input_names=[f'input_{index}' for index in range(len(inputs))], verbose=False,\n"
            ")\n"
            f"{written}"
        )

    def dynamic_script(self, settings: Settings) -> str:
        dims = str(settings.get("dims", "Dim"))
        each = {
            "Dim": "dims[name]",
            "name": "name",
        }.get(dims, f"torch.export.{dims}")
        made = (
            "dims = {name: torch.export.Dim(name) for axes in dynamic_shapes for name in axes.values()}\n"
            if dims == "Dim"
            else ""
        )
        shapes = f"shapes = tuple({{axis: {each} for axis, name in axes.items()}} for axes in dynamic_shapes)\n"
        script = self.script(settings).replace("verbose=False,", "dynamic_shapes=shapes, verbose=False,")
        return script.replace("program = ", f"{made}{shapes}program = ", 1)


def _saved(program: Any, graph: Graph, keep: bool, *, external_data: bool) -> Artifact:
    """The artifact as ``program.save`` writes it, with the files beside it."""
    with saving() as (path, files):
        program.save(path, external_data=external_data, keep_initializers_as_inputs=keep)
    return positional_artifact(onnx.ModelProto.FromString(files.pop(path.name)), graph, files=files)


def _dynamic_shapes(graph: Graph, dims: str) -> tuple[dict[int, Any], ...] | None:
    """What ``torch.export`` is told of the dynamic dimensions, one way or another; None when there are none."""
    from torch.export import Dim

    if not is_dynamic(graph):
        return None
    named = {symbol: Dim(symbol) for symbol in symbols_of(graph)}
    each: Callable[[str], Any] = {
        "Dim": named.__getitem__,
        "Dim.DYNAMIC": lambda symbol: Dim.DYNAMIC,
        "Dim.AUTO": lambda symbol: Dim.AUTO,
        "name": lambda symbol: symbol,
    }[dims]
    shapes = [{axis: each(symbol) for axis, symbol in axes.items()} for axes in marking_of(graph)]
    return tuple(nested(graph, shapes))


def _ranges(program: Any, extents: Sequence[Extents]) -> dict[str, tuple[int, int | None]]:
    """What ``torch.export`` has found of the extents that a symbol of the model may have."""
    nodes = {node.name: node for node in program.graph.nodes}
    found: dict[str, tuple[int, int | None]] = {}
    for name, declared in zip(program.graph_signature.user_inputs, extents, strict=False):
        value = nodes[name].meta.get("val") if name in nodes else None
        for symbol, extent in zip(declared or (), getattr(value, "shape", ()), strict=False):
            if not isinstance(symbol, str) or isinstance(extent, int):
                continue
            range_of = program.range_constraints.get(extent.node.expr)
            if range_of is not None:
                upper = range_of.upper
                found[symbol] = int(range_of.lower), int(upper) if upper.is_Integer else None
    return found
