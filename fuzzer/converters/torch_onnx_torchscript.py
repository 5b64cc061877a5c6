"""``torch.onnx.export(dynamo=False)``."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import ClassVar

import onnx

from fuzzer.converters._torch_arguments import positional
from fuzzer.converters._torch_jit import sparing_iteration
from fuzzer.converters.base import Converter
from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Setting, Settings
from fuzzer.onnx_artifacts import input_names, named_artifact, output_names, validate_onnx
from fuzzer.onnx_slices import slices
from generators.frontends.base import LoadedModel
from generators.grouping import in_order, in_results
from generators.sizes import marking_of
from oracles.outcome import Stage

REFUSALS = (
    # torch.cond and the loops compile the functions that they are given, which the tracer does not follow.
    Refusal(r"torch\.jit\.trace a dynamo-optimized function", "control flow", "RuntimeError"),
    Refusal(r"Exporting the operator '([\w:.]+)' to ONNX opset version \d+ is not supported", r"\1"),
    Refusal(r"ONNX export failed on an operator with unrecognized namespace ([\w:.]+)", r"\1"),
    Refusal(r"Unsupported: ONNX export of operator ([^\[]+?)\. Please feel free to request support", r"\1", scrub=True),
    Refusal(
        r"Unsupported: ONNX export of ([^\[]+?) in opset \d+\. (?:(?!Please)([^\[]+?)\. )?Please", r"\1", scrub=True
    ),
    Refusal(r"Unsupported: ONNX (?:export of )?(?:operator )?(\w[^\[\n.]*)", r"\1", scrub=True),
    Refusal(r"ScalarType (\w+) is an unexpected tensor scalar type", r"\1 tensors"),
    Refusal(r"ONNX export does (?:NOT|not) support (?:exporting )?([^.\n]+)", r"\1", scrub=True),
    Refusal(r"^(ONNX does not support [^.\n]+)", r"\1", "OnnxExporterError", scrub=True),
    Refusal(r"ONNX export failed on (\w+), which is not implemented for opset", r"\1"),
    # The rest of what embedding_bag does not do is told in the words above.
    Refusal(r"^(embedding_bag with \w+)$", r"\1", "RuntimeError"),
    # Raised with dynamic dimensions only: what the tracer warns of is that their extents may be constants in a trace.
    Refusal(
        r"might cause the trace to be incorrect|might not generalize", "tracing of dynamic shapes", "TracerWarning"
    ),
    Refusal(
        r"^(?:.*[.:] )?([\w' =!.()]+ (?:is|are) (?:currently )?not supported[^\[\n.]*)",
        r"\1",
        "SymbolicValueError",
        True,
    ),
)


class TorchOnnxTorchScript(Converter):
    """Tracing to TorchScript, symbolic functions, the passes in C++."""

    name = "torch.onnx-torchscript"
    source = Format.TORCH
    target = Format.ONNX
    sliceable = True
    dynamic = True
    requires = ("torch>=2.9", "onnx>=1.20")
    parts: ClassVar[Mapping[str, tuple[Setting, str]]] = {
        "do_constant_folding": (False, "torch.onnx-torchscript:constant folding"),
    }
    pack = 16
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "opset",
            (20, 17, 18, 19, 16, 15, 14, 13, 12, 11, 10, 9),
            (6, 6, 6, 3, 1, 1, 1, 1, 0.5, 0.5, 0.2, 0.2),
            "ONNX opset asked for",
        ),
        Option("do_constant_folding", (True, False), (3, 1), "fold constants while exporting"),
        Option(
            "keep_initializers_as_inputs", (False, True), (9, 1), "list the model's tensors as inputs with defaults"
        ),
    )
    stages: ClassVar[Mapping[str, Stage]] = {
        "torch.onnx._internal.torchscript_exporter.utils:_create_jit_graph": Stage.LOAD,
        "torch.jit": Stage.LOAD,
        "torch.onnx": Stage.CONVERT,
        "torch.onnx._internal.torchscript_exporter.onnx_proto_utils": Stage.EXPORT,
    }

    def warm_up(self) -> None:
        import torch

        # What the exporter says about a graph that it fails on is meant for a log, and would go to standard output.
        redirect = getattr(torch._C, "_jit_set_onnx_log_output_stream", None)
        if redirect is not None:
            redirect("stderr")

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        import torch

        graph = model.graph
        names = input_names(graph)
        file = io.BytesIO()
        axes = {name: marked for name, marked in zip(names, marking_of(graph), strict=True) if marked}
        with recognising(REFUSALS), warnings.catch_warnings(), torch.no_grad(), sparing_iteration():
            warnings.simplefilter("ignore")
            if axes:
                # The tracer itself says where it takes an extent for a constant.
                warnings.simplefilter("error", torch.jit.TracerWarning)
            torch.onnx.export(
                model.native,
                positional(model.called_with),
                file,
                dynamo=False,
                input_names=in_order(graph, names),
                output_names=in_results(graph, output_names(graph)),
                dynamic_axes=axes or None,
                opset_version=int(settings.get("opset", self.options[0].values[0])),
                do_constant_folding=bool(settings.get("do_constant_folding", True)),
                keep_initializers_as_inputs=bool(settings.get("keep_initializers_as_inputs", False)),
            )
        return named_artifact(onnx.ModelProto.FromString(file.getvalue()), graph, names)

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        validate_onnx(artifact, model.graph)

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        return slices(artifact, counts)

    def script(self, settings: Settings) -> str:
        opset = int(settings.get("opset", self.options[0].values[0]))
        extra = f", opset_version={opset}" if opset != self.options[0].values[0] else ""
        if not settings.get("do_constant_folding", True):
            extra += ", do_constant_folding=False"
        if settings.get("keep_initializers_as_inputs", False):
            extra += ", keep_initializers_as_inputs=True"
        return (
            "import io\n"
            "\n"
            "import torch\n"
            "\n"
            "file = io.BytesIO()\n"
            "torch.onnx.export(\n"
            f"    model, tuple(inputs), file, dynamo=False{extra},\n"
            "    input_names=[f'input_{index}' for index in range(len(inputs))],\n"
            ")\n"
            "artifact = file.getvalue()\n"
        )

    def dynamic_script(self, settings: Settings) -> str:
        names = "input_names=[f'input_{index}' for index in range(len(inputs))],"
        axes = "dynamic_axes={f'input_{index}': axes for index, axes in enumerate(dynamic_shapes) if axes},"
        return self.script(settings).replace(names, f"{names}\n    {axes}")
