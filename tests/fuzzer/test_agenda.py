"""Which finding is handled next."""

from __future__ import annotations

import msgspec

from corpus.records import Finding, FindingState
from fuzzer.agenda import Agenda
from oracles.outcome import Kind, Signature, Stage, symptom_of


def found(
    identifier: str, kind: Kind, detail: str, *, nodes: int = 3, state: FindingState = FindingState.RAW
) -> Finding:
    signature = Signature(Stage.CONVERT, "tf2onnx", kind, detail)
    return Finding(
        identifier,
        "campaign",
        0,
        0,
        signature,
        symptom_of(kind),
        "tensorflow",
        "tf2onnx",
        {},
        (),
        "",
        {},
        state,
        0.0,
        "",
        nodes=nodes,
    )


def order(agenda: Agenda) -> list[str]:
    taken = []
    while (finding := agenda.next()) is not None:
        agenda.take(finding)
        taken.append(finding.id)
    return taken


def test_wrong_models_and_small_ones_come_first_and_no_signature_twice_before_each_once() -> None:
    agenda = Agenda(
        [
            found("crash", Kind.EXCEPTION, "a", nodes=1),
            found("large", Kind.VALUE, "b", nodes=9),
            found("small", Kind.VALUE, "b", nodes=2),
            found("other", Kind.VALUE, "c", nodes=5),
        ],
        (),
        6,
    )
    assert order(agenda) == ["small", "other", "crash", "large"]


def test_exceptions_of_one_signature_come_as_often_as_is_asked_for_and_deaths_a_third_of_that() -> None:
    agenda = Agenda(
        [
            found(f"{kind.value} {number}", kind, "same")
            for kind in (Kind.EXCEPTION, Kind.SIGNAL)
            for number in range(9)
        ],
        (),
        6,
    )
    taken = order(agenda)
    assert sum(name.startswith(Kind.EXCEPTION.value) for name in taken) == 6
    assert sum(name.startswith(Kind.SIGNAL.value) for name in taken) == 2


def test_what_waits_for_blame_alone_comes_last_and_what_is_interrupted_comes_again() -> None:
    pending, verified = found("new", Kind.VALUE, "a"), found("old", Kind.VALUE, "b", state=FindingState.VERIFIED)
    agenda = Agenda([pending], [verified], 6)
    assert order(agenda) == ["new", "old"]
    for finding in (pending, verified):
        agenda.put_back(finding)
    agenda.handled(msgspec.structs.replace(pending, state=FindingState.MINIMIZING))
    agenda.handled(verified)
    assert order(agenda) == ["new"]
    agenda.put_back(pending)
    agenda.drop("new")
    assert order(agenda) == []
    agenda.add([pending])
    assert order(agenda) == ["new"]
