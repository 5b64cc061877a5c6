"""ncnn: pnnx from ONNX, the CPU of its Python package."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Settings, Unsupported
from fuzzer.onnx_artifacts import complete, element_types
from fuzzer.runtimes._console import console
from fuzzer.runtimes.base import Runtime
from generators.graph import Array

REFUSALS = (
    Refusal(r"only dims <=(\d+) support", r"more than \1 dimensions"),
    Refusal(r"(?:^|\n)([^\n]*\bunsupported (?:tensor elem data type|onnx|rank|op)\b[^\n]*)", r"\1", scrub=True),
    Refusal(r"(?:^|\n)([^\n]*\bnot supported\b[^\n]*)", r"\1", scrub=True),
)
#: Options of ncnn that compute or store with less than float32; the package's defaults turn most of them on.
NARROW = (
    "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage",
    "use_int8_packed", "use_int8_storage", "use_int8_arithmetic",
)  # fmt: skip
#: Where the code that pnnx writes beside a model says which dimension of an input or output is its batch (233: none).
_INPUT = re.compile(r'ex\.input\("(in\d+)", ncnn\.Mat\(in(\d+)\.numpy\(\), batch_index=(\d+)\)')
_OUTPUT = re.compile(r"\(out(\d+)\.numpy\(batch_index=(\d+)\)\)")


class NcnnError(Exception):
    """What pnnx wrote before it gave up, or what a call of ncnn returned."""


@dataclass
class Session:
    """A loaded net; for each input its name, its place among the model's and its batch dimension; the batch dimension
    of each output; the names of the model's inputs and outputs in order, and of those outputs that are scalars."""

    net: Any
    inputs: tuple[tuple[str, int, int], ...]
    outputs: tuple[int, ...]
    names: tuple[str, ...]
    results: tuple[str, ...]
    scalars: frozenset[str]


