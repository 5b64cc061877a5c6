"""Real architectures with a fault in their conversion: what minimization reduces them to, in what time and memory.

Usage: ``python -m benchmarks.models [NAME …]``, names of architectures (``resnet50 mobilenet_v2 bert inception_v3``) or
of faults. Needs transformers. Each architecture is imported as ``convfuzz minimize`` does, converted by a real
converter with a fault (``benchmarks/faulty``), and minimized. Memory is the most that this process, the worker and the
importer hold together.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "faulty"), str(ROOT.parent), os.environ.get("PYTHONPATH", "")])
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(ROOT / "faulty")]

import psutil  # noqa: E402

from fuzzer.converters.base import converters  # noqa: E402
from fuzzer.importing import read_model  # noqa: E402
from fuzzer.planning import default_settings  # noqa: E402
from fuzzer.reduction import reduce  # noqa: E402
from fuzzer.supervisor import Limits, Worker  # noqa: E402
from fuzzer.survival import RemoteTester  # noqa: E402
from fuzzer.tasks import Subject  # noqa: E402
from generators.graph import Case, node_count  # noqa: E402
from generators.serial import dumps  # noqa: E402
from oracles.minimize import Budget  # noqa: E402
from oracles.outcome import Verdict  # noqa: E402

TORCH, TENSORFLOW = "faulty.torch.onnx-dynamo", "faulty.tf2onnx"
#: Architecture, converter, fault.
FAULTS = (
    ("resnet50", TORCH, "stem_pads"),
    ("resnet50", TORCH, "weight_rows"),
    ("resnet50", TORCH, "relu_lost"),
    ("mobilenet_v2", TORCH, "depthwise_pads"),
    ("mobilenet_v2", TORCH, "weight_rows"),
    ("bert", TORCH, "weight_element"),
    ("bert", TORCH, "epsilon"),
    ("inception_v3", TENSORFLOW, "pool_counts"),
)


@dataclass
class Peak:
    """Watches the resident memory of this process and all below it, in MiB, until it is stopped."""

    most: float = 0.0
    done: bool = False

    def watch(self) -> None:
        """Look five times a second; shared pages are counted once (USS)."""
        own = psutil.Process()
        while not self.done:
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_full_info().uss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.most = max(self.most, total / 2**20)
            time.sleep(0.2)


def imported(name: str, directory: Path) -> Case:
    """The architecture as a case."""
    if name == "inception_v3":
        from benchmarks.architectures import inception_v3

        return read_model(str(inception_v3(directory / "inception_v3.keras")), extents={}).case
    return read_model(f"benchmarks.architectures:{name}").case


def measured(name: str, converter: str, fault: str, case: Case) -> str:
    """A row of the table."""
    os.environ["CONVFUZZ_FAULT"] = fault
    subject = Subject(
        case.graph.frontend, converter, default_settings(converters()[converter]), (("onnxruntime", "unoptimized"),)
    )
    worker = Worker(Limits(900, 20_000, 20_000))
    tester = RemoteTester(worker, subject, converters()[converter])
    peak = Peak()
    watcher = threading.Thread(target=peak.watch)
    watcher.start()
    started = time.perf_counter()
    try:
        [trial] = tester.test([case])
        bugs = [seen for seen in trial.observations if seen.verdict is Verdict.BUG]
        if not bugs:
            others = ", ".join(f"{seen.verdict.value}: {seen.message[:120]}" for seen in trial.observations)
            others = others or ("passed" if trial.case else "refused, or judging was ended")
            return f"| {name} | {fault} | {node_count(case.graph)} | not seen ({others}) | | | | |"
        seen = time.perf_counter() - started
        result = reduce(case, bugs[0].signature, tester, budget=Budget(1800, 400))
    finally:
        worker.close()
        peak.done = True
        watcher.join()
    seconds = time.perf_counter() - started
    left = ", ".join(target.rpartition("aten.")[2] for target in result.case.graph.operators())
    return (
        f"| {name} | {fault} | {node_count(case.graph)} | {left} | {len(dumps(result.case)):,} | {tester.conversions} "
        f"| {seen:.0f} + {seconds - seen:.0f} | {peak.most:,.0f} |"
    )


def main(names: list[str]) -> None:
    """Print the table."""
    print("| architecture | fault | nodes | left | bytes | conversions | seconds to judge + minimize | MiB |")
    print("|---|---|---|---|---|---|---|---|")
    cases: dict[str, Case] = {}
    with TemporaryDirectory(prefix="convfuzz-") as directory:
        for name, converter, fault in FAULTS:
            if names and not {name, fault} & set(names):
                continue
            if name not in cases:
                cases = {name: imported(name, Path(directory))}
            print(measured(name, converter, fault, cases[name]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
