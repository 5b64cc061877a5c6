"""What a converter is. One file per converter; they are found through the entry points ``convfuzz.converters``."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar

from fuzzer.formats import Artifact, Availability, Format, Option, Setting, Settings, availability
from generators.frontends.base import LoadedModel
from generators.graph import Array, Graph
from oracles.outcome import Stage
from oracles.quantization import ErrorBounds


class Converter(abc.ABC):
    """A subject that turns a model of one format into one of another."""

    name: ClassVar[str]
    source: ClassVar[Format]
    target: ClassVar[Format]
    #: Requirement strings of the distributions it needs.
    requires: ClassVar[tuple[str, ...]]
    options: ClassVar[tuple[Option, ...]] = ()
    #: Prefix of a module name to the stage that its frames stand for; the innermost frame that matches decides, by its
    #: longest prefix. A key ``module:function`` names one function, and decides wherever it is on the way (the
    #: outermost, if there are several): for subjects that call back into the modules of an earlier stage.
    stages: ClassVar[Mapping[str, Stage]] = {}
    #: Whether campaigns use it when no route is asked for.
    default: ClassVar[bool] = True
    #: Whether it is for users' own models only: its frontend has no operators that graphs could be grown of.
    own_models: ClassVar[bool] = False
    #: Whether its artifact is the source itself: where every variant of a runtime is wrong, the runtime is.
    hands_on: ClassVar[bool] = False
    #: Whether :meth:`slices` cuts this converter's artifacts.
    sliceable: ClassVar[bool] = False
    #: Whether :meth:`convert` marks the dimensions that are dynamic in the graph, and :meth:`dynamic_script` does so
    #: too. Others are given static graphs only.
    dynamic: ClassVar[bool] = False
    #: Name of the converter, of the framework itself, that does the first part of this one's work.
    through: ClassVar[str] = ""
    #: The library that does its work, where others have it do theirs, too.
    built_on: ClassVar[str] = ""
    #: Options that take a part of the converter out of play: the value that does, and what the part is called.
    parts: ClassVar[Mapping[str, tuple[Setting, str]]] = {}
    #: How many graphs to put into one conversion before anything has been learnt about this converter.
    pack: ClassVar[int] = 8

    def availability(self) -> Availability:
        """Versions, or why it cannot be used here and the command that installs it."""
        return availability(self.requires)

    def warm_up(self) -> None:  # noqa: B027  (most converters have nothing to prepare)
        """Import and prepare what every conversion needs; called once per worker process."""

    @abc.abstractmethod
    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        """Convert. Raises Unsupported when the converter says that it does not support the model, and whatever the
        converter raises otherwise."""

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:  # noqa: B027
        """Raise InvalidModel when the artifact breaks the rules of its format or declares types and shapes that
        contradict the graph's outputs."""

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        """The artifact of a union cut into one for each graph, given the numbers of its inputs and outputs; None when
        artifacts of this converter cannot be cut. With slices, what a validator or runtime refuses of one graph costs
        the others no conversion."""
        return None

    def needs_inputs(self, settings: Settings) -> bool:
        """Whether a model without inputs is refused with these settings. Such a graph is not converted together with
        others either: what it showed there could not be shown of it alone."""
        return False

    def quantizes(self, settings: Settings) -> bool:
        """Whether what is converted with these settings computes with quantized numbers."""
        return False

    def error_bounds(self, artifact: Artifact, feeds: Sequence[Array], settings: Settings) -> ErrorBounds | None:
        """For a quantized artifact what its outputs may differ by, in the order of its outputs; None for one that is
        to compute what the source framework does. ``feeds`` in the order of the graph's inputs."""
        return None

    def blurs(self, graph: Graph) -> bool:
        """Whether a graph computes with quantized numbers itself: what it may differ by grows with each operator."""
        return False

    def model_bounds(self, graph: Graph, feeds: Sequence[Array]) -> ErrorBounds | None:
        """What the outputs of a graph may differ by that computes with quantized numbers itself, whatever the settings;
        None for all others."""
        return None

    @abc.abstractmethod
    def script(self, settings: Settings) -> str:
        """Source lines for a stand-alone reproducer: from ``model`` (native) and ``inputs`` (list of native tensors)
        to ``artifact`` (bytes). Imports included; calls only the public API."""

    def dynamic_script(self, settings: Settings) -> str:
        """The same for a graph with dynamic dimensions, of which the list ``dynamic_shapes`` tells: for each input a
        dictionary from axes to symbols."""
        return self.script(settings)


def converters() -> dict[str, Converter]:
    """All installed converters by name, available or not."""
    from fuzzer.plugins import load_plugins

    return load_plugins("convfuzz.converters", Converter)  # type: ignore[type-abstract]
