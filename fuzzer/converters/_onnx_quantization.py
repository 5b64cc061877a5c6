"""onnxruntime.quantization: the option, what it does to a model, and the same as source text."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Option, Settings
from fuzzer.onnx_artifacts import saving
from fuzzer.patience import within
from generators.frontends.base import LoadedModel
from generators.frontends.onnx_processor import products_saturate
from generators.graph import Array

#: Calibration runs the model through ONNX Runtime's Python API, which has no arrays of some element types.
REFUSALS = (
    Refusal(r"No corresponding Numpy type for Tensor Type\. (\w+)", r"calibration with \1", "RuntimeError"),
    Refusal(r"Numpy_type \d+ can't be converted to MLDataType", "calibration with this element type", "RuntimeError"),
    Refusal(r"^No data is collected\.$", "calibration of a model that has nothing to calibrate", "ValueError"),
    # It asserts that no scale is negative. None ever is, but NaN is not above zero either: that of a constant with NaN,
    # and of a value that was nothing else.
    Refusal(r"^scale issue$", "quantization of NaN", "AssertionError"),
    Refusal(r"^(.* is not supported for weight yet)$", r"\1", "ValueError", scrub=True),
)
QUANTIZATION = Option(
    "quantization",
    ("none", "dynamic", "static"),
    (6, 1, 2),
    "onnxruntime.quantization: of weights, operands as the model runs (dynamic); of both, as QuantizeLinear and"
    " DequantizeLinear around operators (static)",
)
#: Seconds after which quantization is taken to hang. It takes well under one; the static one of onnxruntime 1.31 loops
#: for ever over a result that shares the scale of a value which is not quantized, and the deadline of a step is too
#: long to wait for that each time.
_SECONDS = 10
PER_CHANNEL = Option("per_channel", (False, True), (2, 1), "scales of quantized weights by channel")


def quantization(settings: Settings) -> str:
    """The setting, ``none`` without one."""
    return str(settings.get("quantization", "none"))


def quantized(proto: onnx.ModelProto, model: LoadedModel, settings: Settings) -> onnx.ModelProto:
    """The model quantized as the settings ask for; calibrated on the case's own feeds, once, infinities and NaN set to
    zero."""
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static

    given: dict[str, Any] = {
        "weight_type": QuantType[_integers()],
        "per_channel": bool(settings.get("per_channel", False)),
    }
    with saving() as (path, files), recognising(REFUSALS), within(_SECONDS, "quantizing"):
        if quantization(settings) == "dynamic":
            quantize_dynamic(proto, path, **given)
        else:
            feeds = {f"input_{index}": _finite(array) for index, array in enumerate(model.arguments)}
            quantize_static(proto, path, _Feeds(feeds), activation_type=QuantType[_integers()], **given)
    return onnx.ModelProto.FromString(files[path.name])


def _integers() -> str:
    """The member of QuantType that weights, and in static quantization operands, are quantized to.

    Operands of uint8 meet weights of int8 in dynamic quantization at once, in static one after the optimizer. Where
    that saturates, ONNX Runtime's documentation recommends unsigned integers for both, or weights of seven bits, which
    would double the errors that have to be allowed for.
    """
    return "QUInt8" if products_saturate() else "QInt8"


class _Feeds:
    """A calibration data reader, which need not be derived from ORT's."""

    def __init__(self, feeds: dict[str, Array]) -> None:
        self._left = [feeds]

    def get_next(self) -> dict[str, Array] | None:
        return self._left.pop() if self._left else None


def _finite(array: Array) -> Array:
    if array.dtype.kind != "f":
        return array
    return np.where(np.isfinite(array), array, np.zeros((), array.dtype))


def quantization_script(settings: Settings, proto: str) -> str:
    """Source lines for :func:`quantized`, from the expression ``proto`` and ``feeds`` to ``artifact``."""
    way = quantization(settings)
    channel = ", per_channel=True" if settings.get("per_channel", False) else ""
    if way == "dynamic":
        return _ALARM + (
            "from onnxruntime.quantization import QuantType, quantize_dynamic\n\n"
            f"quantize_dynamic({proto}, 'quantized.onnx', weight_type=QuantType.{_integers()}{channel})\n"
            "signal.alarm(0)\n"
            "artifact = open('quantized.onnx', 'rb').read()\n"
        )
    return _ALARM + (
        "from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static\n\n\n"
        "class Feeds(CalibrationDataReader):\n"
        "    def __init__(self, feeds):\n"
        "        self.left = [feeds]\n\n"
        "    def get_next(self):\n"
        "        return self.left.pop() if self.left else None\n\n\n"
        "finite = [np.where(np.isfinite(x), x, x.dtype.type(0)) if x.dtype.kind == 'f' else x for x in feeds]\n"
        "data = Feeds({f'input_{index}': x for index, x in enumerate(finite)})\n"
        f"quantize_static({proto}, 'quantized.onnx', data, weight_type=QuantType.{_integers()},"
        f" activation_type=QuantType.{_integers()}{channel})\n"
        "signal.alarm(0)\n"
        "artifact = open('quantized.onnx', 'rb').read()\n"
    )


_ALARM = f"""\
import signal

def late(*_):
    raise TimeoutError('still quantizing after {_SECONDS} s')

signal.signal(signal.SIGALRM, late)
signal.alarm({_SECONDS})
"""
