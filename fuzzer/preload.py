"""What the workers of a frontend import, done once in the process that they are forked from.

Nothing here executes a subject or starts a thread. So ONNX Runtime, which starts one when it is imported, is left to
the workers, as are plugins, of which nothing is known, and the conversion of :meth:`Converter.warm_up`.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress

#: What torch.onnx.export and torch.export import when they are called; the scripts of converters name no more.
TORCH = (
    "numpy",
    "ml_dtypes",
    "torch",
    "onnx",
    "onnxscript",
    "torch.onnx",
    "torch._dynamo",
    "torch.export._trace",
    "torch.export._unlift",
    "torch.fx.experimental.validator",
    "torch.onnx._internal.exporter._core",
    "torch.onnx._internal.exporter._torchlib.ops",
    "onnxscript.function_libs.torch_lib.ops",
    "onnxscript.rewriter.onnx_fusions",
)
TENSORFLOW = (
    "numpy",
    "ml_dtypes",
    "tensorflow",
    "tensorflow.lite.python.lite",
    "tf2onnx.convert",
    "ai_edge_litert.interpreter",
)
#: TensorFlow imports Keras when it is first asked for it.
KERAS = ("numpy", "ml_dtypes", "tensorflow", "keras", *TENSORFLOW[3:])


def torch_worker() -> None:
    """For workers of torch. Builds the tables that the dynamo exporter needs in every call, too."""
    _ours("torch", TORCH)
    from fuzzer.converters._torch_registry import prepare
    from fuzzer.converters.torch_onnx_dynamo import TorchOnnxDynamo

    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It warns of operators of packages that are not there.
        logger.setLevel(logging.ERROR)
        try:
            prepare([int(opset) for opset in TorchOnnxDynamo.options[0].values[:2]])
        finally:
            logger.setLevel(level)


def tensorflow_worker() -> None:
    """For workers of TensorFlow."""
    _ours("tensorflow", TENSORFLOW)


def keras_worker() -> None:
    """For workers of Keras on TensorFlow, and of TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    _ours("tensorflow", KERAS)
    _ours("keras", ())


def _ours(frontend: str, modules: Sequence[str]) -> None:
    # As workers do; a collection while everything stays alive is in vain.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    gc.set_threshold(50_000, 20, 50)
    for name in modules:
        with suppress(ImportError):  # a release that is laid out differently
            importlib.import_module(name)
    importlib.import_module(f"generators.frontends.{frontend}")
    importlib.import_module(f"generators.operators.{frontend}")
    importlib.import_module("fuzzer.pipeline")
