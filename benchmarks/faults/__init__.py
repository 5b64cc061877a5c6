"""Faults of real converters and runtimes, by family: data, and the function that puts them in."""

from __future__ import annotations

from benchmarks.faults import onnx_artifacts, onnxscript_optimizer, tf2onnx_handlers, torch_exporter
from benchmarks.faults.injection import Fault

#: The converter whose route shows the faults of a family, the component to blame, and the faults.
FAMILIES: dict[str, tuple[str, str, tuple[Fault, ...]]] = {
    "torch exporter": ("torch.onnx-dynamo", "torch.onnx-dynamo", torch_exporter.FAULTS),
    "its optimizer": ("torch.onnx-dynamo", "torch.onnx-dynamo", onnxscript_optimizer.FAULTS),
    "tf2onnx": ("tf2onnx", "tf2onnx", tf2onnx_handlers.FAULTS),
    "ONNX artifacts": ("onnx", "onnxruntime", onnx_artifacts.FAULTS),
}
#: The part of the converter that a family is in, where evidence can tell it from the rest.
PARTS = {"its optimizer": "onnxscript.optimizer"}
