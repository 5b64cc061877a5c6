"""``torch.export``, by itself: the first half of the dynamo exporter, and what inductor compiles."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import ClassVar

from fuzzer.converters._torch_registry import warm_registry
from fuzzer.converters._torch_tracing import sparing_tracing
from fuzzer.converters.base import Converter
from fuzzer.converters.torch_onnx_dynamo import EXPORT_REFUSALS
from fuzzer.failures import recognising
from fuzzer.formats import Artifact, Format, Option, Settings
from generators.frontends.base import LoadedModel
from generators.grouping import in_order, output_order
from oracles.outcome import Stage


class TorchExport(Converter):
    """torch.export.export, decompositions if asked for, and the program's own file format."""

    name = "torch.export"
    source = Format.TORCH
    target = Format.EXPORTED_PROGRAM
    requires: ClassVar[tuple[str, ...]] = ("torch>=2.9",)
    options: ClassVar[tuple[Option, ...]] = (
        Option("strict", (False, True), (3, 1), "trace bytecode with TorchDynamo instead of running the module"),
        Option("decompose", (False, True), (1, 1), "run_decompositions() to the core operators"),
    )
    stages: ClassVar[Mapping[str, Stage]] = {
        "torch": Stage.LOAD,
        "torch.export.exported_program:run_decompositions": Stage.CONVERT,
        "torch._export.serde": Stage.EXPORT,
    }
    pack = 16
    #: Asked for by name: no converter to another format.
    default = False

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        import torch

        with (
            recognising(EXPORT_REFUSALS),
            warm_registry(),
            sparing_tracing(),
            warnings.catch_warnings(),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            program = torch.export.export(model.native, model.called_with, strict=bool(settings.get("strict", False)))
            if settings.get("decompose", False):
                program = program.run_decompositions()
            file = io.BytesIO()
            torch.export.save(program, file)
        # The program's own names are in the order in which the arguments hold the inputs.
        held = zip(
            in_order(model.graph, range(len(model.graph.inputs))), program.graph_signature.user_inputs, strict=True
        )
        names = tuple(str(name) for _, name in sorted(held))
        # So are the tensors that it returns.
        held = zip(output_order(model.graph), range(len(model.graph.outputs)), strict=True)
        outputs = tuple(f"output_{number}" for _, number in sorted(held))
        return Artifact(self.target, file.getvalue(), names, outputs)

    def script(self, settings: Settings) -> str:
        decompose = ".run_decompositions()" if settings.get("decompose", False) else ""
        return (
            "import io\n"
            "\n"
            f"program = torch.export.export(model, tuple(inputs), strict={bool(settings.get('strict', False))})"
            f"{decompose}\n"
            "file = io.BytesIO()\n"
            "torch.export.save(program, file)\n"
            "artifact = file.getvalue()\n"
        )