class Ncnn(Runtime):
    """One thread; storage and arithmetic in less than float32 turned off. It has no other element types: models that
    compute with others are refused. pnnx is a process of its own that takes a quarter of a second."""

    name = "ncnn"
    format = Format.ONNX
    requires = ("ncnn>=1.0.20250916", "pnnx>=20250916")
    packages = ("ncnn",)
    options: ClassVar[tuple[Option, ...]] = (Option("optimization", (2, 0), (), "optlevel of pnnx"),)
    variants: ClassVar[Mapping[str, Settings]] = {"cpu": {"optimization": 2}}
    share = 0.1

    def warm_up(self) -> None:
        import ncnn  # noqa: F401

    def load(self, artifact: Artifact, settings: Settings) -> Session:
        import ncnn

        model = complete(artifact)
        if other := sorted(element_types(model, computed=True) - {"float32"}):
            raise Unsupported(f"{other[0]}, which is not computed as such")
        if any(not dim.dim_value for value in model.graph.input for dim in value.type.tensor_type.shape.dim):
            raise Unsupported("a dynamic dimension, or one of extent 0")
        held = {tensor.name for tensor in model.graph.initializer}
        with tempfile.TemporaryDirectory(prefix="convfuzz-") as folder, recognising(REFUSALS):
            path = Path(folder)
            code = _converted(model, path, int(settings.get("optimization", 2)))
            for layer in (path / "model.ncnn.param").read_text().splitlines()[2:]:
                if ncnn.layer_to_index(layer.split()[0]) < 0:
                    raise Unsupported(layer.split()[0])
            net = ncnn.Net()
            for option in NARROW:
                setattr(net.opt, option, False)
            net.opt.num_threads = 1
            for load, file in ((net.load_param, "model.ncnn.param"), (net.load_model, "model.ncnn.bin")):
                with console() as written:
                    status = load(str(path / file))
                if status:
                    raise NcnnError(f"{load.__name__} returns {status}\n{written.text}")
        outputs = {int(number): int(batch) for number, batch in _OUTPUT.findall(code)}
        return Session(
            net,
            tuple((name, int(number), int(batch)) for name, number, batch in _INPUT.findall(code)),
            tuple(outputs[number] for number in sorted(outputs)),
            tuple(value.name for value in model.graph.input if value.name not in held),
            tuple(value.name for value in model.graph.output),
            frozenset(value.name for value in model.graph.output if not value.type.tensor_type.shape.dim),
        )

    def run(self, session: Session, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        import ncnn

        named = dict(zip(artifact.inputs, feeds, strict=True))
        arrays: dict[str, Array] = {}
        with recognising(REFUSALS), session.net.create_extractor() as extractor:
            for name, number, batch in session.inputs:
                # A clone, for the array need not live as long as the extractor.
                feed = np.ascontiguousarray(named[session.names[number]])
                if status := extractor.input(name, ncnn.Mat(feed, batch_index=batch).clone()):
                    raise NcnnError(f"Extractor.input returns {status}")
            for number, (name, batch) in enumerate(zip(session.results, session.outputs, strict=True)):
                status, result = extractor.extract(f"out{number}")
                if status:
                    raise NcnnError(f"Extractor.extract returns {status}")
                array = np.array(result.numpy(batch_index=batch), copy=True)
                # A Mat has one dimension at least.
                arrays[name] = array.reshape(()) if array.shape == (1,) and name in session.scalars else array
        return [arrays[name] for name in artifact.outputs]

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        return _SCRIPT.replace("LEVEL", str(settings.get("optimization", 2))).replace("NARROW", repr(NARROW))


def _converted(model: onnx.ModelProto, folder: Path, level: int) -> str:
    """Let pnnx write files called ``model.*`` into the folder; the code that shows how to run them."""
    onnx.save(model, folder / "model.onnx")
    spec = importlib.util.find_spec("pnnx")
    assert spec is not None
    assert spec.submodule_search_locations
    program = Path(spec.submodule_search_locations[0]) / ("pnnx.exe" if os.name == "nt" else "pnnx")
    done = subprocess.run(
        [program, "model.onnx", "fp16=0", f"optlevel={level}"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode < 0:
        raise NcnnError(f"pnnx is ended by signal {-done.returncode} {_stage(done.stdout)}")
    if done.returncode or not (folder / "model.ncnn.param").exists():
        told = [line for line in (done.stderr + done.stdout).splitlines() if _TELLING.search(line)]
        raise NcnnError("\n".join(told) or f"pnnx exits with {done.returncode} {_stage(done.stdout)}")
    return (folder / "model_ncnn.py").read_text()


_TELLING = re.compile(r"fail|error|unsupported|not supported|invalid", re.IGNORECASE)


def _stage(output: str) -> str:
    """The pass that pnnx had come to."""
    passes = re.findall(r"^#+ (\w+)", output, re.MULTILINE)
    return f"in {passes[-1]}" if passes else "at once"


_SCRIPT = """\
import importlib.util
import pathlib
import re
import subprocess
import tempfile

import ncnn
import numpy as np
import onnx

onnx_model = onnx.load(artifact) if isinstance(artifact, str) else onnx.load_from_string(artifact)
held = {tensor.name for tensor in onnx_model.graph.initializer}
names = [value.name for value in onnx_model.graph.input if value.name not in held]
pnnx = pathlib.Path(importlib.util.find_spec('pnnx').submodule_search_locations[0]) / 'pnnx'
with tempfile.TemporaryDirectory() as folder:
    onnx.save(onnx_model, f'{folder}/model.onnx')
    subprocess.run([pnnx, 'model.onnx', 'fp16=0', 'optlevel=LEVEL'], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    code = pathlib.Path(f'{folder}/model_ncnn.py').read_text()
    net = ncnn.Net()
    for option in NARROW:
        setattr(net.opt, option, False)
    net.opt.num_threads = 1
    assert net.load_param(f'{folder}/model.ncnn.param') == 0
    assert net.load_model(f'{folder}/model.ncnn.bin') == 0
extractor = net.create_extractor()
# The code that pnnx writes says which dimension is the batch.
for name, number, batch in re.findall(r'ex.input."(in(\\d+))", ncnn.Mat.in\\d+.numpy.., batch_index=(\\d+)', code):
    feed = np.ascontiguousarray(feeds[int(names[int(number)].removeprefix('input_'))])
    assert extractor.input(name, ncnn.Mat(feed, batch_index=int(batch)).clone()) == 0
actual = []
for value, (name, batch) in zip(
    onnx_model.graph.output, re.findall(r'.(out\\d+).numpy.batch_index=(\\d+)', code), strict=True
):
    status, result = extractor.extract(name)
    assert status == 0, status
    array = np.array(result.numpy(batch_index=int(batch)))
    # A Mat has one dimension at least.
    actual.append(array.reshape(()) if array.shape == (1,) and not value.type.tensor_type.shape.dim else array)
"""
