"""What a campaign makes of what it has learnt: probes, neglected operators, sizes of batches."""

from __future__ import annotations

from collections import Counter

from fuzzer.learning import Learnt
from fuzzer.planning import Plan, task_of
from fuzzer.routes import select
from fuzzer.tasks import PROBE, SWARM, BatchResult, CaseResult, Seen
from generators.asking import askable, motifs_to_ask
from generators.choices import SeededChoices

TARGETS = tuple(f"torch.f{number:03}" for number in range(200))


def seen(stage: str, kind: str) -> Seen:
    return Seen(stage, "torch.onnx-dynamo", kind, "no", "bug", "no", (), "", {})


def judged(*targets: str, refusal: Seen | None = None) -> BatchResult:
    """One case of nodes with these targets, passed or refused."""
    nodes = tuple((target, f"{target}(float32)") for target in targets)
    case = CaseResult(
        0,
        (refusal,) if refusal else (),
        keys=tuple(node[1] for node in nodes),
        nodes=len(nodes),
        suspects=nodes if refusal else (),
        proven=() if refusal else tuple(pattern for node in nodes for pattern in node),
    )
    return BatchResult((case,))


def test_operators_are_probed_until_they_are_known() -> None:
    learnt = Learnt(targets=TARGETS[:5])
    learnt.learn(judged(TARGETS[0]))
    learnt.learn(judged(TARGETS[1], refusal=seen("node conversion", "exception")))
    first, new = learnt.to_probe(SeededChoices(3), 2)
    assert new
    second, new = learnt.to_probe(SeededChoices(3), 2)
    assert not new
    assert {*first, second[0]} == set(TARGETS[2:5])
    assert second[1] == first[0]
    asked = Counter(target for _ in range(20) for target in learnt.to_probe(SeededChoices(3), 2)[0])
    assert asked + Counter((*first, *second)) == Counter({target: 3 for target in TARGETS[2:5]})


def test_the_order_of_probes_is_drawn() -> None:
    orders = {Learnt(targets=TARGETS).to_probe(SeededChoices(seed), 200)[0] for seed in range(10)}
    assert len(orders) == 10
    assert all(set(order) == set(TARGETS) for order in orders)
    assert Learnt(targets=TARGETS).to_probe(SeededChoices(3), 200)[0] in orders


def test_probes_are_rare_where_little_is_refused_and_then_hold_several_calls() -> None:
    plan = Plan(11, select(["torch.onnx-torchscript"]), 10, None)
    strict, lax = Learnt(targets=TARGETS), Learnt(targets=TARGETS)
    for _ in range(100):
        strict.learn(judged(*TARGETS[:5], refusal=seen("node conversion", "exception")))
        lax.learn(judged(*TARGETS[:5]))
    for learnt, every, nodes in ((strict, 2, 1), (lax, 4, 3)):
        issued = [plan.batch(index, learnt) for index in range(16)]
        probes = [batch for batch in issued if batch.purpose == PROBE]
        assert [batch.index for batch in probes] == [*range(1, 16, every)]
        assert {batch.nodes for batch in probes} == {nodes}
    again = Learnt(targets=TARGETS[:20])
    again.quarantine.passed([], [], 1000)
    assert [plan.batch(index, again).nodes for index in (1, 5)] == [3, 1]


def test_what_a_probe_tells_says_nothing_of_what_is_drawn_from_all() -> None:
    learnt = Learnt()
    before = learnt.quarantine.refusal(10)
    for _ in range(20):
        learnt.learn(judged(*TARGETS[:1] * 3, refusal=seen("node conversion", "exception")))
    assert learnt.quarantine.refusal(10) == before


def test_what_was_drawn_little_is_preferred() -> None:
    learnt = Learnt(targets=TARGETS)
    for target in TARGETS[:100]:
        learnt.drawn[target] = 400
    chosen = [learnt.neglected(SeededChoices(1, index), 40) for index in range(30)]
    assert all(len(set(part)) == 40 for part in chosen)
    fresh = sum(target in TARGETS[100:] for part in chosen for target in part)
    assert fresh > 0.85 * 30 * 40
    assert learnt.neglected(SeededChoices(1), 200) == ()


def test_guilty_operators_are_neither_probed_nor_preferred() -> None:
    learnt = Learnt(targets=TARGETS)
    learnt.quarantine.guilty[TARGETS[7]] = "known"
    assert TARGETS[7] not in learnt.to_probe(SeededChoices(2), 200)[0]
    assert all(TARGETS[7] not in learnt.neglected(SeededChoices(2, index), 150) for index in range(10))


def test_refusals_behind_the_conversion_do_not_shrink_packs_that_are_cut() -> None:
    whole, cut = Learnt(), Learnt(sliceable=True)
    for learnt in (whole, cut):
        for _ in range(300):
            learnt.learn(judged(*TARGETS[:3], refusal=seen("validate", "invalid")))
    assert cut.quarantine.refusal(10) < 0.05 < whole.quarantine.refusal(10)


def test_batches_are_short_while_much_is_refused_and_long_when_conversions_are_cheap() -> None:
    learnt = Learnt()
    for _ in range(20):
        learnt.costs.observe(10, 0.01)
    assert learnt.cases(1, 10) == 16
    for _ in range(100):
        learnt.quarantine.passed([], [], 10)
    assert learnt.cases(1, 10) == 128
    assert learnt.cases(32, 10) % 32 == 0


def test_a_batch_says_all_that_its_cases_depend_on() -> None:
    plan = Plan(11, select(["torch.onnx-torchscript"]), 10, None)
    learnt = Learnt(targets=TARGETS)
    learnt.quarantine.guilty["torch.sin(float16)"] = "known"
    issued = [plan.batch(index, learnt) for index in range(8)]
    assert all(batch.avoid == ("torch.sin(float16)",) for batch in issued)
    assert {batch.nodes for batch in issued if len(batch.operators) == 16} == {3}
    assert {batch.purpose for batch in issued if len(batch.operators) == 64} == {SWARM}
    assert {batch.purpose for batch in issued if not batch.operators} == {""}
    for batch in issued:
        task = task_of(11, batch, (0,))
        assert (task.nodes, task.avoid, task.operators, task.pack, task.purpose) == (
            batch.nodes,
            batch.avoid,
            batch.operators,
            batch.pack,
            batch.purpose,
        )


def test_quarantine_and_guidance_can_be_turned_off() -> None:
    plan = Plan(11, select(["torch.onnx-torchscript"]), 10, None, quarantine=False, guidance=False)
    learnt = Learnt(targets=TARGETS)
    learnt.quarantine.guilty["torch.sin"] = "known"
    assert all(not batch.avoid and not batch.operators for batch in (plan.batch(i, learnt) for i in range(8)))


def test_motifs_that_a_converter_had_least_are_asked_for() -> None:
    names = askable("torch")
    learnt = Learnt(frontend="torch")
    learnt.together.structures.update(names)
    learnt.structures.update(dict.fromkeys(names, 400))
    rare = ["motif conv, norm, activation", "motif limits in a row"]
    for name in rare:
        learnt.structures[name] = 0
    asked = Counter(name for seed in range(200) for name in learnt.unmet_structures(SeededChoices(seed), 16))
    assert set(asked) == set(motifs_to_ask("torch"))
    assert sorted(asked, key=lambda name: -asked[name])[:2] == sorted(rare, key=lambda name: -asked[name])
    assert asked[rare[0]] > 150
    new = next(name for name in names if not name.startswith("motif"))
    del learnt.together.structures[new]
    assert all(new in learnt.unmet_structures(SeededChoices(seed), 16) for seed in range(20))
