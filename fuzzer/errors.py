"""Errors that are shown to a user as one or two lines, without a traceback."""

from __future__ import annotations


class UsageError(Exception):
    """Something asked for cannot be done as asked. ``remedy`` says what to do instead; the exit status is 2."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message
