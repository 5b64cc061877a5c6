"""Where random decisions come from: a seeded generator in campaigns, Hypothesis in tests, a recording in replay."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

T = TypeVar("T")


class Choices(Protocol):
    """The decisions that a sampler may ask for."""

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        ...

    def fraction(self) -> float:
        """A number at least 0 and below 1."""
        ...

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, which must not be empty."""
        ...

    def generator(self) -> np.random.Generator:
        """A NumPy generator for drawing the elements of a tensor."""
        ...


class SeededChoices:
    """Decisions as a pure function of a seed and of keys such as a batch and case number."""

    def __init__(self, seed: int, *keys: int) -> None:
        material = ",".join(map(str, (seed, *keys))).encode()
        digest = hashlib.sha512(material).digest()
        self._random = random.Random(digest[:16])
        # NumPy takes any ISeedSequence; its stub knows of its own one only.
        self._generator = np.random.Generator(np.random.PCG64(_Words(digest[32:])))  # type: ignore[arg-type]
        #: A number at least 0 and below 1. Not wrapped into a method, since most of the decisions are fractions.
        self.fraction: Callable[[], float] = self._random.random

    def integer(self, low: int, high: int) -> int:
        return low + int(self.fraction() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.fraction() * len(options))]

    def generator(self) -> np.random.Generator:
        return self._generator


class _Words(ISeedSequence):
    """Seeds a bit generator with bytes that are random already: NumPy's own mixing of them takes longer than all the
    rest."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint32) -> NDArray[Any]:
        return np.frombuffer(self._data, dtype, n_words)


class RecordingChoices:
    """Passes decisions of another source on and keeps them in ``record`` for :class:`RecordedChoices`."""

    def __init__(self, source: Choices) -> None:
        self._source = source
        self.record: list[int | float] = []

    def integer(self, low: int, high: int) -> int:
        value = self._source.integer(low, high)
        self.record.append(value)
        return value

    def fraction(self) -> float:
        value = self._source.fraction()
        self.record.append(value)
        return value

    def pick(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.integer(0, 2**32 - 1))


class RecordedChoices:
    """Replays a record made by :class:`RecordingChoices`; IndexError when it is used up."""

    def __init__(self, record: Sequence[int | float]) -> None:
        self._record = iter(record)

    def _next(self) -> int | float:
        try:
            return next(self._record)
        except StopIteration as error:
            raise IndexError("the recorded choices are used up: another generator made the record") from error

    def integer(self, low: int, high: int) -> int:
        return min(max(int(self._next()), low), high)

    def fraction(self) -> float:
        return float(self._next())

    def pick(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.integer(0, 2**32 - 1))
