"""Imports point one way: fuzzer → corpus → oracles → generators. Checked on the source text, so that imports inside
functions count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: From the lowest layer to the highest; a package may import itself and those before it.
LAYERS = ("generators", "oracles", "corpus", "fuzzer")


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that a file imports, by statement or by importlib."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def offences(path: Path, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for line, name in imports(path)
        if name.split(".")[0] in forbidden
    ]


@pytest.mark.parametrize("package", LAYERS)
def test_packages_import_only_what_is_below_them(package: str) -> None:
    forbidden = (*LAYERS[LAYERS.index(package) + 1 :], "tests", "benchmarks")
    files = modules(package)
    assert files
    assert [offence for path in files for offence in offences(path, forbidden)] == []


def test_the_minimizer_converts_nothing_itself() -> None:
    """It takes a predicate: neither the fuzzer nor any framework is imported in it."""
    frameworks = ("torch", "tensorflow", "onnx", "onnxruntime", "tf2onnx", "ai_edge_litert", "litert_torch")
    files = [path for path in modules("oracles") if "minimize" in path.parts]
    assert files
    assert [offence for path in files for offence in offences(path, ("fuzzer", "corpus", *frameworks))] == []


def test_comparison_and_noise_know_no_framework() -> None:
    frameworks = ("torch", "tensorflow", "keras", "onnx", "onnxruntime")
    for name in ("compare", "tolerances", "noise", "probes", "judge"):
        assert offences(ROOT / "oracles" / f"{name}.py", frameworks) == []


def test_frameworks_are_imported_only_by_what_is_named_after_them() -> None:
    """Graphs, transforms and files must load without any framework: other toolchains lack some of them."""
    for path in (ROOT / "generators").glob("*.py"):
        assert offences(path, ("torch", "tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx")) == []


def test_nothing_is_pickled() -> None:
    """Corpora and models come from others: pickle would execute them."""
    dangerous = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve")
    files = [path for package in LAYERS for path in modules(package)]
    assert [offence for path in files for offence in offences(path, dangerous)] == []


def test_the_check_sees_imports_in_functions_and_relative_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "oracles" / "minimize").mkdir(parents=True)
    path = tmp_path / "oracles" / "minimize" / "loop.py"
    path.write_text(
        "def f():\n    import fuzzer.cli\n    from ..x import y\n    from . import z\n"
        "    importlib.import_module('fuzzer.worker')\n"
    )
    assert [name for _, name in imports(path)] == ["fuzzer.cli", "oracles.x.y", "oracles.minimize.z", "fuzzer.worker"]
    assert len(offences(path, ("fuzzer",))) == 2
