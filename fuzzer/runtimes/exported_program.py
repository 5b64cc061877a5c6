"""torch's ExportedProgram, run eagerly and compiled by inductor."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Settings
from fuzzer.runtimes.base import Runtime
from generators.frontends.base import frontend
from generators.graph import Array

REFUSALS = (
    Refusal(r"", "data-dependent expression", "GuardOnDataDependentSymNode"),
    Refusal(r"", "data-dependent output shape", "DynamicOutputShapeException"),
    Refusal(r"", "complex operators", "UnsupportedOperatorException"),
)


class ExportedProgram(Runtime):
    """``torch.export.load(…).module()``: the operators of the program one after the other."""

    name = "torch.export.module"
    format = Format.EXPORTED_PROGRAM
    requires = ("torch>=2.9",)
    packages = ("torch",)
    variants: ClassVar[Mapping[str, Settings]] = {"eager": {}}

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(artifact.data))
            return program.module(), program.call_spec.in_spec, program.graph_signature.user_inputs

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        import torch

        torch_frontend = frontend("torch")
        module, structure, names = session
        given = dict(zip(artifact.inputs, feeds, strict=True))
        tensors = [torch_frontend.to_native(given[name]) for name in names]
        args, _ = torch.utils._pytree.tree_unflatten(tensors, structure)
        with recognising(REFUSALS), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = module(*args)
        # Outputs are named by their numbers among the tensors that the program returns.
        outputs = torch.utils._pytree.tree_leaves(result)
        return [torch_frontend.to_array(outputs[int(name.removeprefix("output_"))]).copy() for name in artifact.outputs]

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        return _SCRIPT.format(module="module")


class Inductor(ExportedProgram):
    """``torch.compile`` of the program's module: C++ by inductor, compiled by the machine's compiler."""

    name = "inductor"
    packages = ("torch",)
    options: ClassVar[tuple[Option, ...]] = (Option("dynamic", (False, True), (), "torch.compile(dynamic=…)"),)
    variants: ClassVar[Mapping[str, Settings]] = {"cpu": {}}
    share = 0.05

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        import torch

        # What was compiled before counts against a limit, and would be guessed to be dynamic.
        torch._dynamo.reset()
        module, *rest = super().load(artifact, settings)
        return torch.compile(module, dynamic=bool(settings.get("dynamic", False))), *rest

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        return _SCRIPT.format(module=f"torch.compile(module, dynamic={bool(settings.get('dynamic', False))})")


_SCRIPT = """\
import io

module = torch.export.load(io.BytesIO(artifact)).module()
with torch.no_grad():
    outputs = {module}(*inputs)
outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
widened = {{torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2}}  # which NumPy does not have
actual = [(x.float() if x.dtype in widened else x).resolve_conj().resolve_neg().numpy() for x in outputs]
"""
