"""What a campaign has done so far, in numbers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from corpus.records import Batch
from fuzzer.handling import IMPORTS, IN_REPRODUCERS


@dataclass
class Tally:
    """Counts of the batches judged, of all runs of a campaign; of this run, milliseconds of the slots by the kind of
    their jobs (``findings``, ``batches``), and seconds of CPU time of jobs that are done, by what they were spent on,
    and of workers that have ended. Not safe for use by several threads: the campaign's lock guards it."""

    graphs: int = 0
    batches: int = 0
    conversions: int = 0
    by_route: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    worker_seconds: float = 0.0
    _since: float = field(default_factory=time.process_time)

    @classmethod
    def of(cls, judged: Iterable[Batch]) -> Tally:
        """That of batches which earlier runs judged."""
        tally = cls()
        for batch in judged:
            tally.add(batch)
        return tally

    def add(self, batch: Batch) -> None:
        """Count a judged batch."""
        self.graphs += batch.cases
        self.batches += 1
        self.conversions += batch.conversions
        self.verdicts.update(batch.verdicts)
        for runtime in dict.fromkeys(runtime for runtime, _ in batch.issued.variants):
            self.by_route[f"{batch.issued.frontend}:{batch.issued.converter}:{runtime}"] += batch.cases

    def share(self, kind: str) -> float:
        """The share of the slots' time that jobs of a kind took."""
        total = sum(self.spent.values())
        return self.spent[kind] / total if total else 0.0

    def cpu_seconds(self) -> Mapping[str, float]:
        """CPU seconds of this run so far: of jobs, of what workers took beside them (imports above all), of this
        process."""
        in_workers = self.parts.total() - self.parts[IN_REPRODUCERS] - self.parts[IMPORTS]
        parts = {**self.parts, "campaign": time.process_time() - self._since}
        if self.worker_seconds:
            parts["starting workers"] = max(0.0, self.worker_seconds - in_workers)
        return parts
