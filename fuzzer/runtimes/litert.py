"""LiteRT (ai-edge-litert): the interpreter for TFLite models."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Settings, Unsupported
from fuzzer.runtimes import _delegates
from fuzzer.runtimes.base import Runtime
from generators.graph import Array

REFUSALS = (
    Refusal(r"Select TensorFlow op\(s\), included in the given model, is\(are\) not supported", "Flex operators"),
    Refusal(r"(IsPowerOfTwo)\(\w+(?:\[\d+\])?\) was not true", r"FFT of a length that is no power of two"),
    Refusal(r"Encountered unresolved custom op: (\w+)", r"custom operator \1"),
    Refusal(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", r"\1 version \2"),
    # What a kernel says when it is prepared or invoked, and the node that it is.
    Refusal(
        r"(?:^|\n)(?:[\w./+-]+:\d+ )?([^\n]*(?:[Uu]nsupported|(?:[Nn]ot|[Oo]nly|n't) (?:\w+ )*support(?:s|ed)?)\b"
        r"[^\n]*?)\.?\s*Node number \d+ \((\w+)\)",
        r"\2: \1",
        scrub=True,
    ),
    Refusal(
        r"([\w>.-]*type\w* (?:==|!=) kTfLite\w+[^\n]*was not true)\.?\s*(?:[^\n]*\n)*?.*?Node number \d+ \((\w+)\)",
        r"\2: \1",
        scrub=True,
    ),
)
_EMPTY = re.compile(r"Invalid tensor size")


@dataclass
class Session:
    """An interpreter, its tensors allocated unless inputs have dynamic dimensions; descriptions of inputs and outputs
    by name."""

    interpreter: Any
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    #: The shapes that inputs with dynamic dimensions have been given, by their index; none before the first run.
    shapes: dict[int, tuple[int, ...] | None]


def delegate_variants(present: Mapping[str, str]) -> dict[str, Settings]:
    """A variant for each delegate by its name: what it does not take is left to the built-in kernels."""
    return {name: {"kernels": "builtin", "delegate": path} for name, path in present.items()}


def _loaded(path: str) -> list[Any]:
    """The delegate. It is not there to be tested when it does not load: its device is missing, most often."""
    from ai_edge_litert.interpreter import load_delegate

    try:
        return [load_delegate(path)]
    except (OSError, ValueError) as error:
        raise Unsupported(f"{path.rpartition('/')[2]}, which does not load here", str(error)) from error


class LiteRT(Runtime):
    """With the XNNPACK delegate, with built-in kernels alone, with the reference kernels, each with one thread; in turn
    the first two with two threads. With each delegate that this machine has a library of."""

    name = "litert"
    format = Format.TFLITE
    requires = ("ai-edge-litert>=2.0",)
    packages = ("ai_edge_litert",)
    options: ClassVar[tuple[Option, ...]] = (
        Option("kernels", ("xnnpack", "builtin", "reference"), (), "kernels that operators are resolved to"),
        Option("threads", (1, 2), (), "threads of the interpreter"),
        Option("delegate", ("", *_delegates.present().values()), (), "path of a delegate's library"),
    )
    variants: ClassVar[Mapping[str, Settings]] = {
        "xnnpack": {"kernels": "xnnpack"},
        "builtin": {"kernels": "builtin"},
        "reference": {"kernels": "reference"},
        "xnnpack-threads": {"kernels": "xnnpack", "threads": 2},
        "builtin-threads": {"kernels": "builtin", "threads": 2},
        **delegate_variants(_delegates.present()),
    }
    occasional = ("xnnpack-threads", "builtin-threads")
    unhurried = ("reference",)
    parts: ClassVar[Mapping[frozenset[str], str]] = {
        frozenset({"xnnpack", "xnnpack-threads"}): "XNNPACK",
        frozenset({"builtin", "builtin-threads"}): "optimized kernels",
        # What the delegate does not take is left to the optimized kernels.
        frozenset({"xnnpack", "xnnpack-threads", "builtin", "builtin-threads"}): "optimized kernels",
        frozenset({"reference"}): "reference kernels",
        frozenset({"xnnpack-threads"}): "XNNPACK, threads",
        frozenset({"builtin-threads"}): "optimized kernels, threads",
        frozenset({"xnnpack-threads", "builtin-threads"}): "threads",
    }

    def warm_up(self) -> None:
        import ai_edge_litert.interpreter  # noqa: F401

    def load(self, artifact: Artifact, settings: Settings) -> Session:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = getattr(OpResolverType, _RESOLVERS[str(settings.get("kernels", "xnnpack"))])
        delegates = _loaded(str(settings["delegate"])) if settings.get("delegate") else None
        with recognising(REFUSALS):
            interpreter = Interpreter(
                model_content=artifact.data,
                num_threads=int(settings.get("threads", 1)),
                experimental_op_resolver_type=resolver,
                experimental_delegates=delegates,
                experimental_preserve_all_tensors=bool(settings.get("preserve", False)),
            )
            # The runner is dropped at once: while it exists, the interpreter refuses to allocate.
            inputs, outputs = _details(interpreter)
            shapes = _dynamic_shapes(interpreter)
            # A dynamic dimension is 1 until it is told to be something else, which need not make sense.
            if not shapes:
                interpreter.allocate_tensors()
        return Session(interpreter, inputs, outputs, shapes)

    def run(self, session: Session, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        interpreter = session.interpreter
        with recognising(REFUSALS):
            self._invoke(session, artifact, feeds)
            details = {detail["index"]: detail for detail in interpreter.get_output_details()}
            found = [details[session.outputs[name]["index"]] for name in artifact.outputs]
            results = [_tensor(interpreter, detail) for detail in found]
            if artifact.stored:
                return results
            return [_dequantized(result, detail) for result, detail in zip(results, found, strict=True)]

    def _invoke(self, session: Session, artifact: Artifact, feeds: Sequence[Array]) -> None:
        if session.shapes:
            _resize(session, artifact, feeds)
        for name, feed in zip(artifact.inputs, feeds, strict=True):
            if name is not None:
                detail = session.inputs[name]
                given = _quantized(np.ascontiguousarray(feed).reshape(feed.shape), detail)
                session.interpreter.set_tensor(detail["index"], given)
        session.interpreter.invoke()

    def tensors(self, artifact: Artifact, feeds: Sequence[Array]) -> list[tuple[Mapping[str, Any], Array | None]]:
        """What the reference kernels compute for every tensor of the model, by its index: what the interpreter says of
        it, and its elements as they are stored (None for one that was not computed). Raises as load and run."""
        session = self.load(artifact, {"kernels": "reference", "preserve": True})
        with recognising(REFUSALS):
            self._invoke(session, artifact, feeds)
        found: list[tuple[Mapping[str, Any], Array | None]] = []
        for detail in session.interpreter.get_tensor_details():
            try:
                found.append((detail, _tensor(session.interpreter, detail)))
            except ValueError:
                # The binding gives no tensor of a kernel that keeps it to itself.
                found.append((detail, None))
        return found

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        if quantized:
            return _filled(_QUANTIZED, settings)
        return self.load_script(settings) + "interpreter.allocate_tensors()\n" + _RUN

    def load_script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        return _filled(_LOAD, settings)

    def dynamic_script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        return self.load_script(settings) + _RESIZE + _RUN


_RESOLVERS = {"xnnpack": "BUILTIN", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}


def _details(interpreter: Any) -> tuple[dict[str, Mapping[str, Any]], dict[str, Mapping[str, Any]]]:
    """Inputs and outputs by their names in the signature, or the tensors' own without one."""
    if interpreter.get_signature_list():
        runner = interpreter.get_signature_runner()
        return dict(runner.get_input_details()), dict(runner.get_output_details())
    return (
        {detail["name"]: detail for detail in interpreter.get_input_details()},
        {detail["name"]: detail for detail in interpreter.get_output_details()},
    )


