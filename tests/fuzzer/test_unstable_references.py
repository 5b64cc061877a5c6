"""A case whose eager result varies is told from one whose printed source is wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fuzzer.pipeline import Pipeline
from fuzzer.tasks import CaseResult, JudgeTask, Subject
from generators.frontends.base import LoadedModel
from generators.graph import Array
from generators.serial import dumps
from tests.fuzzer.graphs import unary

SUBJECT = Subject("torch", "identity.torch", {}, (("interpreter", "eager"),))


def judged(pipeline: Pipeline) -> CaseResult:
    (result,) = pipeline.judge(JudgeTask(SUBJECT, ((0, dumps(unary("torch", "exp", "float32", 2, 3))),))).results
    return result


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(SUBJECT, lambda step: None, lambda text: None, lambda: "")


def test_a_stable_case_passes(pipeline: Pipeline) -> None:
    assert not judged(pipeline).refused


def test_a_wrong_printed_source_is_called_so(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(model: LoadedModel) -> list[Array]:
        return [np.zeros((2, 3), np.float32)]

    monkeypatch.setattr(pipeline.frontend, "execute", wrong)
    assert "of the printed source differs from the interpreter's" in judged(pipeline).refused


@pytest.mark.parametrize("steady", [0, 1, 2, 7])
def test_a_kernel_that_repeats_itself_for_a_while_is_unstable(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, steady: int
) -> None:
    count = itertools.count()

    def unstable(model: LoadedModel) -> list[Array]:
        return [np.full((2, 3), next(count) > steady, np.float32)]

    monkeypatch.setattr(pipeline.frontend, "execute", unstable)
    assert "differs between two eager runs" in judged(pipeline).refused
