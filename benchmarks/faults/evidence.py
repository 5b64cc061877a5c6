"""Who is blamed for what a fault shows, by experiments, as for a finding of a campaign (:mod:`fuzzer.blaming`).

A fault is in this process, so experiments are made here and not by a worker. What ends the process is for the caller to
note beforehand.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from corpus.records import Finding, FindingState, IssuedBatch
from fuzzer.blaming import Blamer
from fuzzer.config import CampaignConfig
from fuzzer.converters.base import converters
from fuzzer.inquiry import Inquiry, runtime_called
from fuzzer.supervisor import Limits, Worker
from fuzzer.tasks import ExperimentResult, ExperimentTask, Seen
from oracles.blame import Blame
from oracles.outcome import symptom_of


class _Here:
    """Performs experiments as a worker does."""

    limits = Limits()

    def call(self, task: ExperimentTask, seconds: float = 0.0) -> ExperimentResult:
        converters()[task.subject.converter].warm_up()
        runtime_called(task.runtime).warm_up()
        return Inquiry(task.subject, lambda step: None, lambda text: None, lambda: "").experiment(task)


def blamed(issued: IssuedBatch, case: bytes, bug: Seen) -> Blame:
    """The verdict on a bug that the case (serialised) shows with the settings of its batch, to be called while the
    fault is in. It takes as long as a campaign gives it by default."""
    # What was converted before the fault was put in, or with another, is not to be used again.
    Inquiry._last = None
    observation = bug.observation()
    finding = Finding(
        id="",
        campaign="",
        batch=issued.index,
        case=0,
        signature=observation.signature,
        symptom=symptom_of(observation.signature.kind),
        frontend=issued.frontend,
        converter=issued.converter,
        converter_settings=dict(issued.settings),
        settings=tuple(part for part in bug.settings.split(", ") if part),
        message=bug.message,
        numbers=bug.numbers,
        state=FindingState.RAW,
        created=0.0,
        case_object="",
    )
    try:
        return Blamer(cast(Worker, _Here()), CampaignConfig(seed=0).blame_seconds).blame(finding, case)
    finally:
        Inquiry._last = None


def rightly(component: str, expected: Collection[str]) -> bool:
    """Whether the component is an expected one or a part of one, and so are all that one verdict names."""
    return all(name in expected or name.partition(":")[0] in expected for name in component.split(" + "))
