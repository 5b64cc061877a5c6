"""Graphs of ten nodes judged a minute of CPU time, from growth to verdict, on one route.

One worker does what the workers of a campaign do with batches: grow, eager mode, conversion in packs, validation, every
variant of the runtime, judgement; quarantine and size of packs are learnt on the way. Findings are not minimized. The
first minutes, in which operators are probed and most is learnt, are not counted. Usage: ``python -m benchmarks.rate
[CONVERTER] [MINUTES]``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import Counter

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import msgspec

from benchmarks.routes import NODES, in_turn, subject_of
from fuzzer.converters.base import converters
from fuzzer.known import applies, shipped
from fuzzer.learning import Learnt
from fuzzer.runtimes.base import runtimes
from fuzzer.supervisor import Worker
from fuzzer.survival import judge_numbers
from fuzzer.tasks import BatchTask, TargetsResult, TargetsTask
from fuzzer.zygotes import Zygotes
from generators.choices import SeededChoices

SEED = 7
#: Minutes of learning before what is counted.
LEARNING = 3.0
#: Operators probed in one batch, one to a graph.
PROBED = 16


def rate(name: str, minutes: float) -> tuple[Counter[str], dict[str, float], list[float]]:
    """Cases by what came of them, CPU seconds by part, and those of the subjects by batch, over so many minutes."""
    subject = subject_of(name)
    converter = converters()[name]
    versions = dict(converter.availability().versions)
    for runtime, _ in subject.variants:
        versions |= runtimes()[runtime].availability().versions
    learnt = Learnt(sliceable=converter.sliceable)
    for entry in shipped():
        if entry.converter == name and applies(entry, versions):
            learnt.quarantine.guilty[entry.target] = entry.reason
    cases: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    batches: list[float] = []
    zygotes = Zygotes()
    worker = Worker(zygote=lambda: zygotes.for_worker(subject.frontend))
    started = time.monotonic()
    index = 0
    try:
        named = worker.call(TargetsTask(subject.frontend))
        assert isinstance(named, TargetsResult)
        learnt.targets = named.targets
        while time.monotonic() - started < 60 * (LEARNING + minutes):
            counted = time.monotonic() - started > 60 * LEARNING
            probed = learnt.to_probe(SeededChoices(SEED), PROBED)[0] if index % 2 and not counted else ()
            nodes = 1 if probed else NODES
            pack = learnt.pack(nodes, converter.pack, probing=bool(probed))
            asked = BatchTask(in_turn(subject, index), SEED, index, (), nodes, learnt.quarantine.avoid(), probed, pack)
            result = judge_numbers(
                worker,
                range(PROBED if probed else learnt.cases(pack, NODES)),
                lambda numbers, asked=asked: msgspec.structs.replace(asked, cases=numbers),  # type: ignore[misc]
                converter,
            )
            learnt.learn(result)
            index += 1
            if not counted:
                continue
            parts.update(result.parts)
            batches.append(result.parts.get("subjects", 0.0))
            for case in result.results:
                if case.number < 0:
                    continue
                refused = any(seen.kind not in ("value", "dtype", "shape", "nonfinite", "count") for seen in case.seen)
                cases[
                    "no case" if case.refused else "refused" if refused else "mismatch" if case.seen else "passed"
                ] += 1
            cases["conversions"] += result.conversions
    finally:
        worker.close()
        zygotes.close()
    return cases, dict(parts), batches


def main(arguments: list[str]) -> None:
    """Print the rate."""
    name = arguments[0] if arguments else "torch.onnx-torchscript"
    minutes = float(arguments[1]) if len(arguments) > 1 else 2.0
    cases, parts, batches = rate(name, minutes)
    total = sum(parts.values())
    judged = cases["passed"] + cases["mismatch"] + cases["refused"]
    print(f"{name}: {60 * judged / total:.0f} graphs of {NODES} nodes a minute of CPU time ({judged} in {total:.0f} s:")
    print(", ".join(f"{count} {what}" for what, count in sorted(cases.items())) + ").\n")
    print(
        f"{len(batches)} batches, of which the slowest took {max(batches):.1f} s in the subjects and a median one "
        f"{statistics.median(batches):.1f} s.\n"
    )
    print("| part | CPU ms a graph |")
    print("|---|---|")
    for part, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"| {part} | {1000 * seconds / judged:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
