"""Reads one model in a process of its own, and writes the case: ``python -m generators.importers.child``.

Standard input is a :class:`Request` in JSON, standard output's last line an :class:`Answer`, or :data:`RUNNING` when
the model was read and running it ended the process. Memory is limited before anything of the model is read, so that a
file that claims to be large ends this process and nothing else.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from generators.graph import Array, Case, GraphError
from generators.importers.errors import ImportRefused

#: Relative difference at which the graph, run node by node, still is the model: kernels of other libraries, and fused
#: ones, add up in another order.
_RELATIVE, _OF_LARGEST = 2e-3, 2e-4


#: What standard output's last line is while the model runs.
RUNNING = "running"


class Request(msgspec.Struct, frozen=True):
    """``model`` is a path or ``module:function``, ``arrays`` a path of inputs or empty, ``extents`` those of unknown
    dimensions, ``signature`` that of a SavedModel, ``out`` where the case is written, ``memory`` in bytes."""

    model: str
    out: str
    arrays: str = ""
    extents: dict[str, int] = {}
    signature: str = "serving_default"
    seed: int = 0
    memory: int = 16 << 30


class Answer(msgspec.Struct, frozen=True):
    """What became of it: ``problem`` is empty when the case was written; ``notes`` are worth telling."""

    problem: str = ""
    remedy: str = ""
    frontend: str = ""
    notes: tuple[str, ...] = ()


def kind_of(model: str) -> str:
    """What a model is, in a word that :func:`read` goes by, told by its name. ImportRefused for what is none."""
    path = Path(model)
    if path.is_dir():
        return "saved_model"
    if not path.exists():
        module, colon, function = model.partition(":")
        if colon and function.isidentifier() and all(part.isidentifier() for part in module.split(".")):
            return "function"
        raise ImportRefused(
            f"there is no file {model}", "name a model file, a SavedModel's directory, or module:function"
        )
    known = {
        ".onnx": "onnx",
        ".pt2": "pt2",
        ".keras": "keras",
        ".h5": "keras",
        ".tflite": "tflite",
        ".safetensors": "case",
        ".py": "script",
    }
    if path.suffix in known:
        return known[path.suffix]
    if path.suffix in (".pt", ".pth", ".bin", ".pkl", ".ckpt"):
        raise ImportRefused(
            f"{path.name} is most likely a pickle, which can execute anything and is not read",
            "torch.export.save(torch.export.export(module, arguments), 'model.pt2') writes what is",
        )
    raise ImportRefused(
        f"{path.name} is of no known kind",
        "known: .onnx, .pt2, .keras, .tflite, a SavedModel's directory, module:function, a reproducer",
    )


def read(request: Request, running: Callable[[], None] = lambda: None) -> tuple[Case, tuple[str, ...]]:
    """The case of a model, checked against the model itself, and notes. ImportRefused. ``running`` is called when a
    model file was read and is run, which a framework may not survive."""
    kind = kind_of(request.model)
    arrays = None
    if request.arrays:
        from generators.importers.feeds import load_arrays

        arrays = load_arrays(Path(request.arrays))
    if kind in ("pt2", "function"):
        return _torch(request, kind, arrays)
    if kind == "case":
        from generators.serial import loads

        return loads(Path(request.model).read_bytes()), ()
    if kind == "script":
        from generators.importers import script

        if arrays is not None or request.extents:
            raise ImportRefused("a reproducer has its inputs", "leave --inputs and --dim out")
        case, expected = script.read(Path(request.model))
        return _checked(case, expected, request.model)
    return _graph(request, kind, arrays, running)


def _torch(request: Request, kind: str, arrays: dict[str, Array] | None) -> tuple[Case, tuple[str, ...]]:
    from generators.importers import torch_program

    if request.extents:
        raise ImportRefused("the sizes of a torch model are those of its inputs", "give inputs with --inputs FILE.npz")
    given = list(arrays.values()) if arrays is not None else None
    if kind == "pt2":
        case, expected = torch_program.read_file(Path(request.model), given)
    else:
        case, expected = torch_program.read_function(request.model, given)
    return _checked(case, expected, request.model)


def _graph(
    request: Request, kind: str, arrays: dict[str, Array] | None, running: Callable[[], None]
) -> tuple[Case, tuple[str, ...]]:
    """Models whose inputs have types: fed with given arrays, or with random ones that the model takes."""
    from dataclasses import replace

    from generators.frontends.base import EvaluationError, frontend
    from generators.importers.feeds import check_types, in_order, random_feeds

    path = Path(request.model)
    if kind == "onnx":
        from generators.importers import onnx_model

        graph = onnx_model.read(path, request.extents)
        original = onnx_model.original(path)
    elif kind == "tflite":
        from generators.importers import tflite_model

        graph, original = tflite_model.read(path, request.signature, request.extents)
    else:
        from generators.importers import tensorflow_model

        graph, original = (
            tensorflow_model.read_keras(path, request.extents)
            if kind == "keras"
            else tensorflow_model.read_saved_model(path, request.signature, request.extents)
        )
    names = [value.name for value in graph.inputs]
    if arrays is not None:
        feeds = in_order(arrays, names)
        check_types(graph.inputs, feeds, extents=False)
        inputs = tuple(
            replace(value, type=replace(value.type, shape=feed.shape))
            for value, feed in zip(graph.inputs, feeds, strict=True)
        )
        tried = iter([dict(zip(names, feeds, strict=True))])
        graph = replace(graph, inputs=inputs)
    elif kind == "tflite":
        tried = tflite_model.feeds_for(graph, request.seed)
    else:
        tried = random_feeds(graph.inputs, request.seed)
    error: EvaluationError | None = None
    running()
    for given in tried:
        try:
            frontend(graph.frontend).run(graph, given)
        except EvaluationError as caught:
            error = caught
            continue
        return _checked(Case(graph, given), original(given), path.name)
    raise ImportRefused(
        f"{path.name} does not run on {'the inputs given' if arrays is not None else 'random inputs'}: {error}",
        "give inputs with --inputs FILE.npz, sizes with --dim NAME=N",
    )


#: What is to be known of a model that nobody but the interpreter runs.
UNCHECKED = (
    "neither ONNX Runtime, unoptimized, nor onnx.reference runs the model as it is: it was run node by node only"
)


def _checked(case: Case, expected: Sequence[Array] | None, what: str) -> tuple[Case, tuple[str, ...]]:
    """The case with its types, known to compute what the model does, unless nothing is ``expected``, and notes.
    ImportRefused otherwise."""
    from dataclasses import replace

    from generators.frontends.base import EvaluationError, frontend
    from generators.transforms import drop_dead, retype

    case = replace(case, graph=drop_dead(case.graph, keep_inputs=True))
    runner = frontend(case.graph.frontend)
    try:
        runner.check_arguments(case.graph)
        values = runner.run(case.graph, case.feeds)
    except EvaluationError as error:
        raise ImportRefused(f"{what} cannot be run node by node: {error}") from error
    typed = replace(case, graph=retype(case.graph, values))
    if expected is None:
        return typed, (UNCHECKED,)
    if len(expected) != len(case.graph.outputs):
        raise ImportRefused(f"{what} returns {len(expected)} tensors, its graph {len(case.graph.outputs)}")
    for name, wanted in zip(case.graph.outputs, expected, strict=True):
        if not _alike(values[name], wanted):
            raise ImportRefused(
                f"{what}: run node by node, output {name!r:.60} is not what the model itself gives",
                "is the model deterministic, and in inference mode?",
            )
    return typed, ()


def _alike(found: Array, wanted: Array) -> bool:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if found.dtype.kind in "biu":
        # Roundings and argmax may differ here and there.
        return bool(np.mean(found != wanted) < 0.01) if found.size else True
    left, right = (
        np.asarray(array, np.complex128 if array.dtype.kind == "c" else np.float64) for array in (found, wanted)
    )
    finite = np.isfinite(right)
    largest = float(np.max(np.abs(right[finite]), initial=0.0))
    return bool(np.allclose(left, right, rtol=_RELATIVE, atol=_OF_LARGEST * largest, equal_nan=True))


def main() -> None:
    """Answer one request."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    # Frameworks reserve addresses by the dozens of gigabytes: what is limited is memory that they may write to.
    resource.setrlimit(resource.RLIMIT_DATA, (request.memory, request.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        case, notes = read(request, lambda: print(RUNNING, flush=True))
        from generators.serial import dumps

        Path(request.out).write_bytes(dumps(case))
        answer = Answer(frontend=case.graph.frontend, notes=notes)
    except ImportRefused as error:
        answer = Answer(error.problem, error.remedy)
    except MemoryError:
        answer = Answer("the model wants more memory than --memory allows", "allow more, if it may have it")
    except GraphError as error:
        answer = Answer(f"the model is no valid graph: {error}")
    except RecursionError:
        answer = Answer("the model is nested too deeply")
    except ModuleNotFoundError as error:
        answer = Answer(f"reading this model needs {error.name}", f"pip install {error.name}")
    sys.stdout.flush()
    sys.stdout.buffer.write(b"\n" + msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
