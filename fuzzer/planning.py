"""What batch number i of a campaign consists of."""

from __future__ import annotations

from collections.abc import Sequence

from corpus.records import IssuedBatch
from fuzzer.converters.base import Converter, converters
from fuzzer.routes import Route
from fuzzer.runtimes.base import runtimes
from fuzzer.tasks import BatchTask, Subject
from generators.choices import SeededChoices

#: Keys that keep the draws of batches and cases apart from those of other purposes of the same seed.
_SETTINGS_STREAM = -1
#: Share of the batches that use a converter's default settings, which most people do.
_DEFAULT_SHARE = 0.5
#: Sizes of graphs relative to the wanted one: small ones probe single operators and are cheap to minimize.
_SIZES = (1.0, 0.2, 1.0, 0.5)


class Plan:
    """Batches over the selected routes, taken in turn by converter.

    A batch is a pure function of the campaign's seed, its index, the selection, and of what quarantine had learnt when
    it was issued, which the issued batch records.
    """

    def __init__(
        self, seed: int, routes: Sequence[Route], nodes: int, pack: int | None, operators: tuple[str, ...] = ()
    ) -> None:
        self._seed = seed
        self._operators = operators
        self._nodes = nodes
        self._pack = pack
        self.subjects: list[tuple[Converter, str, tuple[tuple[str, str], ...]]] = []
        names = dict.fromkeys((route.converter, route.frontend) for route in routes)
        #: Versions by distribution of a converter and the runtimes that its artifacts are judged on.
        self.versions: dict[str, dict[str, str]] = {}
        for name, frontend in names:
            chosen = dict.fromkeys(
                route.runtime for route in routes if (route.converter, route.frontend) == (name, frontend)
            )
            variants = tuple((runtime, variant) for runtime in chosen for variant in runtimes()[runtime].variants)
            versions = dict(converters()[name].availability().versions)
            for runtime in chosen:
                versions.update(runtimes()[runtime].availability().versions)
            self.versions[name] = versions
            self.subjects.append((converters()[name], frontend, variants))

    def batch(self, index: int, avoid: tuple[str, ...], bearable: int) -> IssuedBatch:
        """The batch of that index, with what quarantine knows of its converter now: kinds of node to avoid and how
        many graphs in a pack are bearable given how many are refused."""
        converter, frontend, variants = self.subjects[index % len(self.subjects)]
        turn = index // len(self.subjects)
        nodes = max(1, round(self._nodes * _SIZES[turn % len(_SIZES)]))
        # Small graphs are packed more densely: what costs is nodes and calls, not graphs.
        pack = self._pack or min(32, bearable, converter.pack * max(1, self._nodes // nodes))
        settings = sample_settings(converter, SeededChoices(self._seed, index, _SETTINGS_STREAM))
        return IssuedBatch(index, frontend, converter.name, settings, pack, nodes, variants, avoid, self._operators)


def sample_settings(converter: Converter, choices: SeededChoices) -> dict[str, bool | int | float | str]:
    """The converter's default settings half of the time, else each option drawn by its weights."""
    if choices.fraction() < _DEFAULT_SHARE:
        return default_settings(converter)
    return {option.name: option.sample(choices) for option in converter.options}


def default_settings(converter: Converter) -> dict[str, bool | int | float | str]:
    """The first value of each option."""
    return {option.name: option.values[0] for option in converter.options}


def subject_of(batch: IssuedBatch) -> Subject:
    """What a batch puts to the test."""
    return Subject(batch.frontend, batch.converter, dict(batch.settings), batch.variants)


def task_of(seed: int, batch: IssuedBatch, numbers: tuple[int, ...]) -> BatchTask:
    """The task that generates and judges some of the batch's cases."""
    return BatchTask(subject_of(batch), seed, batch.index, numbers, batch.nodes, batch.avoid, batch.operators)
