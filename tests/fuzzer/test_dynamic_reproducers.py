"""Scripts about models with dynamic dimensions: they mark them, run every size on one session, and tell right from
wrong."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fuzzer.converters.base import converters
from fuzzer.handling import script_of
from fuzzer.planning import default_settings
from fuzzer.runtimes.base import runtimes
from fuzzer.tasks import Subject
from generators.frontends.base import frontend
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from tests.fuzzer.test_dynamic_sizes import case_of

#: By frontend, so that each is imported once: converter, settings, runtime and its variant.
SUBJECTS = {
    "torch": [
        *(("torch.onnx-dynamo", {"dims": dims}, "onnxruntime", "optimized") for dims in ("Dim", "Dim.AUTO", "name")),
        ("torch.onnx-torchscript", {}, "onnxruntime", "unoptimized"),
    ],
    "tensorflow": [
        ("tf2onnx", {}, "onnxruntime", "optimized"),
        ("tf2onnx", {"api": "from_function"}, "onnxruntime", "optimized"),
        ("tflite", {}, "litert", "xnnpack"),
    ],
    "onnx": [("onnx", {}, "onnxruntime", "optimized"), ("onnx", {"symbolic": True}, "onnxruntime", "unoptimized")],
}
TARGETS = {"torch": "torch.neg", "tensorflow": "tf.math.negative", "onnx": "onnx.Neg"}
#: Runs scripts one after the other; the status of the last one is that of each.
RUNNER = """
import os, runpy, sys
os._exit = sys.exit
found = []
for path in sys.argv[1:]:
    try:
        runpy.run_path(path, run_name="__main__")
        found.append(None)
    except SystemExit as end:
        found.append(int(end.code))
print("statuses", found)
"""


def script(name: str, settings: dict[str, object], runtime: str, variant: str) -> str:
    converter = converters()[name]
    ours = converter.source.value
    case = case_of(ours, [TARGETS[ours]], [4, 6, 1])
    used = {**default_settings(converter), **settings}
    subject = Subject(ours, name, used, ((runtime, variant),))  # type: ignore[arg-type]
    signature = Signature(Stage.INFERENCE, runtime, Kind.VALUE, variant)
    seen = Observation(signature, Verdict.BUG, "", (0,), variant)
    return script_of(case, seen, frontend(ours).source(case.graph), subject, converter)


@pytest.mark.parametrize("ours", SUBJECTS)
def test_reproducers_run_at_every_size(ours: str, tmp_path: Path) -> None:
    files = []
    for number, (name, settings, runtime, variant) in enumerate(SUBJECTS[ours]):
        text = script(name, settings, runtime, variant)
        load = runtimes()[runtime].load_script(runtimes()[runtime].variants[variant])
        before, loop, _ = text.partition("\nfor inputs, feeds, expected in sizes:\n")
        assert f"\n{load.splitlines()[-1]}\n" in before  # once, and not at each size
        # The last size, and only that, is made wrong in the second script.
        wrong = text.replace("    computed += actual\n", "    computed += [a + (len(a) == 1) for a in actual]\n")
        assert loop
        for kind, content in (("right", text), ("wrong", wrong)):
            files.append(tmp_path / f"{number}_{kind}.py")
            files[-1].write_text(content)
    runner = tmp_path / "run.py"
    runner.write_text(textwrap.dedent(RUNNER))
    done = subprocess.run([sys.executable, runner, *files], cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert f"statuses {[0, 1] * len(SUBJECTS[ours])}" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
