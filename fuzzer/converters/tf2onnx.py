"""tf2onnx, from a frozen graph or from a ``tf.function``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import onnx

from fuzzer.converters._tf2onnx_copies import quick_copies
from fuzzer.converters._tf2onnx_graphs import StepFailed, quick_nodes, shared_graphs
from fuzzer.converters._tf_function import TRACE, TRACE_DYNAMIC, trace
from fuzzer.converters.base import Converter
from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Setting, Settings, Unsupported
from fuzzer.onnx_artifacts import by_output, input_names, named_artifact, validate_onnx
from fuzzer.onnx_slices import slices
from generators.frontends.base import LoadedModel
from oracles.outcome import Stage

REFUSALS = (
    # Conversion functions check with make_sure both what they support and what they take for granted.
    Refusal(
        r"make_sure failure: (.*(?:support|implement|requir|opset|only |needs? |must be ).*)",
        r"\1",
        "ValueError",
        scrub=True,
    ),
    Refusal(r"(.*\b(?:not|only) .*support.*|.* supported)$", r"\1", "ValueError", scrub=True),
    Refusal(r"(.*not supported.*)", r"\1", "NotImplementedError", scrub=True),
    Refusal(r"don't know how to cast type (\d+) on node", r"cast of ONNX type \1", "RuntimeError"),
    Refusal(r"^input_names needs to be provided$", "a graph without inputs"),
)


class Tf2Onnx(Converter):
    """Freezing, Grappler, rewriters, a handler per operator, optimizers."""

    name = "tf2onnx"
    source = Format.TENSORFLOW
    target = Format.ONNX
    sliceable = True
    dynamic = True
    requires: ClassVar[tuple[str, ...]] = ("tf2onnx>=1.16", "tensorflow>=2.20", "onnx>=1.20")
    pack = 4
    through = "tf.saved_model"
    built_on = "tf2onnx"
    parts: ClassVar[Mapping[str, tuple[Setting, str]]] = {
        "api": ("from_graph_def", "tf2onnx:from_function"),
        "extra_opset": ("", "tf2onnx:com.microsoft"),
        "large_model": (False, "tf2onnx:large_model"),
    }
    #: Source lines that make ``function`` and ``signature`` of the model.
    trace_script: ClassVar[str] = TRACE
    dynamic_trace_script: ClassVar[str] = TRACE_DYNAMIC
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "opset", (15, 17, 18, 16, 14, 13, 12, 11, 10, 9), (4, 4, 4, 2, 1, 2, 1, 1, 0.3, 0.3), "ONNX opset asked for"
        ),
        # from_function makes graph inputs of captured constants, so it is left to a small part of the batches.
        Option("api", ("from_graph_def", "from_function"), (15, 1), "function of tf2onnx.convert that is called"),
        Option("extra_opset", ("", "com.microsoft"), (9, 1), "operators of ONNX Runtime that may be used, too"),
        # tf2onnx 1.17 calls np.product for every constant then, which NumPy 2 lacks: one defect for all operators.
        Option("large_model", (False, True), (9, int(hasattr(np, "product"))), "large tensors beside the model"),
    )
    stages: ClassVar[Mapping[str, Stage]] = {
        "tensorflow": Stage.LOAD,
        "tf2onnx": Stage.CONVERT,
        "tf2onnx.tf_loader": Stage.LOAD,
        "tf2onnx.tf_utils": Stage.LOAD,
        "tf2onnx.optimizer": Stage.OPTIMIZE,
        "tf2onnx.graph:make_model": Stage.EXPORT,
    }

    def warm_up(self) -> None:
        import tensorflow  # noqa: F401
        import tf2onnx.convert  # noqa: F401

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        function, signature = trace(model)
        given = self.arguments(settings)
        convert = _from_function if settings.get("api") == "from_function" else _from_graph_def
        with recognising(REFUSALS), quick_copies(), quick_nodes(), raising_what_is_logged() as unsupported:
            try:
                with shared_graphs():
                    proto, files, outputs = convert(function, signature, given)
            except StepFailed:
                unsupported.clear()
                proto, files, outputs = convert(function, signature, given)
        if unsupported:
            raise Unsupported(", ".join(sorted(unsupported)), "tf2onnx has no handler, says so in its log and goes on")
        outputs = by_output(model.graph, outputs, by_key=True)
        return named_artifact(proto, model.graph, input_names(model.graph), outputs, files=files)

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Keyword arguments that the functions of ``tf2onnx.convert`` share."""
        given: dict[str, Any] = {"opset": int(settings.get("opset", self.options[0].values[0]))}
        if domain := str(settings.get("extra_opset", "")):
            given["extra_opset"] = [onnx.helper.make_opsetid(domain, 1)]
        if settings.get("large_model", False):
            given["large_model"] = True
        return given

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        validate_onnx(artifact, model.graph)

    def needs_inputs(self, settings: Settings) -> bool:
        return settings.get("api", "from_graph_def") == "from_graph_def"

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        return slices(artifact, counts)

    def dynamic_script(self, settings: Settings) -> str:
        return self.script(settings).replace(self.trace_script, self.dynamic_trace_script)

    def script(self, settings: Settings) -> str:
        opset = int(settings.get("opset", self.options[0].values[0]))
        given = f", opset={opset}" if opset != self.options[0].values[0] else ""
        if domain := settings.get("extra_opset", ""):
            given += f", extra_opset=[onnx.helper.make_opsetid({domain!r}, 1)]"
        large = bool(settings.get("large_model", False))
        given += ", large_model=True" if large else ""
        api = _FROM_FUNCTION if settings.get("api") == "from_function" else _FROM_GRAPH_DEF
        head = ("import onnx\n" if domain else "") + HEAD
        written = _BESIDE if large else "artifact = proto.SerializeToString()\n"
        return head + self.trace_script + api.replace(", GIVEN", given) + written


