"""The TFLite converter of TensorFlow, from concrete functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from fuzzer.converters._flatbuffer_offsets import quick_offsets
from fuzzer.converters._tf_function import TRACE, TRACE_DYNAMIC, signature_outputs, trace
from fuzzer.converters._tflite_quantization import QUANTIZATION, quantization, quantization_script, set_quantization
from fuzzer.converters.base import Converter
from fuzzer.failures import Refusal, recognising, root_cause
from fuzzer.flatbuffer import code_name, numbered, operator_name
from fuzzer.formats import Artifact, Extents, Format, InvalidModel, Option, Setting, Settings, Unsupported
from fuzzer.onnx_artifacts import contradiction, input_names
from fuzzer.quantized_tflite import error_bounds
from generators.frontends.base import LoadedModel
from generators.graph import Array
from generators.sizes import is_dynamic
from oracles.outcome import Stage
from oracles.quantization import ErrorBounds

REFUSALS = (
    Refusal(r"error: '([\w.]+)' op is neither a custom op nor a flex op", r"\1", "ConverterError"),
    Refusal(r"error: (Failed to convert element type '\w+': Unsupported type)", r"\1", "ConverterError"),
    # Loops that stack results (tf.map_fn) do it in lists, which are lowered for some element types only; it says so,
    # and recommends TensorFlow's own operators instead.
    Refusal(r"'(tf\.TensorList\w+)'.*Lowering tensor list ops is failed", r"\1", "ConverterError"),
    Refusal(r"error: ('[\w.]+' op .*?unsupported[^\n]*)", r"\1", "ConverterError", scrub=True),
    Refusal(r"^Unsupported TensorFlow type `<dtype: '(\w+)'>` provided for the (\w+)", r"\2 of type \1", "ValueError"),
)
#: One line of the list that the converter gives of the operators for which the runtime has no kernel.
_REJECTED = re.compile(r"^\s*(tf\.\w+)\(([^)]*)\) -> ", re.MULTILINE)
#: Operators that read a variable when the model runs: such a model has not been frozen, and no one gives it a value.
_BLOCKS = ("BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND")
_VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")
_FROM_FUNCTION = (
    "converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)\n"
)


class TFLite(Converter):
    """Freezing, MLIR passes, quantization, FlatBuffer export; built-in operators unless told otherwise."""

    name = "tflite"
    source = Format.TENSORFLOW
    target = Format.TFLITE
    dynamic = True
    requires: ClassVar[tuple[str, ...]] = ("tensorflow>=2.20",)
    through = "tf.saved_model"
    parts: ClassVar[Mapping[str, tuple[Setting, str]]] = {"quantization": ("none", "tflite:quantizer")}
    pack = 16
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "select_tf_ops",
            (False, True),
            (1, 0),
            "allow operators that need the Flex delegate, which LiteRT's own package does not have",
        ),
        QUANTIZATION,
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

        make = self.prepared(model, settings)
        with recognising(REFUSALS), quick_offsets():
            converter = make()
            if settings.get("select_tf_ops", False):
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
            set_quantization(converter, model, settings)
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

    def prepared(self, model: LoadedModel, settings: Settings) -> Callable[[], Any]:
        """What makes the ``tf.lite.TFLiteConverter`` of the model. Unsupported when TensorFlow cannot trace it."""
        import tensorflow as tf

        function, _ = trace(model, signed=True)
        # The trackable object keeps the variables alive, so that the converter can freeze them.
        return lambda: tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model.native)

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        with _reading(artifact.data) as flat:
            used = _operators(flat)
            signed = [_signature(flat, number) for number in range(min(flat.SignatureDefsLength(), 1))]
            blocks = _misfitting_blocks(flat) if used & set(_BLOCKS) else ""
        graph = model.graph
        variables = sorted(used & set(_VARIABLES))
        if variables:
            raise InvalidModel(f"variables were not frozen: the model has {', '.join(variables)}")
        if blocks:
            raise InvalidModel(blocks)
        if not signed:
            raise InvalidModel("the model has no signature")
        [(asked, given)] = signed
        strange = set(asked) - set(artifact.inputs)
        if strange:
            raise InvalidModel(f"the model asks for {len(strange)} input(s) that the graph does not have")
        if len(artifact.outputs) != len(graph.outputs):
            raise InvalidModel(f"the model has {len(artifact.outputs)} outputs, the graph has {len(graph.outputs)}")
        types = graph.types()
        inputs = {name: value.type for name, value in zip(artifact.inputs, graph.inputs, strict=True)}
        outputs = {name: types[value] for name, value in zip(artifact.outputs, graph.outputs, strict=True)}
        for entries, wanted in ((asked, inputs), (given, outputs)):
            for name, index in entries.items():
                with _reading(artifact.data) as flat:
                    declared = _declared(flat.Subgraphs(0).Tensors(index))
                if declared[0] == "int8" and wanted[name].dtype == "float32" and _scaled(artifact.data, index):
                    declared = ("float32", declared[1])
                if complaint := contradiction(declared, wanted[name]):
                    raise InvalidModel(f"{name}: {complaint}")

    def quantizes(self, settings: Settings) -> bool:
        return quantization(settings) != "none"

    def error_bounds(self, artifact: Artifact, feeds: Sequence[Array], settings: Settings) -> ErrorBounds | None:
        return error_bounds(artifact, feeds) if self.quantizes(settings) else None

    def script(self, settings: Settings) -> str:
        lines = f"import tensorflow as tf\n\n{self.prepared_script(settings)}"
        if settings.get("select_tf_ops", False):
            lines += (
                "converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]\n"
            )
        return lines + quantization_script(settings) + "artifact = converter.convert()\n"

    def dynamic_script(self, settings: Settings) -> str:
        return self.script(settings).replace(TRACE, TRACE_DYNAMIC)

    def prepared_script(self, settings: Settings) -> str:
        """Source lines for :meth:`prepared`, to ``converter``."""
        return TRACE + _FROM_FUNCTION


def _element(kind: str) -> str:
    """``f32`` of ``tensor<2x3xf32>``, ``complex<f32>`` of ``tensor<*xcomplex<f32>>``."""
    return re.sub(r"^(?:(?:\d+|\?|\*)x)+", "", kind.removeprefix("tensor<").removesuffix(">"))


def _artifact(data: bytes, model: LoadedModel) -> Artifact:
    """Inputs and outputs by their names in the signature; the order of a subgraph's inputs and outputs is arbitrary."""
    inputs: dict[str, int] = {}
    found: dict[str, int] = {}
    extents: dict[str, Extents] = {}
    with _reading(data) as flat:
        if flat.SignatureDefsLength():
            inputs, found = _signature(flat, 0)
        if is_dynamic(model.graph):
            extents = {name: _declared(flat.Subgraphs(0).Tensors(index))[1] for name, index in inputs.items()}
    wanted = signature_outputs(model.graph)
    outputs = [*(name for name in wanted if name in found), *sorted(set(found) - set(wanted))]
    names = input_names(model.graph)
    given = tuple(name if name in inputs else None for name in names)
    declared = tuple(extents.get(name) for name in names) if extents else ()
    return Artifact(Format.TFLITE, data, given, tuple(outputs), extents=declared)


