"""Every fault of the sharpness benchmark changes results, and is gone again afterwards."""

from __future__ import annotations

import pytest

from benchmarks.faults import FAMILIES
from benchmarks.faults.injection import (
    REACHED,
    ArtifactFault,
    Fault,
    FaultError,
    SourceFault,
    changed_code,
    function_of,
    recording,
)
from benchmarks.faults.proving import CONVERTERS, proof_of
from benchmarks.sharpness import Found, Notes, outcome, table, verdict_on
from fuzzer.converters.base import converters
from fuzzer.planning import default_settings
from fuzzer.tasks import Seen
from generators.frontends.base import frontend

ALL = [(family, fault) for family, (_, _, faults) in FAMILIES.items() for fault in faults]
#: Proofs that are quick: one conversion in each of the slow converters, and a few of models.
SAMPLE = (
    "layer_norm epsilon 1e-3",
    "transposes that swap two axes are dropped",
    "SAME padding at the wrong end",
    "Gelu by tanh",
    "Conv padded one to the left",
    "MatMul in bfloat16",
    "optimizer drops the bias of Gemm",
)


def named(name: str) -> Fault:
    return next(fault for _, fault in ALL if fault.name == name)


def test_there_are_many_faults_and_no_two_alike() -> None:
    assert len(ALL) >= 60
    for _, _, faults in FAMILIES.values():
        assert len(faults) >= 10
        assert len({fault.name for fault in faults}) == len(faults)


@pytest.mark.parametrize("fault", [fault for _, fault in ALL if isinstance(fault, SourceFault)], ids=lambda it: it.name)
def test_sources_are_what_faults_were_made_for(fault: SourceFault) -> None:
    function = function_of(fault.function)
    original = function.__code__
    with fault.active():
        assert function.__code__ is not original
        assert function.__code__.co_freevars == original.co_freevars
    assert function.__code__ is original


def test_a_source_that_has_changed_is_told() -> None:
    fault = SourceFault("x", "benchmarks.faults.injection:function_of", "not there", "", named(SAMPLE[0]).proof)
    with pytest.raises(FaultError, match="0 times"), fault.active():
        pass


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_of_faults_changes_results(name: str) -> None:
    assert proof_of(named(name))


@pytest.mark.sweep
@pytest.mark.parametrize(("family", "fault"), ALL, ids=lambda it: it if isinstance(it, str) else it.name)
def test_every_fault_changes_results(family: str, fault: Fault) -> None:
    assert proof_of(fault)


@pytest.mark.parametrize("name", ["leaky_relu slope 0.2 to 0.3", "LeakyRelu alpha 0.1 more"])
def test_what_is_not_reached_is_the_same_with_the_fault(name: str) -> None:
    fault = named(name)
    reaching, other = (named(one).proof.case() for one in (name, "tril one diagonal further"))
    if isinstance(fault, ArtifactFault):
        other = named("Softmax over the last axis").proof.case()
    functions = [fault.function] if isinstance(fault, SourceFault) else []

    def artifact(case):
        converter = converters()[CONVERTERS[case.graph.frontend]]
        from benchmarks.faults.proving import results

        REACHED.clear()
        with recording(functions):
            results(fault, case)
        reached = fault.reached in REACHED
        model = frontend(case.graph.frontend).load(case)
        return reached, converter.convert(model, default_settings(converter)).data

    assert artifact(reaching)[0]
    reached, clean = artifact(other)
    assert not reached
    with fault.active():
        assert artifact(other) == (False, clean)


def test_a_function_with_variables_around_it_can_be_changed() -> None:
    around = 3

    def inner(x: int) -> int:
        return x + around

    inner.__code__ = changed_code(inner, lambda source: source.replace("x + around", "x * around"))
    assert inner(5) == 15


def test_tables_tell_what_was_found_and_whom_was_blamed(tmp_path) -> None:
    fault, second = named("Gelu by tanh"), named("Conv padded one to the left")
    notes = Notes(tmp_path / "notes")
    notes.tell("clean 0", verdict="pass", reached=["node Gelu"])
    notes.tell("clean 1", verdict="inconclusive", reached=["node Gelu", "node Conv"])
    notes.tell(f"{fault.name} 0", verdict="pass", component="", kind="")
    notes.tell(f"{fault.name} 1", verdict="bug", component="onnxruntime", kind="value")
    notes.tell(f"{second.name} 1", verdict="inconclusive", component="", kind="")
    again = Notes(tmp_path / "notes")
    found = [outcome("ONNX artifacts", one, "onnxruntime", 2, again) for one in (fault, second)]
    assert [one.graphs for one in found] == [2, 0]
    assert found[1].missing() == "1 graphs that reach it show nothing, 1 of them inconclusive"
    assert Found("", fault).missing() == "no graph reaches it"
    lines = list(table(found, 2))
    assert "| ONNX artifacts | 2 | 1 (50%) | 2 | 1 | 1 (100%) |" in lines


def test_the_gravest_verdict_counts() -> None:
    def seen(verdict: str) -> Seen:
        return Seen("inference", "onnxruntime", "value", "", verdict, "", (), "", {})

    assert verdict_on([seen("inconclusive"), seen("bug")]) == ("bug", "onnxruntime", "value")
    assert verdict_on([seen("inconclusive")])[0] == "inconclusive"
    assert verdict_on([])[0] == "pass"
