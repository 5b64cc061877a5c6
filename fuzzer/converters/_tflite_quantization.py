"""Post-training quantization by the TFLite converter: the option, what it sets, and the same as source text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from fuzzer.formats import Option, Settings
from fuzzer.onnx_artifacts import input_names
from generators.frontends.base import LoadedModel

#: Ways that need to see data: activations are quantized, too.
_CALIBRATED = ("int8", "int8_io")
QUANTIZATION = Option(
    "quantization",
    ("none", "dynamic", "float16", "int8", "int8_io"),
    (6, 1, 1, 1, 1),
    "post-training quantization: of weights (dynamic, float16), or of activations, too (int8; int8_io: of the model's"
    " inputs and outputs as well)",
)


def quantization(settings: Settings) -> str:
    """The setting, ``none`` without one."""
    return str(settings.get("quantization", "none"))


def set_quantization(converter: Any, model: LoadedModel, settings: Settings) -> None:
    """Set what the settings ask for on a ``tf.lite.TFLiteConverter``.

    The representative data set is the case's own feeds, once: what the quantized model then computes lies within the
    ranges that it was calibrated for, so that no difference is due to saturation. Infinities and NaN in it are left at
    zero: no range holds them, and nobody calibrates with them.
    """
    import tensorflow as tf

    way = quantization(settings)
    if way == "none":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if way == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if way in _CALIBRATED:

        def feeds() -> Iterator[dict[str, Any]]:
            names = input_names(model.graph)
            yield {name: _finite(argument) for name, argument in zip(names, model.arguments, strict=True)}

        converter.representative_dataset = feeds
    if way == "int8_io":
        converter.inference_input_type = converter.inference_output_type = tf.int8


def _finite(argument: Any) -> Any:
    import tensorflow as tf

    return tf.where(tf.math.is_finite(argument), argument, 0) if argument.dtype.is_floating else argument


def quantization_script(settings: Settings) -> str:
    """Source lines for :func:`set_quantization`, from ``converter`` and ``inputs``."""
    way = quantization(settings)
    if way == "none":
        return ""
    lines = "converter.optimizations = [tf.lite.Optimize.DEFAULT]\n"
    if way == "float16":
        lines += "converter.target_spec.supported_types = [tf.float16]\n"
    if way in _CALIBRATED:
        lines += textwrap.dedent("""\
            finite = [tf.where(tf.math.is_finite(x), x, 0) if x.dtype.is_floating else x for x in inputs]
            feed = {f'input_{index}': x for index, x in enumerate(finite)}
            converter.representative_dataset = lambda: iter([feed])
            """)
    if way == "int8_io":
        lines += "converter.inference_input_type = converter.inference_output_type = tf.int8\n"
    return lines
