"""ONNX Runtime through its Python API."""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
import onnx

from fuzzer.failures import normalise
from fuzzer.formats import Artifact, Format, Option, Settings, Unsupported
from fuzzer.onnx_artifacts import node_types
from fuzzer.runtimes.base import Runtime
from generators.frontends.ort_values import from_ort, to_ort
from generators.graph import Array

_REAL_PARTS = {"tensor(float)": np.float32, "tensor(double)": np.float64}
_WHOLE = {np.dtype(np.float32): np.complex64, np.dtype(np.float64): np.complex128}

_NO_KERNEL = re.compile(r"Could not find an implementation for (?:[\w.]+[.:])?(\w+)\(\d+\) node with name '([^']*)'")
_NOT_OFFERED = re.compile(
    r"\bnot (?:yet |currently )?(?:implemented|(?:registered or )?supported)\b|\bunsupported\b|\bNOT_IMPLEMENTED\b"
    r"|\bdoes not support \w+ yet\b",
    re.IGNORECASE,
)

_LOG = logging.getLogger(__name__)
#: What it logs of every optimizer that it applies, and the names of those that apply rules.
_CHANGED = re.compile(r"GraphTransformer (\w+) modified: 1\b")
_RULE_BASED = "_RuleBasedTransformer"
#: The rules of the levels 1 and 2 (onnxruntime/core/optimizer/graph_transformer_utils.cc, GenerateRewriteRules), by the
#: names that they give themselves, as of onnxruntime 1.23. Those that a version lacks are ignored by it.
_RULES = (
    "EliminateIdentity",
    "EliminateSlice",
    "UnsqueezeElimination",
    "EliminateDropout",
    "ExpandElimination",
    "CastElimination",
    "PreShapeNodeElimination",
    "NoopElimination",
    "DivMulFusion",
    "FuseReluClip",
    "GemmSumFusion",
    "GemmTransposeFusion",
    "NotWhereFusion",
    "ConvAddFusion",
    "ConvMulFusion",
    "ConvBNFusion",
    "Pad_Fusion",
    "MatMul_BatchNormalization_Fusion",
    "LabelEncoderFusion",
    "CastChainElimination",
    "ClipQuantRewrite",
    "ReluQuantRewrite",
)


#: What a provider is given to compute in the precision that the model says: each of these would, or might, compute
#: float32 in less by itself.
PRECISE: Mapping[str, Mapping[str, str]] = {
    "CUDAExecutionProvider": {"use_tf32": "0"},
    "CoreMLExecutionProvider": {"ModelFormat": "MLProgram", "MLComputeUnits": "CPUOnly"},
    "OpenVINOExecutionProvider": {"device_type": "CPU", "precision": "FP32"},
    "TensorrtExecutionProvider": {"trt_fp16_enable": "0", "trt_int8_enable": "0"},
}


@functools.cache
def _accelerated() -> tuple[str, ...]:
    """Execution providers of this machine besides the CPU's. Azure's sends models to a service, and is left out."""
    try:
        import onnxruntime
    except ImportError:
        return ()
    return accelerated(onnxruntime.get_available_providers())


def accelerated(present: Sequence[str]) -> tuple[str, ...]:
    """Those of the providers that are worth a variant of their own."""
    ours = ("CPUExecutionProvider", "AzureExecutionProvider")
    return tuple(name for name in present if name not in ours)


def provider_variants(providers: Sequence[str]) -> dict[str, Settings]:
    """A variant for each provider (``cuda``), with everything optimized."""
    return {
        name.removesuffix("ExecutionProvider").lower(): {"optimization": "enable_all", "provider": name}
        for name in providers
    }


