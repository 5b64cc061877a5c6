"""How many of the known faults a campaign finds within 500 graphs, and whether it blames the right component.

Usage: ``python -m benchmarks.sharpness [GRAPHS] [FAMILY …] [--seed N] [--notes FOLDER] [--evidence]``.

A campaign with default settings over one converter and ONNX Runtime is run for so many graphs, without any fault: it
learns, guides itself and draws options as campaigns do. Then, for each fault, its graphs are judged again in order with
the fault in, until one shows a bug that it does not show without.

Three things make that affordable, and none changes the answer:

* Graphs are grown once: a case is a pure function of the campaign's seed, its batch as it was issued, and its number.
  A fault does not change what is grown, except by what a campaign would learn from it.
* A graph is judged with a fault only if the function (or, for a fault of a runtime, a node of the type) that the fault
  is in was reached when it was judged without. What is not entered cannot tell the difference.
* Every graph is judged alone. In a campaign it shares a conversion first, and every mismatch is then confirmed alone.

Graphs that show a bug without any fault count as graphs and never as found. One that ends the process is left out.
``--notes`` keeps what was judged in a file, from which an interrupted run goes on. ``--evidence`` has experiments tell
who is to blame for what was found, about the graph that showed it, as a campaign does when it has minimized one; else
the component is that of the observation.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import json
import logging
import statistics
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.faults import FAMILIES, PARTS
from benchmarks.faults.evidence import blamed, rightly
from benchmarks.faults.injection import REACHED, Fault, SourceFault, recording
from corpus.records import IssuedBatch
from fuzzer.converters.base import converters
from fuzzer.known import applies, shipped
from fuzzer.learning import Learnt
from fuzzer.pipeline import Pipeline
from fuzzer.planning import Plan, subject_of, task_of
from fuzzer.routes import select
from fuzzer.supervisor import Worker
from fuzzer.survival import judge_numbers
from fuzzer.tasks import JudgeTask, Seen, TargetsResult, TargetsTask
from generators.random_graphs import Weights
from generators.serial import dumps
from oracles.blame import summary
from oracles.outcome import MISMATCH, Kind, Verdict

BUDGET = 500
SEED = 2027
NODES = 10
#: Seconds that a conversion takes, and each node of it, as far as the campaign's plan knows: the speed of the machine
#: must not decide how many graphs a batch has, and so how many of 500 probe.
_FIXED, _EACH = 0.1, 0.01

# -- the campaign without faults ---------------------------------------------------------------------------------------


def campaign(converter: str, graphs: int, seed: int) -> list[IssuedBatch]:
    """The batches of a campaign of so many graphs through that converter and ONNX Runtime, as they were issued; the
    last one is cut off."""
    chosen = converters()[converter]
    plan = Plan(seed, select([f"{chosen.source.value}:{converter}:onnxruntime"]), NODES, None)
    learnt = Learnt(sliceable=chosen.sliceable, frontend=chosen.source.value)
    for entry in shipped():
        if entry.converter == converter and applies(entry, plan.versions[converter]):
            learnt.quarantine.guilty[entry.target] = entry.reason
    worker = Worker()
    found: list[IssuedBatch] = []
    try:
        while (missing := graphs - sum(batch.cases for batch in found)) > 0:
            issued = plan.batch(len(found), learnt)
            result = judge_numbers(
                worker, range(issued.cases), lambda numbers, issued=issued: task_of(seed, issued, numbers), chosen
            )
            if not learnt.targets:
                named = worker.call(TargetsTask(issued.frontend, issued.harvest))
                assert isinstance(named, TargetsResult)
                learnt.targets, learnt.control = named.targets, named.control
            costs = tuple((nodes, _FIXED + _EACH * nodes) for nodes, _ in result.costs)
            learnt.quarantine.guilty |= learnt.learn(msgspec.structs.replace(result, costs=costs))
            found.append(msgspec.structs.replace(issued, cases=min(issued.cases, missing)))
            print(f"{converter}: {graphs - missing} graphs", file=sys.stderr, flush=True)
    finally:
        worker.close()
    return found


# -- judging, in a process of its own ----------------------------------------------------------------------------------


class Notes:
    """What has been judged, a JSON object a line; what a line announces and none tells of ended the process."""

    def __init__(self, path: Path) -> None:
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        self.told: dict[str, dict[str, Any]] = {line["key"]: line for line in lines if "verdict" in line}
        self.begun = {line["key"] for line in lines}
        self._file = path.open("a")

    def begin(self, key: str) -> None:
        """Say what is judged next."""
        self._write({"key": key})

    def tell(self, key: str, **found: Any) -> dict[str, Any]:
        """Say what came of it."""
        self.told[key] = {"key": key, **found}
        self._write(self.told[key])
        return self.told[key]

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def verdict_on(seen: Sequence[Seen]) -> tuple[str, str, str]:
    """The gravest verdict on a case (``bug``, ``inconclusive`` or ``pass``), and of a bug the component and kind."""
    bugs = [one for one in seen if one.verdict == Verdict.BUG.value]
    if bugs:
        return Verdict.BUG.value, bugs[0].component, bugs[0].kind
    if any(one.verdict == Verdict.INCONCLUSIVE.value for one in seen):
        return Verdict.INCONCLUSIVE.value, "", ""
    return Verdict.PASS.value, "", ""


def grown(batches: Sequence[IssuedBatch], seed: int) -> Iterator[tuple[IssuedBatch, int, bytes]]:
    """Each case of the batches, serialised (empty where nothing grew), with its number."""
    for issued in batches:
        pipeline = Pipeline(subject_of(issued), lambda step: None, lambda text: None, lambda: "")
        pipeline.frontend.mix_in(issued.harvest)
        weights = Weights.of(pipeline.frontend, only=issued.operators)
        task = task_of(seed, issued, tuple(range(issued.cases)))
        for number in task.cases:
            try:
                case = pipeline._grow(task, number, weights).case
            except ValueError:
                yield issued, number, b""
                continue
            yield issued, number, dumps(case)


def judge(issued: IssuedBatch, number: int, blob: bytes) -> list[Seen] | None:
    """What is seen of the case alone; None where eager mode refuses it."""
    pipeline = Pipeline(subject_of(issued), lambda step: None, lambda text: None, lambda: "")
    [result] = pipeline.judge(JudgeTask(subject_of(issued), ((number, blob),))).results
    return None if result.refused else list(result.seen)


def judge_all(batches: Sequence[IssuedBatch], faults: Sequence[Fault], seed: int, notes: Notes) -> None:
    """Judge every case, first without a fault and then with each that it reaches and that was not found before."""
    converters()[batches[0].converter].warm_up()
    functions = sorted({fault.function for fault in faults if isinstance(fault, SourceFault)})
    waiting = list(faults)
    for place, (issued, number, blob) in enumerate(grown(batches, seed)):
        key = f"clean {place}"
        if blob and key not in notes.begun:
            notes.begin(key)
            REACHED.clear()
            with recording(functions):
                seen = judge(issued, number, blob)
            verdict, component, kind = verdict_on(seen) if seen is not None else ("refused", "", "")
            notes.tell(key, verdict=verdict, component=component, kind=kind, reached=sorted(REACHED))
        clean = notes.told.get(key, {"verdict": "refused"})
        for fault in list(waiting) if clean["verdict"] not in ("bug", "refused") else ():
            if fault.reached in clean["reached"] and shows(fault, place, issued, number, blob, notes):
                waiting.remove(fault)
        if place % 50 == 49:
            print(f"{place + 1} graphs judged, {len(waiting)} faults not found yet", file=sys.stderr, flush=True)


def shows(fault: Fault, place: int, issued: IssuedBatch, number: int, blob: bytes, notes: Notes) -> bool:
    """Whether the case shows a bug, or ends the process, with the fault in."""
    key = f"{fault.name} {place}"
    if key not in notes.begun:
        notes.begin(key)
        with fault.active():
            seen = judge(issued, number, blob)
        verdict, component, kind = verdict_on(seen or ())
        notes.tell(key, verdict=verdict, component=component, kind=kind)
    return key not in notes.told or notes.told[key]["verdict"] == Verdict.BUG.value


def ask_all(batches: Sequence[IssuedBatch], faults: Sequence[Fault], seed: int, notes: Notes) -> None:
    """Blame for every fault that was found, by experiments about the graph that shows it."""
    shown = [(fault, outcome("", fault, "", sum(issued.cases for issued in batches), notes).graphs) for fault in faults]
    for place, (issued, number, blob) in enumerate(grown(batches, seed)):
        for fault in (fault for fault, graphs in shown if graphs == place + 1):
            key = f"evidence {fault.name}"
            if key in notes.begun:
                continue
            notes.begin(key)
            with fault.active():
                bug = next((one for one in judge(issued, number, blob) or () if one.verdict == Verdict.BUG.value), None)
                verdict = blamed(issued, blob, bug) if bug else None
            if verdict:
                notes.tell(key, verdict="blamed", component=verdict.component, kind=str(verdict.rule))
            print(f"{fault.name}: {summary(verdict) if verdict else 'not shown again'}", file=sys.stderr, flush=True)


# -- reporting ---------------------------------------------------------------------------------------------------------


@dataclass
class Found:
    """What became of a fault: after how many graphs it was found (0: not), what was blamed by the observation and by
    ``evidence`` (empty: nobody asked), and counts of the graphs that reached it, were judged with it, and were
    inconclusive with it."""

    family: str
    fault: Fault
    graphs: int = 0
    component: str = ""
    kind: str = ""
    reached: int = 0
    judged: int = 0
    inconclusive: int = 0
    expected: str = field(default="")
    evidence: str = ""

    @property
    def rightly(self) -> bool:
        """Whether the right component is blamed, by the evidence where there is some."""
        return rightly(self.evidence or self.component, {self.expected, PARTS.get(self.family, self.expected)})

    def missing(self) -> str:
        """Why it was not found, as far as that can be told."""
        if not self.reached:
            return "no graph reaches it"
        if not self.judged:
            return f"all of {self.reached} graphs that reach it are wrong without it"
        unsure = f", {self.inconclusive} of them inconclusive" if self.inconclusive else ""
        return f"{self.judged} graphs that reach it show nothing{unsure}"


def outcome(family: str, fault: Fault, expected: str, graphs: int, notes: Notes) -> Found:
    """What the notes tell of a fault."""
    evidence = notes.told.get(f"evidence {fault.name}", {}).get("component", "")
    found = Found(family, fault, expected=expected, evidence=evidence)
    for place in range(graphs):
        clean = notes.told.get(f"clean {place}", {})
        found.reached += fault.reached in clean.get("reached", ())
        key = f"{fault.name} {place}"
        if key not in notes.begun or found.graphs:
            continue
        found.judged += 1
        told = notes.told.get(key, {"verdict": "bug", "component": "?", "kind": Kind.SIGNAL.value})
        found.inconclusive += told["verdict"] == Verdict.INCONCLUSIVE.value
        if told["verdict"] == Verdict.BUG.value:
            found.graphs, found.component, found.kind = place + 1, told["component"], told["kind"]
    return found


def table(found: Sequence[Found], graphs: int) -> Iterator[str]:
    """The summary by family, each fault, and what was missed."""
    yield f"Faults found within {graphs} graphs of a campaign with default settings."
    yield ""
    yield "| family | faults | found | median graphs | as a wrong result | blamed rightly |"
    yield "|---|---|---|---|---|---|"
    families = dict.fromkeys(one.family for one in found)
    for name in [*families, "all"]:
        part = [one for one in found if name in (one.family, "all")]
        hits = [one for one in part if one.graphs]
        right = sum(one.rightly for one in hits)
        median = f"{statistics.median(one.graphs for one in hits):.0f}" if hits else ""
        wrong = sum(one.kind in {kind.value for kind in MISMATCH} for one in hits)
        share = f"{len(hits)} ({100 * len(hits) / len(part):.0f}%)"
        blamed = f"{right} ({100 * right / max(len(hits), 1):.0f}%)"
        yield f"| {name} | {len(part)} | {share} | {median} | {wrong} | {blamed} |"
    yield ""
    yield "| family | fault | graphs | found as | blamed |"
    yield "|---|---|---|---|---|"
    for one in found:
        graphs_text = str(one.graphs) if one.graphs else f"not found: {one.missing()}"
        told = one.evidence or one.component
        blamed = f"**{told}**" if told and not one.rightly else told
        yield f"| {one.family} | {one.fault.name} | {graphs_text} | {one.kind} | {blamed} |"


def measure(converter: str, graphs: int, seed: int, folder: Path, further: Sequence[str] = ()) -> Notes:
    """Run the campaign of a converter and judge its faults, in a process that is started again when it ends early."""
    issued, path = folder / f"{converter}.{seed}.batches", folder / f"{converter}.{seed}.notes"
    if not issued.exists():
        issued.write_bytes(msgspec.json.encode(campaign(converter, graphs, seed)))
    command = [sys.executable, "-m", "benchmarks.sharpness", "--judge", converter, "--seed", str(seed), *further]
    with (folder / f"{converter}.{seed}.errors").open("a") as errors:
        for _ in range(100):
            before = len(Notes(path).begun)
            if subprocess.run([*command, "--notes", str(folder)], check=False, stderr=errors).returncode == 0:
                return Notes(path)
            if len(Notes(path).begun) == before:
                break
    raise RuntimeError(f"judging {converter} does not get on; see {folder / f'{converter}.{seed}.errors'}")


def faults_of(converter: str, families: Sequence[str]) -> list[Fault]:
    """The faults of these families that a converter's route shows."""
    return [fault for name in families for fault in FAMILIES[name][2] if FAMILIES[name][0] == converter]


