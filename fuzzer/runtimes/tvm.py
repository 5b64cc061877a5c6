"""Apache TVM: Relax from ONNX, compiled for the CPU."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Settings, Unsupported
from fuzzer.onnx_artifacts import complete
from fuzzer.runtimes.base import Runtime
from generators.graph import Array

#: How the importer, which is Python, words that it lacks something. What fails in C++ raises other exceptions.
_LACKS = (
    r"(?:^|\n)([^\n]*\b(?:not (?:yet |currently )?supported|[Uu]nsupported|[Oo]nly (?:supports|supported"
    r"|constant|static)|currently supported|statically (?:known|typed)|must be a [Cc]onstant)\b[^\n]*)"
)
REFUSALS = (
    Refusal(r"The following operators are not supported for frontend ONNX: ([\w., ]+)", r"\1"),
    *(Refusal(_LACKS, r"\1", name, scrub=True) for name in ("ValueError", "TypeError", "AssertionError")),
    Refusal(r"^(.*)", r"\1", "NotImplementedError", scrub=True),
)


@dataclass
class Session:
    """A virtual machine for the compiled module, and the names of its inputs in order."""

    machine: Any
    inputs: tuple[str, ...]


class Tvm(Runtime):
    """Relax's importer and default pipeline, LLVM on one core. Compiling a small graph takes a tenth of a second."""

    name = "tvm"
    format = Format.ONNX
    requires = ("apache-tvm>=0.24",)
    packages = ("tvm",)
    options: ClassVar[tuple[Option, ...]] = (Option("optimization", (2, 0, 3), (), "opt_level of the pass context"),)
    variants: ClassVar[Mapping[str, Settings]] = {"llvm": {"optimization": 2}}
    share = 0.1

    def warm_up(self) -> None:
        import tvm.relax.frontend.onnx  # noqa: F401

    def load(self, artifact: Artifact, settings: Settings) -> Session:
        import tvm
        from tvm import relax
        from tvm.relax.frontend.onnx import from_onnx

        if artifact.complex_outputs:
            raise Unsupported("complex numbers")
        model = complete(artifact)
        held = {tensor.name for tensor in model.graph.initializer}
        with recognising(REFUSALS), tvm.transform.PassContext(opt_level=int(settings.get("optimization", 2))):
            module = relax.transform.DecomposeOpsForInference()(from_onnx(model, keep_params_in_input=False))
            compiled = tvm.compile(module, target="llvm")
            machine = relax.VirtualMachine(compiled, tvm.cpu())
        return Session(machine, tuple(value.name for value in model.graph.input if value.name not in held))

    def run(self, session: Session, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        import tvm

        named = dict(zip(artifact.inputs, feeds, strict=True))
        with recognising(REFUSALS):
            given = [tvm.runtime.tensor(_dense(named[name])) for name in session.inputs]
            result = session.machine["main"](*given)
        results = [result] if hasattr(result, "numpy") else list(result)
        if not all(hasattr(item, "numpy") for item in results):
            raise Unsupported("a shape as an output")
        order = [value.name for value in complete(artifact).graph.output]
        arrays = {name: np.array(item.numpy(), copy=True) for name, item in zip(order, results, strict=True)}
        return [arrays[name] for name in artifact.outputs]

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        return _SCRIPT.replace("LEVEL", str(settings.get("optimization", 2)))


def _dense(feed: Array | None) -> Array:
    assert feed is not None
    return np.ascontiguousarray(feed).reshape(feed.shape)  # which makes a vector of a scalar


_SCRIPT = """\
import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

onnx_model = (onnx.load(artifact) if isinstance(artifact, str) else onnx.load_from_string(artifact))
with tvm.transform.PassContext(opt_level=LEVEL):
    module = relax.transform.DecomposeOpsForInference()(from_onnx(onnx_model, keep_params_in_input=False))
    machine = relax.VirtualMachine(tvm.compile(module, target='llvm'), tvm.cpu())
held = {tensor.name for tensor in onnx_model.graph.initializer}
names = [value.name for value in onnx_model.graph.input if value.name not in held]
result = machine['main'](*[tvm.runtime.tensor(feeds[int(name.removeprefix('input_'))]) for name in names])
actual = [item.numpy() for item in ([result] if hasattr(result, 'numpy') else result)]
"""