class OnnxRuntime(Runtime):
    """Nothing logged; one thread, with and without graph optimizations; in turn each level between, and two threads."""

    name = "onnxruntime"
    format = Format.ONNX
    requires = ("onnxruntime>=1.23",)
    packages = ("onnxruntime",)
    options: ClassVar[tuple[Option, ...]] = (
        Option("optimization", ("enable_all", "disable_all", "enable_basic", "enable_extended", "enable_layout")),
        Option("threads", (1, 2), (), "threads inside an operator"),
        Option("provider", ("CPUExecutionProvider", *_accelerated()), (), "execution provider"),
    )
    variants: ClassVar[Mapping[str, Settings]] = {
        "unoptimized": {"optimization": "disable_all"},
        "optimized": {"optimization": "enable_all"},
        "basic": {"optimization": "enable_basic"},
        "extended": {"optimization": "enable_extended"},
        "layout": {"optimization": "enable_layout"},
        "threads": {"optimization": "enable_all", "threads": 2},
        **provider_variants(_accelerated()),
    }
    occasional = ("basic", "extended", "layout", "threads")
    parts: ClassVar[Mapping[frozenset[str], str]] = {
        # Each level includes those before it.
        frozenset({"basic", "extended", "layout", "optimized", "threads"}): "basic optimizations",
        frozenset({"extended", "layout", "optimized", "threads"}): "extended optimizations",
        frozenset({"layout", "optimized", "threads"}): "layout optimizations",
        frozenset({"optimized", "threads"}): "optimizations",
        frozenset({"threads"}): "threads",
        frozenset({"unoptimized"}): "kernels that optimizations replace",
        frozenset({"unoptimized", "basic", "extended", "layout", "optimized", "threads"}): "kernels",
    }

    def warm_up(self) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        try:
            return _session(artifact, settings)
        except Unsupported:
            raise
        except Exception as error:
            what = _refused(error, artifact.data)
            if what is None or (settings.get("optimization") != "disable_all" and _loads(artifact, settings)):
                # A model that loads before the optimizer has worked on it is supported.
                raise
            raise Unsupported(what, str(error)) from error

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        import onnxruntime

        declared = {value.name: value.type for value in session.get_inputs()}
        given = {
            name: _ort_value(onnxruntime, feed, declared[name])
            for name, feed in zip(artifact.inputs, feeds, strict=True)
            if name is not None
        }
        try:
            # A name asked for twice comes back twice.
            results = session.run_with_ort_values(list(artifact.outputs), given)
        except Exception as error:
            what = _refused(error, artifact.data)
            if what is None:
                raise
            raise Unsupported(what, str(error)) from error
        outputs = [from_ort(result) for result in results]
        for index in artifact.complex_outputs:
            outputs[index] = _from_pairs(outputs[index])
        return outputs

    def optimizers(self, artifact: Artifact, settings: Settings) -> tuple[str, ...]:
        log = _logged(lambda: _session(artifact, {**settings, "severity": 1}))
        changing = dict.fromkeys(_CHANGED.findall(log))
        names = [name for name in changing if not name.endswith(_RULE_BASED)]
        # Of the rules that are applied together the log does not tell which one was.
        return (*(_RULES if len(names) < len(changing) else ()), *names)

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        awkward = not dtypes or any(name.startswith(("bfloat", "float8", "complex")) for name in dtypes)
        return self.load_script(settings) + (_AWKWARD if awkward else _PLAIN)

    def load_script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        level = str(settings.get("optimization", "enable_all")).upper()
        provider = _provider(settings)
        lines = [] if level == "ENABLE_ALL" else [_LEVEL.replace("LEVEL", level)]
        if int(settings.get("threads", 1)) > 1:
            lines.append(f"options.intra_op_num_threads = {settings['threads']}\n")
        options = ["options = onnxruntime.SessionOptions()\n", *lines] if lines else []
        name = settings.get("provider", "CPUExecutionProvider")
        started = "" if name == "CPUExecutionProvider" else f"assert {name!r} in session.get_providers()\n"
        session = _SESSION.replace("PROVIDER", repr(provider)).replace(
            "artifact,", "artifact, options," if lines else "artifact,"
        )
        return "import onnxruntime\n\n" + "".join(options) + session + started