def main(given: Sequence[str] = ()) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharpness")
    parser.add_argument("graphs", nargs="?", type=int, default=BUDGET)
    parser.add_argument("families", nargs="*", default=[], help=", ".join(FAMILIES))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--report", action="store_true", help="only tell what the notes hold")
    parser.add_argument("--evidence", action="store_true", help="have experiments tell who is to blame")
    parser.add_argument("--judge", help=argparse.SUPPRESS)
    asked = parser.parse_args(list(given))
    if unknown := [name for name in asked.families if name not in FAMILIES]:
        parser.error(f"no family is called {unknown[0]!r}; there are {', '.join(FAMILIES)}")
    if asked.judge:
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        issued = msgspec.json.decode(
            (asked.notes / f"{asked.judge}.{asked.seed}.batches").read_bytes(), type=list[IssuedBatch]
        )
        notes = Notes(asked.notes / f"{asked.judge}.{asked.seed}.notes")
        faults = faults_of(asked.judge, list(FAMILIES))
        judge_all(issued, faults, asked.seed, notes)
        if asked.evidence:
            ask_all(issued, faults, asked.seed, notes)
        return
    chosen = asked.families or list(FAMILIES)
    if asked.report and not asked.notes:
        parser.error("--report needs --notes")
    with nullcontext(str(asked.notes)) if asked.notes else tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        notes_of = {
            converter: Notes(folder / f"{converter}.{asked.seed}.notes")
            if asked.report
            else measure(converter, asked.graphs, asked.seed, folder, ["--evidence"] if asked.evidence else [])
            for converter in dict.fromkeys(FAMILIES[family][0] for family in chosen)
        }
    found = [
        outcome(family, fault, FAMILIES[family][1], asked.graphs, notes_of[FAMILIES[family][0]])
        for family in chosen
        for fault in FAMILIES[family][2]
    ]
    print("\n".join(table(found, asked.graphs)))


if __name__ == "__main__":
    main(sys.argv[1:])
