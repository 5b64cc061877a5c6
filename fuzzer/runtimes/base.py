"""What a runtime is. One file per runtime; they are found through the entry points ``convfuzz.runtimes``."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from fuzzer.formats import Artifact, Availability, Format, Option, Settings, availability
from generators.graph import Array


class Runtime(abc.ABC):
    """A subject that executes artifacts of one format.

    Its ``variants`` are the settings under which artifacts are run; each is judged for itself. Those named in
    ``occasional`` take turns, one to a batch; all others run every artifact.
    """

    name: ClassVar[str]
    format: ClassVar[Format]
    requires: ClassVar[tuple[str, ...]]
    #: Top-level modules of the subject, to tell its own frames in a traceback from those of others.
    packages: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[Option, ...]] = ()
    #: Share of the batches that it takes part in: less than 1 for a runtime that compiles longer than others run.
    share: ClassVar[float] = 1.0
    #: Name of the variant (``unoptimized``) to its settings.
    variants: ClassVar[Mapping[str, Settings]] = {}
    #: Names of the variants that take turns.
    occasional: ClassVar[tuple[str, ...]] = ()

    #: Names of the variants that are there to be right and not to be fast: nobody minds what they take.
    unhurried: ClassVar[tuple[str, ...]] = ()
    #: Names of its parts, by the variants that are wrong when such a part is.
    parts: ClassVar[Mapping[frozenset[str], str]] = {}
    #: Element types that it computes in 32 bits, as it documents: what a graph computes beyond them tells nothing.
    narrows: ClassVar[tuple[str, ...]] = ()

    def availability(self) -> Availability:
        """Versions, or why it cannot be used here and the command that installs it."""
        return availability(self.requires)

    def warm_up(self) -> None:  # noqa: B027  (most runtimes have nothing to prepare)
        """Import what every run needs; called once per worker process."""

    @abc.abstractmethod
    def load(self, artifact: Artifact, settings: Settings) -> Any:
        """A session for the artifact. Raises Unsupported when the runtime says so, whatever it raises otherwise."""

    @abc.abstractmethod
    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        """Outputs in the order of the artifact's outputs; ``feeds`` in the order of the graph's inputs."""

    def optimizers(self, artifact: Artifact, settings: Settings) -> tuple[str, ...]:
        """Names of its optimizers that change this model with these settings (or may have, where that cannot be told
        apart), even if it refuses it then: the setting ``disabled``, names joined by commas, switches them off."""
        return ()

    @abc.abstractmethod
    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        """Source lines for a stand-alone reproducer: from ``artifact`` (bytes) and ``feeds`` (list of NumPy arrays in
        order of the model's inputs) to ``actual`` (list of NumPy arrays in order of its outputs). Imports included;
        calls only the public API. ``dtypes`` are the element types of the model's inputs and outputs, so that lines
        for types that NumPy or the runtime lack can be left out; empty when they are not known. ``quantized`` tells of
        an artifact whose inputs or outputs may be integers that stand for real numbers."""

    def dynamic_script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        """The same for a model with dynamic dimensions, which may have to be told their extents."""
        return self.script(settings, dtypes)

    def load_script(self, settings: Settings, dtypes: Collection[str] = ()) -> str:
        """The first lines of :meth:`dynamic_script`, which do not depend on the feeds: a session that they make
        is used again at every size of a model with dynamic dimensions. Empty when there are none."""
        return ""


def runtimes() -> dict[str, Runtime]:
    """All installed runtimes by name, available or not."""
    from fuzzer.plugins import load_plugins

    return load_plugins("convfuzz.runtimes", Runtime)  # type: ignore[type-abstract]
