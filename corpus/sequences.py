"""Sequences of operators as integers, and many of them as bytes.

Each operator has a number of :data:`BITS` bits in its vocabulary, the first operator of the sequence the highest place.
Up to five fit into 63 bits, nothing is lost by it, and sequences of one length are a range of numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from corpus.errors import CorpusError

#: Bits of an operator's number.
BITS = 12
#: The number that all operators share for which no other is left.
OTHERS = (1 << BITS) - 1
#: Length of the sequences that the table of short ones holds, and of the longest.
SHORT, LONGEST = 2, 5
#: Bytes of the sequences of one batch: eight for each, and hundreds of sequences for each node would be very many.
_MOST_BYTES = 1 << 28


def pack(numbers: Sequence[int]) -> int:
    """One integer for a sequence of operators' numbers, each from 1 to OTHERS."""
    packed = 0
    for number in numbers:
        packed = packed << BITS | number
    return packed


def unpack(packed: int) -> tuple[int, ...]:
    """The numbers that were packed."""
    length = -(-packed.bit_length() // BITS)
    return tuple(packed >> BITS * place & OTHERS for place in reversed(range(length)))


def bounds(length: int) -> tuple[int, int]:
    """The range of the packed sequences of a length: not below the first number, below the second."""
    return 1 << BITS * (length - 1), 1 << BITS * length


def compress(sequences: Sequence[int]) -> bytes:
    """Packed sequences, in ascending order and byte plane by byte plane, which leaves most to compress."""
    ordered = np.sort(np.array(sequences, "<i8"))
    return zlib.compress(ordered.view(np.uint8).reshape(-1, 8).T.tobytes())


def decompress(data: bytes) -> NDArray[np.int64]:
    """The packed sequences in ascending order. ValueError for data that :func:`compress` did not make: a corpus may
    come from somebody else, and a few bytes can be made to fill any memory."""
    reader = zlib.decompressobj()
    try:
        planes = np.frombuffer(reader.decompress(data, _MOST_BYTES), np.uint8).reshape(8, -1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not reader.eof:
        raise ValueError("too long, or cut short")
    return np.ascontiguousarray(planes.T).view("<i8").reshape(-1)


def sequences_of(batch: int, data: bytes) -> NDArray[np.int64]:
    """The long sequences that a batch left, packed. CorpusError when they are damaged."""
    try:
        return decompress(data)
    except ValueError as error:
        raise CorpusError(
            f"the coverage of batch {batch} is damaged: {error}", "restore the corpus from a backup"
        ) from error
