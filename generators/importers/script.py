"""Reproducers as cases: the model and the inputs of a script, without what it does with them.

A reproducer is Python, and its first part is executed: read those of others before you name them.
"""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from generators.graph import Array, Case, Graph
from generators.importers.errors import ImportRefused


def read(path: Path) -> tuple[Case, list[Array] | None]:
    """The case of a script that assigns ``model`` and ``inputs`` at its top level, as reproducers do, and what the
    model computes. ImportRefused for another script, and for one that raises."""
    namespace = _defined(path)
    model, inputs = namespace["model"], list(namespace["inputs"])
    if hasattr(model, "proto"):
        return _onnx(path, model, inputs)
    if hasattr(model, "flatbuffer"):
        return _tflite(path, model, inputs)
    if hasattr(model, "state_dict"):
        from generators.importers.torch_program import from_module

        return from_module(model, tuple(inputs), {}, None, path.name)
    from generators.importers.tensorflow_model import from_callable

    graph, original = from_callable(model, inputs, path.name)
    return _fed(graph, [np.asarray(value) for value in inputs], original)


def _defined(path: Path) -> dict[str, Any]:
    """What a script has defined once it has its inputs."""
    try:
        tree = ast.parse(path.read_text(), filename=path.name)
    except (SyntaxError, ValueError, UnicodeDecodeError) as error:
        raise ImportRefused(f"{path.name} is no Python: {error}") from error
    kept: list[ast.stmt] = []
    assigned: set[str] = set()
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        # A hook for exceptions would answer in place of this process.
        if any(isinstance(target, ast.Attribute) for target in targets):
            continue
        kept.append(statement)
        assigned |= {target.id for target in targets if isinstance(target, ast.Name)}
        if {"model", "inputs"} <= assigned:
            break
    else:
        raise ImportRefused(
            f"{path.name} is no reproducer: it does not assign model and inputs",
            "name a function of a module as module:function",
        )
    namespace: dict[str, Any] = {"__name__": "__reproducer__"}
    try:
        exec(compile(ast.Module(kept, []), path.name, "exec"), namespace)
    except Exception as error:
        raise ImportRefused(f"{path.name} raises {type(error).__name__}: {error}", "does it run by itself?") from error
    return namespace


def _onnx(path: Path, model: Any, inputs: list[Any]) -> tuple[Case, list[Array] | None]:
    import onnx

    from generators.importers import onnx_model

    with tempfile.TemporaryDirectory(prefix="convfuzz-") as directory:
        file = Path(directory) / f"{path.stem}.onnx"
        onnx.save(model.proto(), file)
        return _fed(onnx_model.read(file, {}), [np.asarray(value) for value in inputs], onnx_model.original(file))


def _tflite(path: Path, model: Any, inputs: list[Any]) -> tuple[Case, list[Array] | None]:
    from generators.importers import tflite_model

    with tempfile.TemporaryDirectory(prefix="convfuzz-") as directory:
        file = Path(directory) / f"{path.stem}.tflite"
        file.write_bytes(model.flatbuffer())
        graph, original = tflite_model.read(file, "serving_default", {})
        return _fed(graph, [np.asarray(value) for value in inputs], original)


def _fed(graph: Graph, arrays: list[Array], original: Any) -> tuple[Case, list[Array] | None]:
    feeds = {value.name: array for value, array in zip(graph.inputs, arrays, strict=True)}
    return Case(graph, feeds), original(feeds)
