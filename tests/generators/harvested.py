"""Harvests for tests: a small one from real samples, collected once per test process."""

from __future__ import annotations

import functools
import itertools

from generators.harvest.building import _child, torch_version
from generators.harvest.records import Entry, Harvest


def _some(first: int, count: int) -> list[Entry]:
    """The entries from that number on, collected in a child process as ``convfuzz harvest`` does."""
    done = (message.entry for message in _child(first, 120) if message.entry is not None)
    return list(itertools.islice(done, count))


@functools.cache
def small() -> Harvest:
    """The Fourier transforms and the first functions of ``torch.linalg``, and the last forty modules."""
    return Harvest("torch", torch_version(), (*_some(568, 40), *_some(775, 60)))
