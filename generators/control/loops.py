"""What loops share: a counter, so that they end."""

from __future__ import annotations

from generators.control.bodies import Bodies
from generators.handles import Handle

#: Most steps of a loop.
STEPS = 4


def counted(bodies: Bodies) -> tuple[Handle, int]:
    """A fresh counter and what it stays below. An input now and then, so that data tell the number of steps; seldom the
    loop makes no step at all."""
    draw = bodies.draw
    start = 0 if draw.flag(0.7) else draw.integer(-1, 2)
    limit = start if draw.flag(0.06) else start + draw.integer(1, STEPS)
    return bodies.start(start, constant=draw.flag(0.6)), limit
