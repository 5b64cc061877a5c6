"""Samplers for torch. Importing this package registers all of them."""

from generators.operators.registry import Registry

REGISTRY = Registry("torch")

from generators.operators.torch import (  # noqa: E402  (the modules register into REGISTRY)
    activations as activations,
)
from generators.operators.torch import (
    comparison as comparison,
)
from generators.operators.torch import (
    elementwise as elementwise,
)
from generators.operators.torch import (
    integers as integers,
)
from generators.operators.torch import (
    reductions as reductions,
)
from generators.operators.torch import (
    shape as shape,
)
