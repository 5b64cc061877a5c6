"""Graphs per second of CPU time through each route, against a loop that anyone would write.

The baseline calls the converter's public function, then the runtime once with its defaults, graph by graph, and
compares nothing. Ours is what a campaign does with a pack of the very same graphs: printing, eager mode, conversion,
validation, every variant of every runtime, judgement. The graphs are random ones of ten nodes that the converter takes.
Baseline and ours take turns in one process. Usage: ``python -m benchmarks.routes [GRAPHS] [CONVERTER …]``.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from fuzzer.converters.base import converters
from fuzzer.known import applies, shipped
from fuzzer.pipeline import Pipeline
from fuzzer.planning import default_settings
from fuzzer.routes import select
from fuzzer.runtimes.base import runtimes
from fuzzer.tasks import JudgeTask, Subject
from generators.choices import SeededChoices
from generators.frontends.base import Frontend, LoadedModel, frontend
from generators.graph import Array, Case, DType
from generators.random_graphs import Weights, grow
from generators.serial import dumps

NODES = 10
PACKS = (1, 4, 8, 16, 32)


def subject_of(name: str) -> Subject:
    """The converter with its default settings and every variant of the runtimes of its format."""
    variants = tuple(
        (route.runtime, variant) for route in select([name]) for variant in runtimes()[route.runtime].variants
    )
    converter = converters()[name]
    return Subject(converter.source.value, name, default_settings(converter), variants)


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


# -- ours --------------------------------------------------------------------------------------------------------------


def judged(pipeline: Callable[[], Pipeline], subject: Subject, blobs: Sequence[bytes], pack: int) -> tuple[float, int]:
    """CPU seconds for judging the cases in packs, and how many conversions that took."""
    started = time.process_time()
    conversions = 0
    for start in range(0, len(blobs), pack):
        task = JudgeTask(subject, tuple(enumerate(blobs[start : start + pack])))
        conversions += pipeline().judge(task).conversions
    return time.process_time() - started, conversions


def plain(case: Case) -> bool:
    """Whether the public interfaces of all packages can feed and return the case's values without help."""
    types = case.graph.types()
    names = {types[name].dtype for name in (*case.feeds, *case.graph.outputs)}
    asked = {argument.name for node in case.graph.nodes for argument in node.args if isinstance(argument, DType)}
    return not any(name.startswith(("bfloat", "complex", "float8")) for name in names | asked)


def fitting(
    chosen: Frontend, subject: Subject, pipeline: Callable[[], Pipeline], count: int
) -> list[tuple[Case, LoadedModel]]:
    """Random graphs that go through the loop and through ours without a complaint."""
    avoid = frozenset(
        entry.target
        for entry in shipped()
        if entry.converter == subject.converter
        and applies(entry, converters()[subject.converter].availability().versions | _versions(subject))
    )
    weights = Weights.of(chosen)
    found: list[tuple[Case, LoadedModel]] = []
    seed = 0
    while len(found) < count:
        seed += 1
        case = grow(chosen, SeededChoices(23, seed), nodes=NODES, weights=weights, avoid=avoid).case
        if len(case.graph.nodes) < NODES or not plain(case):
            continue
        [result, *others] = pipeline().judge(JudgeTask(subject, ((0, dumps(case)),))).results
        if others or result.seen or result.refused:
            continue
        model = chosen.load(case)
        try:
            LOOPS[subject.converter](model, [case.feeds[value.name] for value in case.graph.inputs])
        except Exception as error:  # noqa: BLE001  (the public path has limits of its own)
            print(f"  left out: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
            continue
        found.append((case, model))
    return found


def _versions(subject: Subject) -> dict[str, str]:
    return {
        name: version
        for runtime, _ in subject.variants
        for name, version in runtimes()[runtime].availability().versions.items()
    }


def measure(name: str, graphs: int) -> str:
    """A table row for one converter."""
    subject = subject_of(name)
    chosen = frontend(subject.frontend)
    converters()[name].warm_up()
    for runtime, _ in subject.variants:
        runtimes()[runtime].warm_up()

    def pipeline() -> Pipeline:
        return Pipeline(subject, lambda step: None, lambda text: None, lambda: "")

    cases = fitting(chosen, subject, pipeline, graphs)
    blobs = [dumps(case) for case, _ in cases]
    ours: dict[int, float] = dict.fromkeys(PACKS, 0.0)
    conversions: dict[int, int] = dict.fromkeys(PACKS, 0)
    baseline = 0.0
    half = len(cases) // 2
    for part in (slice(0, half), slice(half, None)):
        started = time.process_time()
        for case, model in cases[part]:
            LOOPS[name](model, [case.feeds[value.name] for value in case.graph.inputs])
        baseline += time.process_time() - started
        for pack in PACKS:
            seconds, converted = judged(pipeline, subject, blobs[part], pack)
            ours[pack] += seconds
            conversions[pack] += converted
    cells = [f"{1000 * ours[pack] / len(cases):.1f} ms ({baseline / ours[pack]:.1f}×)" for pack in PACKS]
    return f"| {name} | {1000 * baseline / len(cases):.1f} ms | {' | '.join(cells)} |"


def main(graphs: int, names: Sequence[str] = ()) -> None:
    """Print the table."""
    print(f"CPU time a graph of {NODES} nodes, {graphs} graphs a route; ours by graphs in a pack.\n")
    print("| converter | loop | " + " | ".join(f"ours, {pack}" for pack in PACKS) + " |")
    print("|---|---|" + "---|" * len(PACKS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names or LOOPS:
            print(measure(name, graphs), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64, sys.argv[2:])
