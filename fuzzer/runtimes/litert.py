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
    """An interpreter with its tensors allocated; tensor indices by name."""

    interpreter: Any
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


class LiteRT(Runtime):
    """With the XNNPACK delegate, with built-in kernels alone, with the reference kernels, each with one thread; in turn
    the first two with two threads."""

    name = "litert"
    format = Format.TFLITE
    requires = ("ai-edge-litert>=2.0",)
    packages = ("ai_edge_litert",)
    options: ClassVar[tuple[Option, ...]] = (
        Option("kernels", ("xnnpack", "builtin", "reference"), (), "kernels that operators are resolved to"),
        Option("threads", (1, 2), (), "threads of the interpreter"),
    )
    variants: ClassVar[Mapping[str, Settings]] = {
        "xnnpack": {"kernels": "xnnpack"},
        "builtin": {"kernels": "builtin"},
        "reference": {"kernels": "reference"},
        "xnnpack-threads": {"kernels": "xnnpack", "threads": 2},
        "builtin-threads": {"kernels": "builtin", "threads": 2},
    }
    occasional = ("xnnpack-threads", "builtin-threads")

    def warm_up(self) -> None:
        import ai_edge_litert.interpreter  # noqa: F401

    def load(self, artifact: Artifact, settings: Settings) -> Session:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = getattr(OpResolverType, _RESOLVERS[str(settings.get("kernels", "xnnpack"))])
        with recognising(REFUSALS):
            interpreter = Interpreter(
                model_content=artifact.data,
                num_threads=int(settings.get("threads", 1)),
                experimental_op_resolver_type=resolver,
            )
            # The runner is dropped at once: while it exists, the interpreter refuses to allocate.
            inputs, outputs = _indices(interpreter)
            interpreter.allocate_tensors()
        return Session(interpreter, inputs, outputs)

    def run(self, session: Session, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        interpreter = session.interpreter
        with recognising(REFUSALS):
            for name, feed in zip(artifact.inputs, feeds, strict=True):
                if name is not None:
                    interpreter.set_tensor(session.inputs[name], np.ascontiguousarray(feed).reshape(feed.shape))
            interpreter.invoke()
            shapes = {detail["index"]: detail for detail in interpreter.get_output_details()}
            return [_tensor(interpreter, shapes[session.outputs[name]]) for name in artifact.outputs]

    def script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        resolver = _RESOLVERS[str(settings.get("kernels", "xnnpack"))]
        given, imported = "", ""
        if int(settings.get("threads", 1)) > 1:
            given += f", num_threads={settings['threads']}"
        if resolver != "BUILTIN":
            given += f", experimental_op_resolver_type=OpResolverType.{resolver}"
            imported = ", OpResolverType"
        return _SCRIPT.replace("GIVEN", given).replace("IMPORTED", imported)


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


def _tensor(interpreter: Any, detail: Mapping[str, Any]) -> Array:
    """A copy of an output. The binding refuses to read a tensor without elements, so that one is made here."""
    try:
        return np.array(interpreter.get_tensor(detail["index"]), copy=True)
    except ValueError as error:
        shape = tuple(int(extent) for extent in detail["shape"])
        if 0 in shape and _EMPTY.search(str(error)):
            return np.zeros(shape, detail["dtype"])
        raise


_SCRIPT = """\
from ai_edge_litert.interpreter import InterpreterIMPORTED

interpreter = Interpreter(model_content=artifactGIVEN)
runner = interpreter.get_signature_runner()
inputs = {name: detail['index'] for name, detail in runner.get_input_details().items()}
outputs = {name: detail['index'] for name, detail in runner.get_output_details().items()}
del runner  # holds a reference into the interpreter
interpreter.allocate_tensors()
for name, index in inputs.items():
    interpreter.set_tensor(index, feeds[int(name.removeprefix('input_'))])
interpreter.invoke()
actual = [interpreter.get_tensor(outputs[f'output_{number}']) for number in range(len(outputs))]
"""
