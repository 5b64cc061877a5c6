"""Content-addressed objects: serialised cases and scripts, each under the digest of its bytes."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from corpus.errors import CorpusError, from_os_error
from generators.graph import digest_of

_DIGEST = re.compile(r"[0-9a-f]{32}")


class Objects:
    """Objects below an fsspec URL or a local directory, as ``ab/cdef...``.

    An object is complete or absent: local files are written beside, flushed to the disk and renamed; on other file
    systems (s3, gcs, memory) one upload makes the object visible at once. Writing what is there already is a no-op,
    and repairs an object whose bytes were damaged.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._files, self._root = fsspec.core.url_to_fs(url)
        self._local = isinstance(self._files, LocalFileSystem)

    def path(self, digest: str) -> str:
        """Where the object is kept. CorpusError when ``digest`` is none."""
        if not _DIGEST.fullmatch(digest):
            raise CorpusError(f"{digest!r} is no digest of an object", "digests are 32 hexadecimal digits")
        return f"{self._root}/{digest[:2]}/{digest[2:]}"

    def __contains__(self, digest: str) -> bool:
        return bool(self._files.isfile(self.path(digest)))

    def put(self, data: bytes) -> str:
        """Store the bytes and return their digest. They are on the disk when this returns. CorpusError when there is
        no space or no permission."""
        digest = digest_of(data)
        path = self.path(digest)
        try:
            if self._files.isfile(path) and self._files.cat_file(path) == data:
                return digest
            if self._local:
                write_durably(Path(path), data)
            else:
                self._files.pipe_file(path, data)
        except OSError as error:
            raise from_os_error(error, self.url) from error
        return digest

    def get(self, digest: str) -> bytes:
        """The object's bytes. CorpusError, with its name, when it is missing or its bytes are not those stored."""
        path = self.path(digest)
        try:
            data = bytes(self._files.cat_file(path))
        except FileNotFoundError as error:
            raise CorpusError(f"object {digest} is missing from {self.url}", _RESTORE) from error
        except OSError as error:
            raise CorpusError(
                f"object {digest} cannot be read: {error}", f"check the disk that holds {path}"
            ) from error
        if digest_of(data) != digest:
            raise CorpusError(f"object {digest} is damaged: its bytes have another digest ({path})", _RESTORE)
        return data


_RESTORE = "restore the objects directory from a backup, or delete the finding's campaign and run it again"


def write_durably(path: Path, data: bytes) -> None:
    """Write a local file so that a crash at any instant, also of the machine, leaves it whole or as it was. OSError
    as the system raises it; no partial file stays behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".writing-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
