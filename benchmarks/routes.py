"""CPU time of a graph through each converter and its runtimes, against a loop that anyone would write.

The baseline calls the converter's public function, then the runtime once with its defaults, graph by graph, and
compares nothing. Ours is what a campaign does with a pack of the very same graphs: printing, eager mode, conversion,
validation, the variants of every runtime (those that are occasional each in its turn), judgement. The graphs are
random ones of ten nodes that the converter takes. Baseline and ours take turns in one process, with garbage collection
as Python has it and as workers have it. Usage: ``python -m benchmarks.routes [GRAPHS] [CONVERTER …] [--common]``; with
``--common`` graphs are made of operators that nearly all models have (``fuzzer/upstream/common.toml``).

Subjects crash: graphs are collected by a process that is started again after the graph that ended it, and judged there
in a worker; each converter is measured in a process of its own. What they say on standard error is kept out of the
table, in a file that is named when a process dies.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gc
import io
import json
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fuzzer.converters.base import converters
from fuzzer.known import applies, shipped
from fuzzer.pipeline import Pipeline
from fuzzer.planning import default_settings, variants_of_turn
from fuzzer.routes import select
from fuzzer.runtimes.base import runtimes
from fuzzer.supervisor import Worker, WorkerDied
from fuzzer.tasks import BatchResult, JudgeTask, Subject
from fuzzer.upstream.severity import is_common
from fuzzer.worker import Collector
from generators.choices import SeededChoices
from generators.frontends.base import LoadedModel, frontend
from generators.graph import Array, Case, DType
from generators.patterns import Avoided
from generators.random_graphs import Weights, grow
from generators.serial import dumps, loads

NODES = 10
COMMON = "--common"
PACKS = (1, 4, 8, 16, 32)
#: Give up on a converter after this many graphs tried for each one wanted.
TRIES = 20


def subject_of(name: str) -> Subject:
    """The converter with its default settings and every variant of the runtimes of its format."""
    variants = tuple(
        (route.runtime, variant) for route in select([name]) for variant in runtimes()[route.runtime].variants
    )
    converter = converters()[name]
    return Subject(converter.source.value, name, default_settings(converter), variants)


def in_turn(subject: Subject, turn: int) -> Subject:
    """The subject with the variants that a campaign's batch has: of occasional ones those whose turn it is."""
    return msgspec.structs.replace(subject, variants=variants_of_turn(subject.variants, turn))


# -- the loop that anyone would write ----------------------------------------------------------------------------------


def torch_dynamo(model: LoadedModel, feeds: Sequence[Array]) -> list[Any]:
    """torch.onnx.export and ONNX Runtime."""
    import torch

    program = torch.onnx.export(model.native, model.arguments, dynamo=True, verbose=False)
    return run_onnx(program.model_proto.SerializeToString(), feeds)


def torchscript(model: LoadedModel, feeds: Sequence[Array]) -> list[Any]:
    """The older exporter and ONNX Runtime."""
    import torch

    file = io.BytesIO()
    names = [f"input_{index}" for index in range(len(feeds))]
    torch.onnx.export(model.native, model.arguments, file, dynamo=False, input_names=names, opset_version=20)
    return run_onnx(file.getvalue(), feeds)


def tf2onnx(model: LoadedModel, feeds: Sequence[Array]) -> list[Any]:
    """tf2onnx.convert.from_function and ONNX Runtime."""
    import tensorflow as tf
    import tf2onnx

    function, signature = traced(tf, model)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature)
    return run_onnx(proto.SerializeToString(), feeds)


def tflite(model: LoadedModel, feeds: Sequence[Array]) -> list[Any]:
    """TFLiteConverter and LiteRT."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    function, _ = traced(tf, model)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model.native)
    interpreter = Interpreter(model_content=converter.convert(), num_threads=1)
    runner = interpreter.get_signature_runner()
    wanted = runner.get_input_details()
    return list(runner(**{name: feeds[int(name.removeprefix("input_"))] for name in wanted}).values())


def traced(tf: Any, model: LoadedModel) -> tuple[Any, list[Any]]:
    """The model as a function with a signature."""
    signature = [
        tf.TensorSpec(value.shape, value.dtype, name=f"input_{index}") for index, value in enumerate(model.arguments)
    ]
    return tf.function(model.native.__call__, input_signature=signature, autograph=False), signature


def run_onnx(data: bytes, feeds: Sequence[Array]) -> list[Any]:
    """Outputs from ONNX Runtime as it comes, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    # Exporters drop unused inputs and may rename the others; they keep the order.
    names = [value.name for value in session.get_inputs()]
    given = feeds if len(names) == len(feeds) else [feeds[int(name.rpartition("_")[2])] for name in names]
    outputs: list[Any] = session.run(None, dict(zip(names, given, strict=True)))
    return outputs


