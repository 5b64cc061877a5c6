"""LiteRT (ai-edge-litert): the interpreter for TFLite models."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Settings
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
    """An interpreter, its tensors allocated unless inputs have dynamic dimensions; tensor indices by name."""

    interpreter: Any
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    #: The shapes that inputs with dynamic dimensions have been given, by their index; none before the first run.
    shapes: dict[int, tuple[int, ...] | None]


class LiteRT(Runtime):
    """One thread; with the XNNPACK delegate, with built-in kernels alone, with the reference kernels."""

    name = "litert"
    format = Format.TFLITE
    requires = ("ai-edge-litert>=2.0",)
    packages = ("ai_edge_litert",)
    options: ClassVar[tuple[Option, ...]] = (
        Option("kernels", ("xnnpack", "builtin", "reference"), (), "kernels that operators are resolved to"),
    )
    variants: ClassVar[Mapping[str, Settings]] = {
        "xnnpack": {"kernels": "xnnpack"},
        "builtin": {"kernels": "builtin"},
        "reference": {"kernels": "reference"},
    }

    def warm_up(self) -> None:
        import ai_edge_litert.interpreter  # noqa: F401

    def load(self, artifact: Artifact, settings: Settings) -> Session:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = getattr(OpResolverType, _RESOLVERS[str(settings.get("kernels", "xnnpack"))])
        with recognising(REFUSALS):
            interpreter = Interpreter(
                model_content=artifact.data, num_threads=1, experimental_op_resolver_type=resolver
            )
            # The runner is dropped at once: while it exists, the interpreter refuses to allocate.
            inputs, outputs = _indices(interpreter)
            shapes = _dynamic_shapes(interpreter)
            # A dynamic dimension is 1 until it is told to be something else, which need not make sense.
            if not shapes:
                interpreter.allocate_tensors()
        return Session(interpreter, inputs, outputs, shapes)

    def run(self, session: Session, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        interpreter = session.interpreter
        with recognising(REFUSALS):
            if session.shapes:
                _resize(session, artifact, feeds)
            for name, feed in zip(artifact.inputs, feeds, strict=True):
                if name is not None:
                    interpreter.set_tensor(session.inputs[name], np.ascontiguousarray(feed).reshape(feed.shape))
            interpreter.invoke()
            shapes = {detail["index"]: detail for detail in interpreter.get_output_details()}
            return [_tensor(interpreter, shapes[session.outputs[name]]) for name in artifact.outputs]

    def script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        return self._head(settings) + "interpreter.allocate_tensors()\n" + _RUN

    def load_script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        return self._head(settings)

    def dynamic_script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        return self._head(settings) + _RESIZE + _RUN

    def _head(self, settings: Settings) -> str:
        return _LOAD.replace("RESOLVER", _RESOLVERS[str(settings.get("kernels", "xnnpack"))])


_RESOLVERS = {"xnnpack": "BUILTIN", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}


def _indices(interpreter: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Tensor indices of inputs and outputs by their names in the signature, or the tensors' own without one."""
    if interpreter.get_signature_list():
        runner = interpreter.get_signature_runner()
        return (
            {name: detail["index"] for name, detail in runner.get_input_details().items()},
            {name: detail["index"] for name, detail in runner.get_output_details().items()},
        )
    return (
        {detail["name"]: detail["index"] for detail in interpreter.get_input_details()},
        {detail["name"]: detail["index"] for detail in interpreter.get_output_details()},
    )


def _dynamic_shapes(interpreter: Any) -> dict[int, tuple[int, ...] | None]:
    details = interpreter.get_input_details()
    return {detail["index"]: None for detail in details if -1 in detail.get("shape_signature", ())}


def _resize(session: Session, artifact: Artifact, feeds: Sequence[Array]) -> None:
    """Give the inputs with dynamic dimensions the shapes of these feeds."""
    changed = False
    for name, feed in zip(artifact.inputs, feeds, strict=True):
        index = session.inputs[name] if name is not None else -1
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
from ai_edge_litert.interpreter import Interpreter, OpResolverType

interpreter = Interpreter(model_content=artifact, num_threads=1, experimental_op_resolver_type=OpResolverType.RESOLVER)
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
