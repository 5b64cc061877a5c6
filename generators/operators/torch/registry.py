"""The registry of torch operators."""

from generators.harvest.domains import DOMAINS
from generators.operators.registry import Registry

REGISTRY = Registry("torch")
# Harvested operators are minimized in processes that have no harvest mixed in.
for _target, _domain in DOMAINS.items():
    REGISTRY.declare(_target, _domain)