def _quantized(feed: Array, detail: Mapping[str, Any]) -> Array:
    """A feed as the model's input holds it: real numbers as integers where that is asked for."""
    scale, zero = detail["quantization"]
    if feed.dtype != np.float32 or detail["dtype"] != np.int8 or not scale:
        return feed
    with np.errstate(all="ignore"):
        steps = np.rint(feed / np.float32(scale)) + zero
        return np.asarray(np.clip(np.nan_to_num(steps), -128, 127)).astype(np.int8)


def _dequantized(array: Array, detail: Mapping[str, Any]) -> Array:
    """The real numbers that an output stands for; an output that stands for itself as it is."""
    scale, zero = detail["quantization"]
    if array.dtype != np.int8 or not scale:
        return array
    return np.asarray((array.astype(np.float32) - zero) * np.float32(scale))


def _filled(script: str, settings: Settings) -> str:
    """The lines with what the interpreter is given."""
    resolver = _RESOLVERS[str(settings.get("kernels", "xnnpack"))]
    given, imported = "", ""
    if int(settings.get("threads", 1)) > 1:
        given += f", num_threads={settings['threads']}"
    if resolver != "BUILTIN":
        given += f", experimental_op_resolver_type=OpResolverType.{resolver}"
        imported = ", OpResolverType"
    if settings.get("delegate"):
        given += f", experimental_delegates=[load_delegate({settings['delegate']!r})]"
        imported += ", load_delegate"
    return script.replace("GIVEN", given).replace("IMPORTED", imported)