def _from_graph_def(
    function: Any, signature: Sequence[Any], given: Mapping[str, Any]
) -> tuple[onnx.ModelProto, dict[str, bytes], list[str]]:
    import tensorflow as tf
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # As tf2onnx itself freezes: control flow stays in functions, of which it knows what to make.
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(), lower_control_flow=False)
    inputs = [tensor.name for tensor in frozen.inputs]
    outputs = [tensor.name for tensor in frozen.outputs]
    renamed = [f"output_{index}" for index in range(len(outputs))]
    names = dict(zip([*inputs, *outputs], [*(spec.name for spec in tf.nest.flatten(signature)), *renamed], strict=True))
    proto, storage = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(), input_names=inputs, output_names=outputs, tensors_to_rename=names, **given
    )
    return proto, _files(storage), renamed


def _from_function(
    function: Any, signature: Sequence[Any], given: Mapping[str, Any]
) -> tuple[onnx.ModelProto, dict[str, bytes], list[str]]:
    import tf2onnx

    proto, storage = tf2onnx.convert.from_function(function, input_signature=signature, **given)
    concrete = function.get_concrete_function()
    # What a function returns in a dictionary, it calls by the keys.
    structured = concrete.structured_outputs
    keys = {tensor.name: key for key, tensor in structured.items()} if isinstance(structured, dict) else {}
    return proto, _files(storage), [keys.get(tensor.name, tensor.name) for tensor in concrete.outputs]


def _files(storage: Any) -> dict[str, bytes]:
    """The tensors that were taken out of the model, by the name of their file; ``storage`` is None without any."""
    return dict(storage.name_to_tensor_data) if storage is not None else {}


class _Raiser(logging.Handler):
    """tf2onnx catches what the handler of an operator raises, logs it and returns a model that still has the
    TensorFlow operator in it. What a log handler raises, it does not catch."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.unsupported: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            raise record.exc_info[1]
        if "is not supported" in str(record.msg) and isinstance(record.args, tuple) and len(record.args) == 2:
            self.unsupported.add(str(record.args[1]))


@contextmanager
def raising_what_is_logged() -> Iterator[set[str]]:
    """While active, an exception that tf2onnx only logs is raised; gives the operators that it has no handler for."""
    logger, handler = logging.getLogger("tf2onnx"), _Raiser()
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield handler.unsupported
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)


HEAD = """\
import tensorflow as tf
import tf2onnx

def throw(*_, **__):  # tf2onnx logs what its handlers raise, and returns a broken model
    raise sys.exc_info()[1] or RuntimeError('tf2onnx logs an error')

tf2onnx.tfonnx.logger.error = throw
"""
_FROM_FUNCTION = "proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, GIVEN)\n"
_FROM_GRAPH_DEF = """\
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

frozen = convert_variables_to_constants_v2(function.get_concrete_function(), lower_control_flow=False)
ends = [[tensor.name for tensor in side] for side in (frozen.inputs, frozen.outputs)]
names = {x: f'{kind}_{index}' for kind, end in zip(('input', 'output'), ends) for index, x in enumerate(end)}
proto, _ = tf2onnx.convert.from_graph_def(
    frozen.graph.as_graph_def(), input_names=ends[0], output_names=ends[1], tensors_to_rename=names, GIVEN
)
"""
#: What tf2onnx writes into a zip file, beside each other.
_BESIDE = """\
artifact = 'model.onnx'
open(artifact, 'wb').write(proto.SerializeToString())
for name, data in _.name_to_tensor_data.items():
    open(name, 'wb').write(data)
"""
