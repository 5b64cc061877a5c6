"""IREE: the ONNX importer of its compiler, the llvm-cpu backend, the local runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Settings, Unsupported
from fuzzer.onnx_artifacts import complete
from fuzzer.runtimes.base import Runtime
from generators.graph import Array

#: A compiler that is killed, or kills itself, may have said anything before.
_ALIVE = r"\A(?!.*(?:Stack dump:|LLVM ERROR|PLEASE submit a bug report|Error code: -))"
REFUSALS = (
    # An operator, or a form of one, that torch-mlir's conversion has no pattern for.
    Refusal(
        rf"{_ALIVE}.*?failed to legalize (?:unresolved )?(?:operation )?'torch\.operator'.*?name = \"(onnx\.\w+)\"",
        r"\1",
    ),
    Refusal(rf"{_ALIVE}.*?failed to legalize operation '([\w.]+)' that was explicitly marked illegal", r"\1"),
    Refusal(rf"{_ALIVE}.*?\berror: ((?:unimplemented|unsupported)\b[^\n]*)", r"\1", scrub=True),
    Refusal(
        r"(.*(?:does not support|Unsupported?|Unknown ONNX tensor element type)\b.*)",
        r"\1",
        "OnnxImportError",
        scrub=True,
    ),
)


@dataclass
class Session:
    """The model's function in a loaded module, the names of its inputs, names and element types of its outputs."""

    function: Any
    inputs: tuple[str, ...]
    outputs: Mapping[str, np.dtype[Any]]


class Iree(Runtime):
    """One thread. The compiler is a process of its own that takes about a second."""

    name = "iree"
    format = Format.ONNX
    requires = ("iree-base-compiler>=3.5", "iree-base-runtime>=3.5")
    packages = ("iree",)
    options: ClassVar[tuple[Option, ...]] = (Option("optimization", ("O2", "O0", "O3"), (), "iree-opt-level"),)
    variants: ClassVar[Mapping[str, Settings]] = {"llvm-cpu": {"optimization": "O2"}}
    share = 0.05

    def warm_up(self) -> None:
        import iree.compiler.extras.onnx_importer
        import iree.runtime  # noqa: F401

    def load(self, artifact: Artifact, settings: Settings) -> Session:
        from iree import compiler, runtime
        from iree.compiler import ir
        from iree.compiler.extras import onnx_importer

        if artifact.complex_outputs:
            raise Unsupported("complex numbers")
        # The importer needs the type of every value; iree-import-onnx infers them in the same way.
        try:
            model = onnx.shape_inference.infer_shapes(complete(artifact), data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            raise Unsupported("types that ONNX's own inference does not find", str(error)) from error
        with recognising(REFUSALS):
            info = onnx_importer.ModelInfo(model)
            module = ir.Module.create(ir.Location.unknown(ir.Context()))
            onnx_importer.NodeImporter.define_function(info.main_graph, module.operation).import_all()
            compiled = compiler.compile_str(
                str(module),
                target_backends=["llvm-cpu"],
                input_type="onnx",
                extra_args=[
                    "--iree-llvmcpu-target-cpu=host",
                    f"--iree-opt-level={settings.get('optimization', 'O2')}",
                    # A value is what the model says, and not what is left of it in 32 bits.
                    "--iree-input-demote-f64-to-f32=false",
                    "--iree-input-demote-i64-to-i32=false",
                ],
            )
            context = runtime.SystemContext(config=runtime.Config("local-sync"))
            context.add_vm_module(runtime.VmModule.copy_buffer(context.instance, compiled))
        name = model.graph.name or "main_graph"
        held = {tensor.name for tensor in model.graph.initializer}
        return Session(
            getattr(context.modules.module, name),
            tuple(value.name for value in model.graph.input if value.name not in held),
            {
                value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
                for value in model.graph.output
            },
        )

    def run(self, session: Session, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        named = dict(zip(artifact.inputs, feeds, strict=True))
        with recognising(REFUSALS):
            result = session.function(*(named[name] for name in session.inputs))
        results = result if isinstance(result, (tuple, list)) else [result]
        arrays = {
            name: _declared(np.array(np.asarray(item.to_host()), copy=True), dtype)
            for (name, dtype), item in zip(session.outputs.items(), results, strict=True)
        }
        return [arrays[name] for name in artifact.outputs]

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        return _SCRIPT.replace("LEVEL", str(settings.get("optimization", "O2")))


def _declared(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array with the sign that the model declares: the runtime's integers have none."""
    return array.view(dtype) if {array.dtype.kind, dtype.kind} == {"i", "u"} else array


_SCRIPT = """\
import subprocess
import tempfile

import iree.compiler
import iree.runtime
import onnx

onnx_model = onnx.load(artifact) if isinstance(artifact, str) else onnx.load_from_string(artifact)
with tempfile.TemporaryDirectory() as folder:
    onnx.save(onnx_model, f'{folder}/model.onnx')
    importer = [sys.executable, '-m', 'iree.compiler.tools.import_onnx']
    subprocess.run([*importer, f'{folder}/model.onnx', '-o', f'{folder}/model.mlir'], check=True)
    compiled = iree.compiler.compile_file(
        f'{folder}/model.mlir', input_type='onnx', target_backends=['llvm-cpu'],
        extra_args=['--iree-llvmcpu-target-cpu=host', '--iree-opt-level=LEVEL',
                    '--iree-input-demote-f64-to-f32=false', '--iree-input-demote-i64-to-i32=false'],
    )
context = iree.runtime.SystemContext(config=iree.runtime.Config('local-sync'))
context.add_vm_module(iree.runtime.VmModule.copy_buffer(context.instance, compiled))
onnx_graph = onnx_model.graph
held = {tensor.name for tensor in onnx_graph.initializer}
names = [value.name for value in onnx_graph.input if value.name not in held]
function = getattr(context.modules.module, onnx_graph.name)
result = function(*[feeds[int(name.removeprefix('input_'))] for name in names])
results = result if isinstance(result, (tuple, list)) else [result]
actual = []
for value, item in zip(onnx_graph.output, results):
    array = item.to_host()
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    # The runtime does not tell signed integers from unsigned ones.
    actual.append(array.view(dtype) if {array.dtype.kind, dtype.kind} == {'i', 'u'} else array)
"""
