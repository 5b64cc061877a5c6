"""The runtime that interprets graphs of ours with the frontend they came from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from fuzzer.formats import Artifact, Format, Settings
from fuzzer.runtimes.base import Runtime
from generators.frontends.base import frontend
from generators.graph import Array, Graph
from generators.serial import loads


class Interpreter(Runtime):
    """Eager execution of a serialised graph; see :mod:`fuzzer.converters.identity`."""

    name = "interpreter"
    format = Format.GRAPH
    requires: ClassVar[tuple[str, ...]] = ("safetensors",)
    packages: ClassVar[tuple[str, ...]] = ("generators",)
    variants: ClassVar[Mapping[str, Settings]] = {"eager": {}}

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        return loads(artifact.data).graph

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        assert isinstance(session, Graph)
        named = {value.name: feed for value, feed in zip(session.inputs, feeds, strict=True)}
        values = frontend(session.frontend).run(session, named)
        return [values[name].copy() for name in session.outputs]

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        # Shows a defect only if eager mode does not agree with itself: what the interpreter adds is ours.
        return (
            "outputs = model(*inputs)\n"
            "outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]\n"
            "actual = [output.numpy() for output in outputs]\n"
        )
