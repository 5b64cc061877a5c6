"""The registry of torch operators."""

from generators.operators.registry import Registry

REGISTRY = Registry("torch")