def _session(artifact: Artifact, settings: Settings) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    level = str(settings.get("optimization", "enable_all")).upper()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    options.intra_op_num_threads = int(settings.get("threads", 1))
    options.inter_op_num_threads = 1
    options.log_severity_level = int(settings.get("severity", 4))
    disabled = str(settings.get("disabled", ""))
    with artifact.in_directory() if artifact.files else nullcontext(artifact.data) as file:
        session = onnxruntime.InferenceSession(
            file,
            options,
            providers=[_provider(settings)],
            disabled_optimizers=disabled.split(",") if disabled else None,
        )
    name = str(settings.get("provider", "CPUExecutionProvider"))
    if name not in session.get_providers():
        # One that does not start is passed over with a warning, and the CPU's takes its place.
        raise Unsupported(f"{name}, which does not start here")
    return session


def _provider(settings: Settings) -> str | tuple[str, dict[str, str]]:
    """The execution provider as a session is told of it."""
    name = str(settings.get("provider", "CPUExecutionProvider"))
    return (name, dict(PRECISE[name])) if name in PRECISE else name


def _logged(action: Callable[[], Any]) -> str:
    """What the action writes to the process's standard error, up to its end or to what it raises: a session that is
    refused once it has been optimized has logged how."""
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            action()
        except Exception as error:  # noqa: BLE001  (which failure that is, is asked of load)
            _LOG.info("%s", error)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return file.read().decode(errors="replace")


def _loads(artifact: Artifact, settings: Settings) -> bool:
    try:
        _session(artifact, {**settings, "optimization": "disable_all"})
    except Exception:  # noqa: BLE001  (whatever the type, the answer is no)
        return False
    return True


def _refused(error: Exception, data: bytes) -> str | None:
    """What ONNX Runtime says it does not support, or None when that is not what it says."""
    if type(error).__module__.partition(".")[0] != "onnxruntime":
        return None
    message = str(error)
    if found := _NO_KERNEL.search(message):
        types = node_types(onnx.ModelProto.FromString(data), found[2])
        return f"{found[1]}({', '.join(types)})" if types else found[1]
    if type(error).__name__ == "NotImplemented" or _NOT_OFFERED.search(message):
        return normalise(message)
    return None


def _ort_value(onnxruntime: Any, feed: Array, declared: str) -> Any:
    if feed.dtype.kind == "c" and declared in _REAL_PARTS:
        part = np.dtype(_REAL_PARTS[declared])
        if part.itemsize * 2 == feed.dtype.itemsize:
            feed = np.stack([feed.real, feed.imag], axis=-1)
    return to_ort(onnxruntime, feed)


def _from_pairs(array: Array) -> Array:
    """Complex numbers from reals with a last dimension of 2; an array of another form stays what it is."""
    whole = _WHOLE.get(array.dtype)
    if whole is None or not array.ndim or array.shape[-1] != 2:
        return array
    return np.ascontiguousarray(array).view(whole)[..., 0]


_LEVEL = "options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_LEVEL\n"
_SESSION = "session = onnxruntime.InferenceSession(artifact, providers=[PROVIDER])\n"
_PLAIN = """\
named = {value.name: feeds[int(value.name.removeprefix('input_'))] for value in session.get_inputs()}
actual = session.run(None, named)
"""
_AWKWARD = """\
import numpy

bits = {'bfloat16': ('uint16', 16), 'float8_e4m3fn': ('uint8', 17), 'float8_e5m2': ('uint8', 19)}
given = {}
for position, value in enumerate(session.get_inputs()):
    number = int(value.name[6:]) if value.name.startswith('input_') else position  # unused inputs may be gone
    feed = feeds[number]
    if feed.dtype.name in bits:
        view, code = bits[feed.dtype.name]
        given[value.name] = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(feed.view(view), code)
    else:
        if feed.dtype.kind == 'c' and value.type in ('tensor(float)', 'tensor(double)'):
            feed = numpy.stack([feed.real, feed.imag], -1)
        given[value.name] = onnxruntime.OrtValue.ortvalue_from_numpy(feed)
results = session.run_with_ort_values([value.name for value in session.get_outputs()], given)
actual = []
for result in results:
    if result.element_type() == 16:  # bfloat16, which NumPy does not have; widened
        import torch

        actual.append(torch.from_dlpack(result._get_c_value()).float().numpy())
    else:
        actual.append(result.numpy())
"""
