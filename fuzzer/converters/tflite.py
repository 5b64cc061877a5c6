"""The TFLite converter of TensorFlow, from concrete functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from fuzzer.converters._tf_function import TRACE, trace
from fuzzer.converters.base import Converter
from fuzzer.failures import Refusal, recognising, root_cause
from fuzzer.formats import Artifact, Format, InvalidModel, Option, Settings, Unsupported
from fuzzer.onnx_artifacts import contradiction, input_names
from generators.frontends.base import LoadedModel
from oracles.outcome import Stage

REFUSALS = (
    Refusal(r"error: '([\w.]+)' op is neither a custom op nor a flex op", r"\1", "ConverterError"),
    Refusal(r"error: (Failed to convert element type '\w+': Unsupported type)", r"\1", "ConverterError"),
    Refusal(r"error: ('[\w.]+' op .*?unsupported[^\n]*)", r"\1", "ConverterError", scrub=True),
)
#: One line of the list that the converter gives of the operators for which the runtime has no kernel.
_REJECTED = re.compile(r"^\s*(tf\.\w+)\(([^)]*)\) -> ", re.MULTILINE)
#: Operators that read a variable when the model runs: such a model has not been frozen, and no one gives it a value.
_VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")


class TFLite(Converter):
    """Freezing, MLIR passes, FlatBuffer export; float models, built-in operators unless told otherwise."""

    name = "tflite"
    source = Format.TENSORFLOW
    target = Format.TFLITE
    requires = ("tensorflow>=2.20",)
    pack = 16
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "select_tf_ops",
            (False, True),
            (1, 0),
            "allow operators that need the Flex delegate, which LiteRT's own package does not have",
        ),
    )
    stages: ClassVar[Mapping[str, Stage]] = {
        "tensorflow": Stage.LOAD,
        "tensorflow.compiler": Stage.CONVERT,
        "tensorflow.lite.python.convert": Stage.CONVERT,
        "tensorflow.lite.python.convert_phase": Stage.CONVERT,
        "tensorflow.lite.python.optimize": Stage.OPTIMIZE,
        "tensorflow.lite.python.util": Stage.EXPORT,
        "tensorflow.lite.tools.flatbuffer_utils": Stage.EXPORT,
    }

    def warm_up(self) -> None:
        import tensorflow as tf

        _ = tf.lite.TFLiteConverter  # a lazily imported module

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        import tensorflow as tf

        function, _ = trace(model)
        with recognising(REFUSALS):
            concrete = function.get_concrete_function()
            # The trackable object keeps the variables alive, so that the converter can freeze them.
            converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model.native)
            if settings.get("select_tf_ops", False):
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
            try:
                data = bytes(converter.convert())
            except Exception as error:
                if rejected := _REJECTED.findall(str(root_cause(error))):
                    what = {
                        f"{name}({', '.join(_element(kind) for kind in kinds.split(', '))})" for name, kinds in rejected
                    }
                    raise Unsupported(
                        ", ".join(sorted(what)), f"no kernel in the runtime for {sorted(what)}"
                    ) from error
                raise
        return _artifact(data, model)

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        flat = _read(artifact.data)
        graph, subgraph = model.graph, flat.subgraphs[0]
        variables = sorted(_operators(flat) & set(_VARIABLES))
        if variables:
            raise InvalidModel(f"variables were not frozen: the model has {', '.join(variables)}")
        if not flat.signatureDefs:
            raise InvalidModel("the model has no signature")
        signature = flat.signatureDefs[0]
        strange = {entry.name.decode() for entry in signature.inputs or ()} - set(artifact.inputs)
        if strange:
            raise InvalidModel(f"the model asks for {len(strange)} input(s) that the graph does not have")
        if len(artifact.outputs) != len(graph.outputs):
            raise InvalidModel(f"the model has {len(artifact.outputs)} outputs, the graph has {len(graph.outputs)}")
        types = graph.types()
        inputs = {name: value.type for name, value in zip(artifact.inputs, graph.inputs, strict=True)}
        outputs = {name: types[value] for name, value in zip(artifact.outputs, graph.outputs, strict=True)}
        for entries, wanted in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for entry in entries or ():
                name = entry.name.decode()
                declared = _declared(subgraph.tensors[entry.tensorIndex])
                if complaint := contradiction(declared, wanted[name]):
                    raise InvalidModel(f"{name}: {complaint}")

    def script(self, settings: Settings) -> str:
        lines = (
            "import tensorflow as tf\n"
            "\n"
            f"{TRACE}"
            "converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)\n"
        )
        if settings.get("select_tf_ops", False):
            lines += (
                "converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]\n"
            )
        return lines + "artifact = converter.convert()\n"


def _element(kind: str) -> str:
    """``f32`` of ``tensor<2x3xf32>``, ``complex<f32>`` of ``tensor<*xcomplex<f32>>``."""
    return re.sub(r"^(?:(?:\d+|\?|\*)x)+", "", kind.removeprefix("tensor<").removesuffix(">"))


def _artifact(data: bytes, model: LoadedModel) -> Artifact:
    """Inputs and outputs by their names in the signature; the order of a subgraph's inputs and outputs is arbitrary."""
    flat = _read(data)
    signature = flat.signatureDefs[0] if flat.signatureDefs else None
    inputs = {entry.name.decode() for entry in (signature and signature.inputs) or ()}
    found = [entry.name.decode() for entry in (signature and signature.outputs) or ()]
    wanted = [f"output_{index}" for index in range(len(model.graph.outputs))]
    outputs = [*(name for name in wanted if name in found), *sorted(set(found) - set(wanted))]
    names = input_names(model.graph)
    return Artifact(Format.TFLITE, data, tuple(name if name in inputs else None for name in names), tuple(outputs))


def _read(data: bytes) -> Any:
    """The FlatBuffer as objects. InvalidModel when it is none."""
    from tensorflow.lite.python import schema_py_generated as schema

    if data[4:8] != b"TFL3":
        raise InvalidModel("not a TFLite FlatBuffer: the identifier TFL3 is missing")
    try:
        return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    except Exception as error:
        raise InvalidModel(f"the FlatBuffer cannot be read: {type(error).__name__}: {error}") from error


def _operators(flat: Any) -> set[str]:
    from tensorflow.lite.python import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    return {names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "") for code in flat.operatorCodes or ()}


def _declared(tensor: Any) -> tuple[str, tuple[int | None, ...] | None]:
    from tensorflow.lite.python import schema_py_generated as schema

    names = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    if tensor.shapeSignature is not None and len(tensor.shapeSignature):
        shape: tuple[int | None, ...] = tuple(None if extent < 0 else int(extent) for extent in tensor.shapeSignature)
    elif tensor.shape is not None and len(tensor.shape):
        shape = tuple(int(extent) for extent in tensor.shape)
    elif tensor.hasRank:
        shape = ()
    else:
        return names[tensor.type], None
    return names[tensor.type], shape
