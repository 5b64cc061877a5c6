"""What goes wrong with a user's model."""

from __future__ import annotations


class ImportRefused(ValueError):
    """A model that cannot be imported: what is wrong, and what to do next."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
