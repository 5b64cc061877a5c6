"""Samplers for Keras layers. Importing this package registers all of them."""

# ruff: noqa: E402  (the modules register into REGISTRY, so it comes first)

from generators.operators.registry import Registry

REGISTRY = Registry("keras")

from generators.operators.keras import activations as activations
from generators.operators.keras import attention as attention
from generators.operators.keras import convolution as convolution
from generators.operators.keras import core as core
from generators.operators.keras import merging as merging
from generators.operators.keras import normalization as normalization
from generators.operators.keras import pooling as pooling
from generators.operators.keras import preprocessing as preprocessing
from generators.operators.keras import recurrent as recurrent
from generators.operators.keras import regularization as regularization
from generators.operators.keras import reshaping as reshaping
