"""Samplers for TensorFlow. Importing this package registers all of them."""

# ruff: noqa: E402  (the modules register into REGISTRY, so it comes first)

from generators.operators.registry import Registry

REGISTRY = Registry("tensorflow")

from generators.operators.tensorflow import activations as activations
from generators.operators.tensorflow import arithmetic as arithmetic
from generators.operators.tensorflow import comparison as comparison
from generators.operators.tensorflow import elementwise as elementwise
from generators.operators.tensorflow import reductions as reductions
from generators.operators.tensorflow import shape as shape