@contextmanager
def _reading(data: bytes) -> Iterator[Any]:
    """The root table of the FlatBuffer, whose parts are decoded when they are asked for: decoding all of a model in
    Python takes longer than what it is wanted for. InvalidModel when it is no TFLite model, or a part of it that is
    asked for inside cannot be read."""
    from tensorflow.lite.python import schema_py_generated as schema

    if data[4:8] != b"TFL3":
        raise InvalidModel("not a TFLite FlatBuffer: the identifier TFL3 is missing")
    try:
        yield schema.Model.GetRootAs(data, 0)
    except Exception as error:
        raise InvalidModel(f"the FlatBuffer cannot be read: {type(error).__name__}: {error}") from error


def _signature(flat: Any, number: int) -> tuple[dict[str, int], dict[str, int]]:
    """Names of the inputs and of the outputs of a signature, each with the index of its tensor."""
    signature = flat.SignatureDefs(number)
    inputs = [signature.Inputs(index) for index in range(signature.InputsLength())]
    outputs = [signature.Outputs(index) for index in range(signature.OutputsLength())]
    named = [{entry.Name().decode(): int(entry.TensorIndex()) for entry in entries} for entries in (inputs, outputs)]
    return named[0], named[1]


def _scaled(data: bytes, index: int) -> bool:
    """Whether that tensor holds quantized real numbers."""
    with _reading(data) as flat:
        quantization = flat.Subgraphs(0).Tensors(index).Quantization()
        return quantization is not None and quantization.ScaleLength() > 0


def _operators(flat: Any) -> set[str]:
    return {code_name(flat.OperatorCodes(index)) for index in range(flat.OperatorCodesLength())}


def _misfitting_blocks(flat: Any) -> str:
    """The first operator whose blocks are not one to a spatial dimension, in words; empty when all fit. The dimensions
    of TFLite's operators are batch, space, depth; TensorFlow's may leave some of space to the depth."""
    subgraph = flat.Subgraphs(0)
    for number in range(subgraph.OperatorsLength()):
        operator = subgraph.Operators(number)
        name = operator_name(flat, operator)
        if name not in _BLOCKS:
            continue
        tensor, block = (subgraph.Tensors(operator.Inputs(place)) for place in (0, 1))
        space = tensor.ShapeLength() - 2
        if block.ShapeLength() and block.Shape(0) != space:
            return f"{name} of rank {tensor.ShapeLength()} has {block.Shape(0)} blocks, {space} dimensions are spatial"
    return ""


def _declared(tensor: Any) -> tuple[str, tuple[int | None, ...] | None]:
    kind = numbered("TensorType")[tensor.Type()].lower()
    if tensor.ShapeSignatureLength():
        extents = [int(extent) for extent in tensor.ShapeSignatureAsNumpy()]
        return kind, tuple(None if extent < 0 else extent for extent in extents)
    if tensor.ShapeLength():
        return kind, tuple(int(extent) for extent in tensor.ShapeAsNumpy())
    return kind, () if tensor.HasRank() else None