def _dynamic_shapes(interpreter: Any) -> dict[int, tuple[int, ...] | None]:
    details = interpreter.get_input_details()
    return {detail["index"]: None for detail in details if -1 in detail.get("shape_signature", ())}


def _resize(session: Session, artifact: Artifact, feeds: Sequence[Array]) -> None:
    """Give the inputs with dynamic dimensions the shapes of these feeds."""
    changed = False
    for name, feed in zip(artifact.inputs, feeds, strict=True):
        index = session.inputs[name]["index"] if name is not None else -1
        if index in session.shapes and session.shapes[index] != feed.shape:
            session.interpreter.resize_tensor_input(index, feed.shape)
            session.shapes[index] = feed.shape
            changed = True
    if changed:
        session.interpreter.allocate_tensors()


def _tensor(interpreter: Any, detail: Mapping[str, Any]) -> Array:
    """A copy of an output. The binding refuses to read a tensor without elements, so that one is made here."""
    try:
        return np.array(interpreter.get_tensor(detail["index"]), copy=True)
    except ValueError as error:
        shape = tuple(int(extent) for extent in detail["shape"])
        if 0 in shape and _EMPTY.search(str(error)):
            return np.zeros(shape, detail["dtype"])
        raise


_LOAD = """\
from ai_edge_litert.interpreter import InterpreterIMPORTED

interpreter = Interpreter(model_content=artifactGIVEN)
runner = interpreter.get_signature_runner()
input_indices = {name: detail['index'] for name, detail in runner.get_input_details().items()}
output_indices = {name: detail['index'] for name, detail in runner.get_output_details().items()}
del runner  # holds a reference into the interpreter
"""
_RESIZE = """\
for name, index in input_indices.items():
    interpreter.resize_tensor_input(index, feeds[int(name.removeprefix('input_'))].shape)
interpreter.allocate_tensors()
"""
_RUN = """\
for name, index in input_indices.items():
    interpreter.set_tensor(index, feeds[int(name.removeprefix('input_'))])
interpreter.invoke()
actual = [interpreter.get_tensor(output_indices[f'output_{number}']) for number in range(len(output_indices))]
"""
_QUANTIZED = """\
import numpy as np
from ai_edge_litert.interpreter import InterpreterIMPORTED

interpreter = Interpreter(model_content=artifactGIVEN)
runner = interpreter.get_signature_runner()
inputs, outputs = runner.get_input_details(), runner.get_output_details()
del runner  # holds a reference into the interpreter
interpreter.allocate_tensors()
for name, detail in inputs.items():
    feed, (scale, zero) = feeds[int(name.removeprefix('input_'))], detail['quantization']
    if scale and feed.dtype == np.float32 and detail['dtype'] == np.int8:
        feed = np.clip(np.rint(feed / np.float32(scale)) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(detail['index'], feed)
interpreter.invoke()
actual = []
for number in range(len(outputs)):
    detail = outputs[f'output_{number}']
    result, (scale, zero) = interpreter.get_tensor(detail['index']), detail['quantization']
    if scale and result.dtype == np.int8:
        result = (result.astype(np.float32) - zero) * np.float32(scale)
    actual.append(result)
"""