LOOPS: dict[str, Callable[[LoadedModel, Sequence[Array]], list[Any]]] = {
    "torch.onnx-dynamo": torch_dynamo,
    "torch.onnx-torchscript": torchscript,
    "tflite": tflite,
    "tf2onnx": tf2onnx,
}


# -- collecting graphs -------------------------------------------------------------------------------------------------


def plain(case: Case) -> bool:
    """Whether the public interfaces of all packages can feed and return the case's values without help."""
    types = case.graph.types()
    names = {types[name].dtype for name in (*case.feeds, *case.graph.outputs)}
    asked = {argument.name for node in case.graph.nodes for argument in node.args if isinstance(argument, DType)}
    return not any(name.startswith(("bfloat", "complex", "float8")) for name in names | asked)


def collect(name: str, count: int, folder: Path, *, common: bool = False) -> None:
    """Write random graphs that go through the loop and through ours without a complaint to ``folder``, one a file named
    by its seed, until there are ``count``; of ``common`` operators alone, if asked for. The file ``seed`` holds the
    seed at work, and is where to go on from."""
    subject = subject_of(name)
    chosen = frontend(subject.frontend)
    versions = dict(converters()[name].availability().versions)
    for runtime, _ in subject.variants:
        versions |= runtimes()[runtime].availability().versions
    avoid = Avoided(entry.target for entry in shipped() if entry.converter == name and applies(entry, versions))
    usual = [target for target in chosen.registry().targets() if is_common(target)]
    weights = Weights.of(chosen, only=usual if common else ())
    converters()[name].warm_up()
    worker = Worker()
    state = folder / "seed"
    seed = int(state.read_text()) if state.exists() else 0
    try:
        while len(list(folder.glob("*.case"))) < count and seed < TRIES * count:
            seed += 1
            state.write_text(str(seed))
            case = grow(chosen, SeededChoices(23, seed), nodes=NODES, weights=weights, avoid=avoid).case
            if len(case.graph.nodes) < NODES or not plain(case):
                continue
            blob = dumps(case)
            try:
                judged = worker.call(JudgeTask(subject, ((0, blob),)))
            except WorkerDied as death:
                print(f"left out graph {seed}: {death}", file=sys.stderr)
                continue
            assert isinstance(judged, BatchResult)
            [result, *others] = judged.results
            if others or result.seen or result.refused:
                continue
            try:
                LOOPS[name](chosen.load(case), feeds_of(case))
            except Exception as error:  # noqa: BLE001  (the public path has limits of its own)
                print(f"left out graph {seed}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
                continue
            (folder / f"{seed}.case").write_bytes(blob)
    finally:
        worker.close()


# -- measuring ---------------------------------------------------------------------------------------------------------


def judged_in_packs(subject: Subject, blobs: Sequence[bytes], pack: int) -> tuple[float, int]:
    """CPU seconds for judging the cases in packs, with what a worker does after each, and how many conversions that
    took: a pack that fails although its graphs pass alone is converted again in parts."""
    gc.collect()
    gc.freeze()
    collector = Collector()
    started = time.process_time()
    conversions = 0
    for turn, start in enumerate(range(0, len(blobs), pack)):
        current = in_turn(subject, turn)
        pipeline = Pipeline(current, lambda step: None, lambda text: None, lambda: "")
        conversions += pipeline.judge(JudgeTask(current, tuple(enumerate(blobs[start : start + pack])))).conversions
        collector.collect()
    return time.process_time() - started, conversions


def looped(name: str, cases: Sequence[tuple[Case, LoadedModel]], threshold: tuple[int, int, int]) -> float:
    """CPU seconds of the loop that anyone would write."""
    gc.unfreeze()
    gc.set_threshold(*threshold)
    gc.collect()
    started = time.process_time()
    for case, model in cases:
        LOOPS[name](model, feeds_of(case))
    return time.process_time() - started


def measure(name: str, folder: Path) -> dict[str, float]:
    """CPU seconds a graph in the loop (under ``loop``) and in packs of each size (under the size), and conversions a
    graph (under ``conversions`` and the size)."""
    subject = subject_of(name)
    chosen = frontend(subject.frontend)
    converters()[name].warm_up()
    for runtime, _ in subject.variants:
        runtimes()[runtime].warm_up()
    threshold = gc.get_threshold()
    blobs = [file.read_bytes() for file in sorted(folder.glob("*.case"), key=lambda file: int(file.stem))]
    cases = [(case, chosen.load(case)) for case in map(loads, blobs)]
    # What is made once in a process (imports, registries, kernels) is nobody's.
    looped(name, cases, threshold)
    judged_in_packs(subject, blobs, PACKS[1])
    totals = dict.fromkeys(["loop", *map(str, PACKS), *(f"conversions {pack}" for pack in PACKS)], 0.0)
    half = len(cases) // 2
    for part in (slice(0, half), slice(half, None)):
        totals["loop"] += looped(name, cases[part], threshold)
        for pack in PACKS:
            seconds, conversions = judged_in_packs(subject, blobs[part], pack)
            totals[str(pack)] += seconds
            totals[f"conversions {pack}"] += conversions
    return {what: total / len(cases) for what, total in totals.items()}


def feeds_of(case: Case) -> list[Array]:
    """The feeds in the order of the inputs."""
    return [case.feeds[value.name] for value in case.graph.inputs]


# -- processes ---------------------------------------------------------------------------------------------------------


def child(step: str, name: str, count: int, folder: Path, log: Path) -> int:
    """The exit status of one step for one converter in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.routes", "--step", step, name, str(count), str(folder)]
    command += [COMMON] if COMMON in sys.argv else []
    with open(log, "ab") as errors:
        return subprocess.run(command, stdout=errors, stderr=errors, check=False).returncode


def row(name: str, count: int, folder: Path) -> str:
    """A table row for one converter. The folder is removed unless something went wrong, for the sake of the log."""
    log = folder / "stderr.txt"
    seed = ""
    while (status := child("collect", name, count, folder, log)) != 0:
        before, seed = seed, (folder / "seed").read_text() if (folder / "seed").exists() else ""
        if status > 0 or seed == before:
            return f"| {name} | collecting graphs failed (status {status}), see {log} |" + " |" * len(PACKS)
    found = len(list(folder.glob("*.case")))
    status = child("measure", name, count, folder, log)
    if status != 0:
        return f"| {name} | the process ended with status {status}, see {log} |" + " |" * len(PACKS)
    seconds = json.loads((folder / "seconds.json").read_text())
    loop = seconds["loop"]
    shutil.rmtree(folder)
    cells = [
        f"{1000 * seconds[str(pack)]:.1f} ms ({loop / seconds[str(pack)]:.1f}×, {seconds[f'conversions {pack}']:.2f})"
        for pack in PACKS
    ]
    return f"| {name} ({found}) | {1000 * loop:.1f} ms | {' | '.join(cells)} |"


def main(graphs: int, names: Sequence[str] = ()) -> None:
    """Print the table."""
    print(
        f"CPU time a graph of {NODES} nodes through converter and runtimes. In brackets the number of graphs; how many"
    )
    print("times faster than the loop, and conversions a graph: more than one for each pack where packs were split.\n")
    print("| converter | baseline: a plain loop | " + " | ".join(f"ours, {pack} in a pack" for pack in PACKS) + " |")
    print("|---|---|" + "---|" * len(PACKS), flush=True)
    for name in names or LOOPS:
        print(row(name, graphs, Path(tempfile.mkdtemp(prefix=f"routes-{name}-"))), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        step, name, count, folder, *further = sys.argv[2:]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if step == "collect":
                collect(name, int(count), Path(folder), common=COMMON in further)
            else:
                (Path(folder) / "seconds.json").write_text(json.dumps(measure(name, Path(folder))))
    else:
        given = [word for word in sys.argv[1:] if word != COMMON]
        main(int(given[0]) if given else 64, given[1:])
