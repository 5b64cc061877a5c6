"""What users' models are fed with: their own arrays, or random ones of the model's types."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from generators.graph import DTYPES, Array, GraphError, Input, dtype_name, type_of
from generators.importers.errors import ImportRefused

#: Integers are drawn below these bounds, the first that the model takes: they may be indices, ids of words, counts.
BOUNDS = (100, 8, 2, 1)


def load_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an ``.npz`` file by name, or the one of an ``.npy`` file. Never unpickles. ImportRefused for
    anything else."""
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded.items()) if isinstance(loaded, np.lib.npyio.NpzFile) else {"arr_0": np.asarray(loaded)}
        for array in arrays.values():
            dtype_name(array.dtype)
    except (OSError, ValueError, EOFError, GraphError, zipfile.BadZipFile, MemoryError) as error:
        raise ImportRefused(
            f"{path.name} holds no arrays of numbers: {error}", "numpy.savez('inputs.npz', x=..., y=...) writes them"
        ) from error
    return arrays


def in_order(arrays: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
    """The arrays in the order of the inputs: by name, or as they are where they have none (``arr_0``, ``arr_1``).
    ImportRefused when they do not fit."""
    if set(arrays) == {f"arr_{index}" for index in range(len(names))}:
        return [arrays[f"arr_{index}"] for index in range(len(names))]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ImportRefused(
            f"no array for the input {missing[0]!r}; the file has {', '.join(map(repr, sorted(arrays))) or 'none'}",
            f"the inputs are {', '.join(map(repr, names))}",
        )
    return [arrays[name] for name in names]


def check_types(inputs: Sequence[Input], feeds: Sequence[Array], *, extents: bool) -> None:
    """ImportRefused for an array of another element type or rank than its input, or, with ``extents``, of another
    shape."""
    for value, array in zip(inputs, feeds, strict=True):
        given = type_of(array)
        if given.dtype != value.type.dtype or given.rank != value.type.rank or (extents and given != value.type):
            raise ImportRefused(f"the input {value.name!r} is {value.type}, the array given for it {given}")


def random_feeds(inputs: Sequence[Input], seed: int) -> Iterator[dict[str, Array]]:
    """Feeds to be tried in turn, of normally distributed floats, and of integers below one of BOUNDS."""
    for bound in BOUNDS if any(np.dtype(DTYPES[value.type.dtype]).kind in "iu" for value in inputs) else BOUNDS[:1]:
        rng = np.random.default_rng(seed)
        yield {value.name: _random(value, bound, rng) for value in inputs}


def _random(value: Input, bound: int, rng: np.random.Generator) -> Array:
    dtype = DTYPES[value.type.dtype]
    shape = value.type.shape
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        return rng.integers(0, bound, shape).astype(dtype)
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)
