"""Samplers for ONNX, a file per family. Importing this package registers all of them."""

from generators.operators.onnx import (
    convolution,
    creation,
    elementwise,
    indexing,
    linear,
    losses,
    normalization,
    pooling,
    quantization,
    recurrent,
    reductions,
    resampling,
    shape,
    signal,
)
from generators.operators.onnx.registry import REGISTRY

__all__ = [
    "REGISTRY",
    "convolution",
    "creation",
    "elementwise",
    "indexing",
    "linear",
    "losses",
    "normalization",
    "pooling",
    "quantization",
    "recurrent",
    "reductions",
    "resampling",
    "shape",
    "signal",
]
