"""Samplers for torch. Importing this package registers all of them."""

from generators.operators.registry import Registry

REGISTRY = Registry("torch")

from generators.operators.torch import (  # noqa: E402  (the modules register into REGISTRY)
    elementwise as elementwise,
)
