"""What subjects refuse is learnt from whole cases, kept, and forgotten when versions change."""

from __future__ import annotations

import msgspec

from corpus.records import Quarantine as Entry
from fuzzer.known import applies, grouped, shipped
from fuzzer.quarantine import Quarantine

SIN, COS, TAN = "torch.sin(float16)", "torch.cos(float32)", "torch.tan(int8)"


def test_the_only_unproven_key_of_a_refused_case_is_guilty() -> None:
    learnt = Quarantine()
    learnt.refused([SIN, COS], "runtime: no kernel")
    assert learnt.deduce() == {}
    learnt.passed([COS, TAN])
    assert learnt.deduce() == {SIN: "runtime: no kernel"}
    assert learnt.avoid() == (SIN,)


def test_a_case_explained_by_a_guilty_key_accuses_no_other() -> None:
    learnt = Quarantine({SIN: "known"})
    learnt.refused([SIN, TAN], "runtime: no kernel")
    assert learnt.deduce() == {}
    learnt.refused([SIN, TAN], "runtime: no kernel")
    assert learnt.avoid() == (SIN,)


def test_a_refusal_that_names_an_operator_decides_at_once() -> None:
    learnt = Quarantine()
    learnt.refused(["torch.special.erf_cx(float32)", COS, TAN], "converter: aten::erf_cx")
    assert set(learnt.deduce()) == {"torch.special.erf_cx"}


def test_a_refusal_that_names_types_spares_the_others() -> None:
    learnt = Quarantine()
    learnt.refused([SIN, COS], "onnxruntime: Sin(float16)")
    assert set(learnt.deduce()) == {SIN}
    learnt.passed(["torch.sin(float32)"])
    learnt.refused(["torch.sin(int8)", COS], "converter: aten::sin")
    assert set(learnt.deduce()) == {"torch.sin(int8)"}


def test_a_key_refused_nearly_always_is_guilty_although_it_passed_once() -> None:
    learnt = Quarantine()
    learnt.passed([TAN])
    for _ in range(5):
        learnt.refused([TAN], "runtime: bad argument")
    assert set(learnt.deduce()) == {TAN}


def test_packs_follow_the_share_of_refused_cases() -> None:
    learnt = Quarantine()
    first = learnt.pack
    for _ in range(100):
        learnt.passed([COS])
    assert learnt.pack > 4 * first
    for _ in range(200):
        learnt.refused([TAN], "")
    assert learnt.pack == 1


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
