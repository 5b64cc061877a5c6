"""What a harvest is, as data, and the file that keeps it.

The file is a line that names the format, the SHA-256 of the rest, and the rest: a :class:`Harvest` as MessagePack, in
which every sample is a case of one node as :mod:`generators.serial` writes it. A file may be damaged or come from
elsewhere: whatever its bytes are, reading ends in a harvest or in a HarvestError.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import platformdirs

#: What the first line of the file says; the number changes with the meaning of the records and with what is collected.
VERSION = 1
_MAGIC = f"convfuzz-harvest {VERSION}\n".encode()


class HarvestError(RuntimeError):
    """There is no harvest to use; ``remedy`` says what to do about it."""

    def __init__(self, message: str, remedy: str = "`convfuzz harvest --force` builds it anew") -> None:
        super().__init__(f"{message}: {remedy}")
        self.message = message
        self.remedy = remedy


class Slot(msgspec.Struct, frozen=True):
    """An input of a sample's graph that may hold other values than the sample's: fresh ones of these value profiles
    and, when it is ``free``, any finite ones of the same type, which is told here so that samples need not be decoded
    to be chosen."""

    name: str
    profiles: tuple[str, ...]
    free: bool
    dtype: str
    shape: tuple[int, ...]


class Sample(msgspec.Struct, frozen=True):
    """A case of one node (:func:`generators.serial.dumps`). What is no slot keeps its values.

    ``elastic`` says that the operator works element by element, so that its first slot may have any shape and
    the others any that broadcast with it.
    """

    case: bytes
    slots: tuple[Slot, ...] = ()
    elastic: bool = False


class Entry(msgspec.Struct, frozen=True):
    """What came of one entry of the framework's list of operators (``kind`` "operator") or modules ("module").

    ``reason`` tells why no sample is usable and is empty when some are. ``seen`` counts the samples looked at,
    ``refused`` those among them that are not usable, by reason.
    """

    name: str
    kind: str
    target: str = ""
    samples: tuple[Sample, ...] = ()
    reason: str = ""
    seen: int = 0
    refused: dict[str, int] = {}


class Harvest(msgspec.Struct, frozen=True):
    """All entries of one version of a framework, in its own order."""

    framework: str
    version: str
    entries: tuple[Entry, ...]

    def usable(self, kind: str) -> list[Entry]:
        """Entries of a kind that have samples."""
        return [entry for entry in self.entries if entry.kind == kind and entry.samples]

    def reasons(self, kind: str) -> Counter[str]:
        """Why entries of a kind have no samples, with how many each."""
        return Counter(entry.reason for entry in self.entries if entry.kind == kind and not entry.samples)

    def targets(self) -> dict[str, list[Entry]]:
        """Usable entries by target, sorted by it."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            if entry.samples:
                found.setdefault(entry.target, []).append(entry)
        return dict(sorted(found.items()))


def cache_path(framework: str, version: str) -> Path:
    """Where the harvest of that version of a framework is kept."""
    return platformdirs.user_cache_path("convfuzz") / "harvest" / f"{framework}-{version}.msgpack"


def fingerprint(harvest: Harvest) -> str:
    """Identity of a harvest's content: 16 hexadecimal digits."""
    return hashlib.sha256(msgspec.msgpack.encode(harvest)).hexdigest()[:16]


def write(harvest: Harvest, path: Path) -> None:
    """Write the file at once or not at all. OSError when the directory cannot be written to."""
    payload = msgspec.msgpack.encode(harvest)
    digest = hashlib.sha256(payload).hexdigest().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_MAGIC + digest + b"\n" + payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path, framework: str, version: str) -> Harvest:
    """The harvest in a file. HarvestError when there is none, it is damaged, or it is of another version."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise HarvestError(f"there is no harvest of {framework} {version}", "`convfuzz harvest` builds it") from None
    except OSError as error:
        raise HarvestError(f"{path} cannot be read: {error.strerror}") from error
    if not data.startswith(_MAGIC):
        raise HarvestError(f"{path} is no harvest that this release reads")
    digest, separator, payload = data[len(_MAGIC) :].partition(b"\n")
    if not separator or hashlib.sha256(payload).hexdigest().encode() != digest:
        raise HarvestError(f"{path} is damaged")
    try:
        harvest = msgspec.msgpack.decode(payload, type=Harvest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise HarvestError(f"{path} holds no harvest: {error}") from error
    if (harvest.framework, harvest.version) != (framework, version):
        raise HarvestError(f"{path} is of {harvest.framework} {harvest.version}, not of {framework} {version}")
    return harvest
