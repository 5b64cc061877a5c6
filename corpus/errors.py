"""What can go wrong with a corpus, in words for its user."""

from __future__ import annotations

import errno

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

_FULL = "free some space or choose another directory with --corpus, then run `convfuzz resume`; nothing judged is lost"
_READ_ONLY = "make it writable or choose another directory with --corpus"


class CorpusError(Exception):
    """A corpus cannot be used. ``message`` says what happened and where, ``remedy`` what to do next."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def from_os_error(error: OSError, where: str) -> CorpusError:
    """The error of a file operation on the corpus at ``where``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return CorpusError(f"no space left for the corpus at {where}", _FULL)
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return CorpusError(f"the corpus at {where} cannot be written: {error.strerror}", _READ_ONLY)
    return CorpusError(
        f"the corpus at {where} cannot be used: {error.strerror or error}", "check the path and its disk"
    )


def from_database_error(error: SQLAlchemyError, where: str) -> CorpusError:
    """The error of a database operation on the corpus at ``where``."""
    text = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    text = " ".join(text.split())
    lowered = text.lower()
    if "disk is full" in lowered or "no space" in lowered:
        return CorpusError(f"no space left for the corpus at {where}", _FULL)
    if "readonly" in lowered or "read-only" in lowered:
        return CorpusError(f"the corpus at {where} cannot be written: {text}", _READ_ONLY)
    if "not a database" in lowered or "malformed" in lowered:
        return CorpusError(
            f"the database of the corpus at {where} is damaged: {text}",
            "restore it from a backup, or start a new corpus with --corpus",
        )
    if "locked" in lowered:
        return CorpusError(f"the database of the corpus at {where} stays locked by another process", "wait and retry")
    return CorpusError(f"the database of the corpus at {where} failed: {text}", "check the disk and the database URL")
