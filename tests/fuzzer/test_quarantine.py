"""What subjects refuse is learnt from whole cases, kept, and forgotten when versions change."""

from __future__ import annotations

import msgspec

from corpus.records import Quarantine as Entry
from fuzzer.known import applies, grouped, shipped
from fuzzer.quarantine import Candidates, Quarantine

SIN, COS, TAN = "torch.sin(float16)", "torch.cos(float32)", "torch.tan(int8)"


def node(key: str, *conditions: str) -> Candidates:
    """The candidates of a node, as of a graph."""
    target = key.partition("(")[0]
    return (target, key, *(target + text for text in conditions), *(key + text for text in conditions))


def passed(learnt: Quarantine, *nodes: Candidates) -> None:
    learnt.passed([item[1] for item in nodes], [pattern for item in nodes for pattern in item], len(nodes))


def test_the_only_unproven_node_of_a_refused_case_is_guilty() -> None:
    learnt = Quarantine()
    learnt.refused([node(SIN), node(COS)], "runtime: NoKernel")
    assert learnt.deduce() == {}
    passed(learnt, node(COS), node(TAN))
    assert learnt.deduce() == {"torch.sin": "runtime: NoKernel"}
    assert learnt.avoid() == ("torch.sin",)


def test_an_operator_that_passed_with_other_types_is_guilty_with_these_only() -> None:
    learnt = Quarantine()
    passed(learnt, node(COS), node("torch.sin(float32)"))
    for _ in range(2):
        learnt.refused([node(SIN), node(COS)], "runtime: no kernel for this")
        assert learnt.deduce() == {}
    learnt.refused([node(SIN), node(COS)], "runtime: no kernel for this")
    assert set(learnt.deduce()) == {SIN}


def test_a_condition_that_two_refused_cases_share_is_guilty_when_the_types_passed() -> None:
    learnt = Quarantine()
    passed(learnt, node(SIN, '{"dim": "number zero"}', '{"rank 0": 2}'), node(COS))
    learnt.refused([node(SIN, '{"dim": "number negative"}', '{"rank 0": 3}'), node(COS)], "runtime: no")
    assert learnt.deduce() == {}
    learnt.refused([node(SIN, '{"dim": "number negative"}', '{"rank 0": 4}')], "runtime: no")
    assert set(learnt.deduce()) == {'torch.sin{"dim": "number negative"}'}


def test_a_case_explained_by_a_guilty_pattern_accuses_no_other() -> None:
    learnt = Quarantine({SIN: "known"})
    for _ in range(2):
        learnt.refused([node(SIN), node(TAN)], "runtime: no kernel")
        assert learnt.deduce() == {}
    assert learnt.avoid() == (SIN,)


def test_a_refusal_that_names_an_operator_decides_at_once() -> None:
    learnt = Quarantine()
    learnt.refused([node("torch.special.erf_cx(float32)"), node(COS), node(TAN)], "converter: aten::erf_cx")
    assert set(learnt.deduce()) == {"torch.special.erf_cx"}


def test_a_common_word_in_a_message_names_no_operator() -> None:
    learnt = Quarantine()
    learnt.refused([node("torch.add(float32)"), node(COS)], "runtime: ScatterElements: cannot add to a scalar")
    assert learnt.deduce() == {}


def test_a_refusal_that_names_types_spares_the_others() -> None:
    learnt = Quarantine()
    learnt.refused([node(SIN), node(COS)], "onnxruntime: Sin(float16)")
    assert set(learnt.deduce()) == {SIN}
    passed(learnt, node("torch.sin(float32)"))
    learnt.refused([node("torch.sin(int8)"), node(COS)], "converter: aten::sin")
    assert set(learnt.deduce()) == {"torch.sin(int8)"}


def test_of_a_list_of_refused_operators_each_is_guilty() -> None:
    learnt = Quarantine()
    passed(learnt, node("torch.sin(float32)"))
    learnt.refused([node(SIN), node(COS), node(TAN)], "tflite: tf.Sin(f16), tf.Tan(i8)")
    assert set(learnt.deduce()) == {SIN, TAN}


def test_a_key_refused_nearly_always_is_guilty_although_it_passed_once() -> None:
    learnt = Quarantine()
    passed(learnt, node(TAN))
    for _ in range(5):
        learnt.refused([node(TAN)], "runtime: bad value")
    assert set(learnt.deduce()) == {TAN}


def test_the_expected_share_of_refusals_follows_what_happens() -> None:
    learnt = Quarantine()
    first = learnt.refusal(10)
    assert learnt.refusal(1) < first < learnt.refusal(100) <= 1
    for _ in range(100):
        passed(learnt, *[node(COS)] * 10)
    assert learnt.refusal(10) < first / 4
    for _ in range(300):
        learnt.refused([node(TAN)], "")
    assert learnt.refusal(10) > 0.99


def test_entries_survive_the_file_and_count_for_their_versions_only() -> None:
    entry = Entry("tflite", SIN, "tflite: tf.Sin(f16)", versions={"tensorflow": "1.2"})
    [group] = msgspec.json.decode(grouped([entry]))
    assert group == {
        "converter": "tflite",
        "versions": {"tensorflow": "1.2"},
        "refused": {"tflite: tf.Sin(f16)": [SIN]},
    }
    assert applies(entry, {"tensorflow": "1.2", "numpy": "2.0"})
    assert not applies(entry, {"tensorflow": "1.3"})
    assert not applies(entry, {})


def test_what_is_shipped_is_well_formed() -> None:
    for entry in shipped():
        assert entry.versions
        assert entry.target
