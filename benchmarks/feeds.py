"""What further feeds cost and what they show: the same graphs on a route with their first feeds only, and with those of
several kinds, batch by batch in turns.

Quarantine and the size of packs are learnt from the former and used for both. Nothing is minimized: what is counted are
graphs and the signatures that they show. Usage: ``python -m benchmarks.feeds [CONVERTER] [MINUTES] [SHARE]``, the last
that of the graphs with feeds of several kinds.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import msgspec

from benchmarks.routes import NODES, subject_of
from fuzzer.converters.base import converters
from fuzzer.known import applies, shipped
from fuzzer.learning import Learnt
from fuzzer.runtimes.base import runtimes
from fuzzer.supervisor import Worker
from fuzzer.survival import judge_numbers
from fuzzer.tasks import BatchTask, CaseResult, TargetsResult, TargetsTask
from fuzzer.zygotes import Zygotes
from generators.feeding import SHARE
from oracles.outcome import MISMATCH, Verdict

SEED = 11
#: Batches of learning, which are not counted.
LEARNING = 4


def bugs_of(case: CaseResult) -> frozenset[tuple[str, str, str]]:
    """Stage, component and kind of each mismatch that is a bug."""
    return frozenset(
        (seen.stage, seen.component, seen.kind)
        for seen in case.seen
        if seen.verdict == Verdict.BUG and seen.kind in MISMATCH
    )


def compare(
    name: str, minutes: float, several: float
) -> tuple[dict[float, Counter[str]], dict[float, Counter[str]], Counter[str], list[str]]:
    """A share ``several`` of the graphs against none of them with feeds of several kinds: CPU seconds by
    part and outcomes of graphs, each by share; what of the mismatches was seen by which; and the messages of those that
    only further feeds showed."""
    shares = (0.0, several)
    subject = subject_of(name)
    converter = converters()[name]
    versions = dict(converter.availability().versions)
    for runtime, _ in subject.variants:
        versions |= runtimes()[runtime].availability().versions
    learnt = Learnt(sliceable=converter.sliceable)
    for entry in shipped():
        if entry.converter == name and applies(entry, versions):
            learnt.quarantine.guilty[entry.target] = entry.reason
    parts: dict[float, Counter[str]] = {share: Counter() for share in shares}
    outcomes: dict[float, Counter[str]] = {share: Counter() for share in shares}
    both: Counter[str] = Counter()
    only: list[str] = []
    zygotes = Zygotes()
    worker = Worker(zygote=lambda: zygotes.for_worker(subject.frontend))
    started = time.monotonic()
    index = 0
    try:
        named = worker.call(TargetsTask(subject.frontend))
        assert isinstance(named, TargetsResult)
        learnt.targets = named.targets
        while index < LEARNING or time.monotonic() - started < 60 * minutes:
            pack = learnt.pack(NODES, converter.pack, probing=False)
            numbers = range(learnt.cases(pack, NODES))
            asked = BatchTask(subject, SEED, index, (), NODES, learnt.quarantine.avoid(), (), pack)
            found: dict[float, dict[int, CaseResult]] = {}
            # Each goes first every other time: what is warm then is so for the other.
            for share in shares if index % 2 else shares[::-1]:
                task = msgspec.structs.replace(asked, fed=share)
                result = judge_numbers(
                    worker,
                    numbers,
                    lambda numbers, task=task: msgspec.structs.replace(task, cases=numbers),  # type: ignore[misc]
                    converter,
                )
                found[share] = {case.number: case for case in result.results if case.number >= 0}
                if share == shares[0]:
                    learnt.learn(result)
                if index < LEARNING:
                    continue
                parts[share].update(result.parts)
                outcomes[share]["conversions"] += result.conversions
                for case in found[share].values():
                    outcomes[share]["no case" if case.refused else "graphs"] += 1
                    verdicts = {seen.verdict for seen in case.seen if seen.kind in MISMATCH}
                    outcomes[share]["mismatches"] += Verdict.BUG in verdicts
                    outcomes[share]["inconclusive"] += verdicts == {Verdict.INCONCLUSIVE}
            index += 1
            if index <= LEARNING:
                continue
            for number, case in found[shares[1]].items():
                first = found[shares[0]].get(number)
                if first is None or first.refused or case.refused:
                    continue
                before, after = bugs_of(first), bugs_of(case)
                both["by both"] += len(before & after)
                both["with first feeds only"] += len(before - after)
                both["with further feeds only"] += len(after - before)
                both["graphs that only further feeds accuse"] += bool(after) and not before
                only += [
                    f"batch {index - 1} graph {number}: {seen.stage} {seen.component}: {seen.message}"
                    for seen in case.seen
                    if (seen.stage, seen.component, seen.kind) in after - before
                ]
    finally:
        worker.close()
        zygotes.close()
    return parts, outcomes, both, only


def main(arguments: list[str]) -> None:
    """Print the comparison."""
    name = arguments[0] if arguments else "torch.onnx-dynamo"
    minutes = float(arguments[1]) if len(arguments) > 1 else 4.0
    several = float(arguments[2]) if len(arguments) > 2 else SHARE
    shares = (0.0, several)
    parts, outcomes, both, only = compare(name, minutes, several)
    per = {share: 1000 / max(outcomes[share]["graphs"], 1) for share in shares}
    print(f"{name}: graphs of {NODES} nodes, the same with their first feeds and with a share {several} on several.\n")
    print("| CPU ms a graph | first feeds | several |")
    print("|---|---|---|")
    totals = [sum(parts[share].values()) * per[share] for share in shares]
    for part in sorted(parts[shares[0]], key=lambda part: -parts[shares[0]][part]):
        print(f"| {part} | " + " | ".join(f"{parts[share][part] * per[share]:.2f}" for share in shares) + " |")
    print(f"| all | {totals[0]:.2f} | {totals[1]:.2f} ({100 * (totals[1] / totals[0] - 1):+.1f}%) |\n")
    for share in shares:
        print(f"Share {share}: " + ", ".join(f"{count} {what}" for what, count in outcomes[share].items()) + ".")
    print("Bugs in values seen " + ", ".join(f"{what}: {count}" for what, count in both.items()) + ".\n")
    for line in only:
        print("- " + line.replace("\n", " ")[:300])


if __name__ == "__main__":
    main(sys.argv[1:])
