"""The minimizer: from a failing case to the simplest one that fails in the same way.

One file per pass. The minimizer never converts anything; it asks a :class:`oracles.outcome.Tester`.
"""

from oracles.minimize.question import shares_conversions
from oracles.minimize.records import Budget, Minimized, PassStatistics, Unreproducible
from oracles.minimize.reducer import minimize, needs_special
from oracles.minimize.reset_options import reset_options

__all__ = [
    "Budget",
    "Minimized",
    "PassStatistics",
    "Unreproducible",
    "minimize",
    "needs_special",
    "reset_options",
    "shares_conversions",
]
