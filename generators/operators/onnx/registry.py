"""The registry that the samplers for ONNX add themselves to."""

from generators.operators.registry import Registry

REGISTRY = Registry("onnx")
