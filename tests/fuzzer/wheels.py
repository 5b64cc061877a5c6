"""Wheels of a package that does nothing, for pip to install without a network."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

PACKAGE = "convfuzz-tiny"
#: A reproducer whose defect came with 1.2 and went with 2.0.
SCRIPT = """import importlib.metadata, sys
import convfuzz_tiny
version = importlib.metadata.version("convfuzz-tiny")
assert convfuzz_tiny.VERSION == version
print("expected 2.0, got", version)
sys.exit(version in ("1.2", "1.3", "1.4"))
"""


def wheel(
    directory: Path, version: str, body: str = "", requires: str = "", python: str = ">=3.11", name: str = PACKAGE
) -> None:
    """Write a wheel of that version; ``body`` is run when it is imported."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{module}.py": f"VERSION = {version!r}\n{body}",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(directory / f"{module}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks for packages, and a place of its own for toolchains."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("CONVFUZZ_TOOLCHAINS", str(tmp_path / "toolchains"))
    return directory
