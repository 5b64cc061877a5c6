"""Samplers for TensorFlow. Importing this package registers all of them."""

# ruff: noqa: E402  (the modules register into REGISTRY, so it comes first)

from generators.operators.registry import Registry

REGISTRY = Registry("tensorflow")

from generators.operators.tensorflow import activations as activations
from generators.operators.tensorflow import arithmetic as arithmetic
from generators.operators.tensorflow import blocks as blocks
from generators.operators.tensorflow import casts as casts
from generators.operators.tensorflow import colours as colours
from generators.operators.tensorflow import comparison as comparison
from generators.operators.tensorflow import complex_numbers as complex_numbers
from generators.operators.tensorflow import convolution as convolution
from generators.operators.tensorflow import creation as creation
from generators.operators.tensorflow import cumulative as cumulative
from generators.operators.tensorflow import elementwise as elementwise
from generators.operators.tensorflow import images as images
from generators.operators.tensorflow import indexing as indexing
from generators.operators.tensorflow import integers as integers
from generators.operators.tensorflow import linalg as linalg
from generators.operators.tensorflow import matmul as matmul
from generators.operators.tensorflow import measures as measures
from generators.operators.tensorflow import normalization as normalization
from generators.operators.tensorflow import padding as padding
from generators.operators.tensorflow import pooling as pooling
from generators.operators.tensorflow import quantization as quantization
from generators.operators.tensorflow import reductions as reductions
from generators.operators.tensorflow import resize as resize
from generators.operators.tensorflow import scatter as scatter
from generators.operators.tensorflow import selection as selection
from generators.operators.tensorflow import shape as shape
from generators.operators.tensorflow import solving as solving
from generators.operators.tensorflow import sorting as sorting
from generators.operators.tensorflow import spectra as spectra
