"""Objects: whole or absent, and never silently other bytes than were stored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpus.errors import CorpusError
from corpus.objects import Objects, write_durably
from generators.graph import digest_of


@pytest.fixture(params=["local", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    return Objects(str(tmp_path / "objects") if request.param == "local" else f"memory://{tmp_path.name}")


@pytest.mark.parametrize("data", [b"", b"\0\xff" * 1000, b"text\r\n"])
def test_what_is_put_is_what_is_got(objects: Objects, data: bytes) -> None:
    digest = objects.put(data)
    assert digest == digest_of(data)
    assert digest in objects
    assert objects.get(digest) == data


def test_putting_twice_keeps_one_file(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path))
    assert objects.put(b"same") == objects.put(b"same")
    assert [path.name for path in tmp_path.glob("*/*")] == [digest_of(b"same")[2:]]


def test_a_missing_object_is_named(objects: Objects) -> None:
    digest = digest_of(b"never stored")
    assert digest not in objects
    with pytest.raises(CorpusError, match=f"object {digest} is missing"):
        objects.get(digest)


@pytest.mark.parametrize("damage", [b"", b"other", b"stored but longer"])
def test_a_damaged_object_is_named_and_putting_it_again_repairs_it(tmp_path: Path, damage: bytes) -> None:
    objects = Objects(str(tmp_path))
    digest = objects.put(b"stored")
    Path(objects.path(digest)).write_bytes(damage)
    with pytest.raises(CorpusError, match=f"object {digest} is damaged"):
        objects.get(digest)
    objects.put(b"stored")
    assert objects.get(digest) == b"stored"


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "a" * 31, "A" * 32, "0" * 32 + "\n"])
def test_what_is_no_digest_never_becomes_a_path(objects: Objects, digest: str) -> None:
    with pytest.raises(CorpusError, match="no digest"):
        objects.get(digest)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"before")
    with pytest.raises(TypeError):
        write_durably(target, "text instead of bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_files_have_the_permissions_that_the_user_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_durably(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
