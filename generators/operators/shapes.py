"""Shape arithmetic of windows that slide, shared by the samplers of all frontends."""

from __future__ import annotations


def reach(kernel: int, dilation: int = 1) -> int:
    """Extent that a kernel covers: ``dilation * (kernel - 1) + 1``."""
    return dilation * (kernel - 1) + 1


def largest_kernel(extent: int, dilation: int = 1) -> int:
    """The largest kernel whose reach fits into an extent (padding included); 0 when the extent is 0."""
    return (extent - 1) // dilation + 1 if extent > 0 else 0


def windows(
    extent: int, kernel: int, stride: int = 1, dilation: int = 1, padding: int = 0, *, ceil: bool = False
) -> int:
    """Positions of a window over ``extent`` padded by ``padding`` in all (both sides together).

    ``floor((extent + padding - reach) / stride) + 1``, or with ``ceil`` rounded up.
    """
    room = extent + padding - reach(kernel, dilation)
    return (-(-room // stride) if ceil else room // stride) + 1


def transposed(extent: int, kernel: int, stride: int, dilation: int, padding: int, output_padding: int) -> int:
    """Extent of a transposed convolution's result: ``(extent - 1) * stride - 2 * padding + reach + output_padding``."""
    return (extent - 1) * stride - 2 * padding + reach(kernel, dilation) + output_padding
