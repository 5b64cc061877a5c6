"""Rendered scripts, run for real: exit statuses, exactness of embedded data, hostile text, deadlines."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psutil
import pytest

from generators.draw import ANY_DTYPE
from generators.frontends.base import frontend
from generators.frontends.printing import LITERAL_ELEMENTS
from generators.graph import DTYPES, Array, Case, Constant, Graph, Input, Node, Ref, Value, type_of
from oracles.forking import Zygote
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from oracles.reproducer import render, starts_itself
from oracles.tensor_source import UNPACK, tensor_source
from oracles.verification import Verification, verify
from tests.oracles.processes import eventually, gone

TORCH = frontend("torch")
CONVERT = "artifact = b''\n"
RIGHT = "outputs = model(*inputs)\nactual = [outputs.numpy()]\n"


def case_of(array: Array, *, constant: Array | None = None, layout: tuple[int, ...] = ()) -> Case:
    """``x + c``, or ``-x`` without a constant."""
    other = () if constant is None else (Constant("c0", constant),)
    target, args = ("torch.neg", (Ref("x0"),)) if constant is None else ("torch.add", (Ref("x0"), Ref("c0")))
    value = Value("v0", type_of(array))
    graph = Graph("torch", (Input("x0", type_of(array), layout),), other, (Node(target, args, (), (value,)),), ("v0",))
    return Case(graph, {"x0": array})


def script_for(
    kind: Kind,
    runtime: str | None = RIGHT,
    *,
    case: Case | None = None,
    convert: str = CONVERT,
    stage: Stage = Stage.INFERENCE,
    detail: str = "",
    message: str = "",
    title: str = "neg(x0) float32[3]",
    numbers: dict[str, float] | None = None,
) -> str:
    case = case or case_of(np.array([1.0, 2.0, 3.0], np.float32))
    seen = Observation(Signature(stage, "planted", kind, detail), Verdict.BUG, message, (0,), numbers=numbers or {})
    text = render(
        case,
        seen,
        frontend_source=TORCH.source(case.graph),
        frontend="torch",
        converter_name="planted",
        convert_script=convert,
        runtime_script=runtime,
        versions=("torch>=2.0",),
        title=title,
    )
    compile(text, "reproducer.py", "exec")
    for package in ("generators", "oracles", "fuzzer", "corpus"):
        assert f"import {package}" not in text
    return text


def fresh(text: str) -> tuple[int | None, str]:
    """Exit status and output of the script in a fresh process."""
    result = verify(text, 1, deadline=100.0)
    return result.statuses[0], result.outputs[0]


def status(text: str) -> tuple[int, str]:
    """Exit status and output of the script in a fork of this process, which has imported torch already."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            # pytest's own would swallow what is printed
            sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", closefd=False) for descriptor in (1, 2))
            code = 0
            try:
                exec(compile(text, "reproducer.py", "exec"), {"__name__": "__main__"})
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
            except BaseException:  # noqa: BLE001  (what the interpreter itself does)
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                os._exit(code)
        _, ended = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(ended), output.read().decode()


@pytest.mark.parametrize(
    ("kind", "runtime", "expected"),
    [
        (Kind.VALUE, "actual = [-feeds[0] + 0.5]", 1),
        (Kind.VALUE, RIGHT, 0),
        (Kind.VALUE, "actual = [(-feeds[0]).astype('float64')]", 2),
        (Kind.VALUE, "raise ValueError('another thing')", 2),
        (Kind.VALUE, "actual = [-feeds[0] * (1 + 1e-7)]\nactual[0] = actual[0].astype('float32')", 0),
        (Kind.NONFINITE, "actual = [-feeds[0]]\nactual[0][1] = float('nan')", 1),
        (Kind.NONFINITE, "actual = [-feeds[0] + 1]", 2),
        (Kind.DTYPE, "actual = [(-feeds[0]).astype('float64')]", 1),
        (Kind.SHAPE, "actual = [-feeds[0][None]]", 1),
        (Kind.COUNT, "actual = []", 1),
        (Kind.DTYPE, RIGHT, 0),
    ],
)
def test_mismatches(kind: Kind, runtime: str, expected: int) -> None:
    text = script_for(kind, runtime)
    assert len(text.splitlines()) < 60
    found, output = status(text)
    assert found == expected, output
    if expected == 1:
        assert "expected" in output
        assert "torch " + TORCH.version() in output


def test_a_script_in_a_fresh_process() -> None:
    for runtime, expected in (("actual = [-feeds[0] + 0.5]", 1), (RIGHT, 0), ("raise ValueError('no')", 2)):
        found, output = fresh(script_for(Kind.VALUE, runtime))
        assert found == expected, output


def test_the_recorded_noise_bound_is_respected() -> None:
    runtime = "actual = [-feeds[0] + 0.25]"
    assert status(script_for(Kind.VALUE, runtime, numbers={"bound": 0.5}))[0] == 0
    assert status(script_for(Kind.VALUE, runtime, numbers={"bound": 0.125}))[0] == 1


@pytest.mark.parametrize(
    ("convert", "expected"),
    [
        ("raise KeyError('operator neg has no decomposition 17')", 1),
        ("raise OSError() from KeyError('operator neg has no decomposition')", 1),
        ("raise KeyError('something else')", 2),
        ("raise ValueError('operator neg has no decomposition')", 2),
        ("artifact = b''", 0),
    ],
)
def test_exceptions_of_a_converter(convert: str, expected: int) -> None:
    detail = "KeyError: operator neg has no decomposition # @ planted.decompose"
    text = script_for(Kind.EXCEPTION, None, convert=convert, stage=Stage.CONVERT, detail=detail)
    assert len(text.splitlines()) < 60
    assert status(text)[0] == expected


def test_an_exception_of_a_runtime_is_not_one_of_the_converter() -> None:
    detail = "RuntimeError: kernel missing"
    raising = "raise RuntimeError('kernel missing')"
    assert status(script_for(Kind.EXCEPTION, raising, stage=Stage.RUNTIME_LOAD, detail=detail))[0] == 1
    assert status(script_for(Kind.EXCEPTION, RIGHT, convert=raising, stage=Stage.RUNTIME_LOAD, detail=detail))[0] == 2


@pytest.mark.parametrize(
    ("kind", "detail", "message", "convert", "expected"),
    [
        (Kind.SIGNAL, "SIGSEGV", "", "os.kill(os.getpid(), signal.SIGSEGV)", 1),
        (Kind.SIGNAL, "SIGSEGV", "", "os.abort()", 2),
        (Kind.SIGNAL, "SIGABRT", "", "artifact = b''", 0),
        (Kind.HANG, "", "hang: over 9 s during convert", "import time\ntime.sleep(1000)", 1),
        (Kind.HANG, "", "hang: over 60 s during convert", "raise ValueError('no')", 2),
        (Kind.EXIT, "status 0", "", "os._exit(0)", 1),
        (Kind.EXIT, "status 3", "", "artifact = b''", 0),
        (Kind.STDOUT, "", "", "os.write(1, b'native')", 1),
        (Kind.STDOUT, "", "", "artifact = b''", 0),
        (Kind.MEMORY, "", "memory: over 900 MiB", "hoard = []\nwhile True: hoard.append(bytearray(1 << 26))", 1),
    ],
)
def test_what_ends_the_process(kind: Kind, detail: str, message: str, convert: str, expected: int) -> None:
    text = script_for(kind, None, convert=convert, stage=Stage.CONVERT, detail=detail, message=message)
    assert len(text.splitlines()) < 60
    found, output = fresh(text)
    assert found == expected, output


def test_an_invalid_onnx_model() -> None:
    declare = (
        "import onnx\n"
        "value = lambda name, kind: onnx.helper.make_tensor_value_info(name, kind, [3])\n"
        "graph = onnx.helper.make_graph([onnx.helper.make_node('OPERATOR', ['x'], ['y'])], 'g', [value('x', 1)], "
        "[value('y', TYPE)])\n"
        "artifact = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=9)"
        ".SerializeToString()\n"
    )
    checker, declared = "onnx.checker: no", "output #: declared bool[#], the graph has float32[#]"
    for operator, kind, detail, expected in (
        ("Neg", "1", checker, 0),
        ("Neg", "7", checker, 1),
        ("Nonsense", "1", checker, 1),
        ("IsNaN", "9", checker, 0),
        ("IsNaN", "9", declared, 1),
        ("Neg", "1", declared, 0),
    ):
        convert = declare.replace("OPERATOR", operator).replace("TYPE", kind)
        text = script_for(Kind.INVALID, None, convert=convert, stage=Stage.VALIDATE, detail=detail)
        assert len(text.splitlines()) < 60
        found, output = status(text)
        assert found == expected, output


def test_large_constants_and_layouts_are_embedded_exactly() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(size=(9, 10)).astype(np.float32)
    constant = rng.normal(size=(9, 10)).astype(np.float32)
    case = case_of(array, constant=constant, layout=(1, 0))
    expected = "np.frombuffer(bytes.fromhex('" + (array + constant).tobytes().hex() + "'), 'float32').reshape(9, 10)"
    runtime = f"assert inputs[0].stride() == (1, 9)\nactual = [{expected}]"
    assert status(script_for(Kind.VALUE, runtime, case=case))[0] == 0
    assert status(script_for(Kind.VALUE, runtime + "\nactual[0] = actual[0] + 1", case=case))[0] == 1


def test_bfloat16_crosses_into_numpy() -> None:
    array = np.array([1.0, 2.5, -3.0], DTYPES["bfloat16"])
    runtime = "actual = [-feeds[0]]"
    text = script_for(Kind.VALUE, runtime, case=case_of(array))
    found, output = status(text)
    assert found == 0, output
    assert status(script_for(Kind.VALUE, "actual = [feeds[0]]", case=case_of(array)))[0] == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scalars_of_tensorflow_are_fed_as_arrays(dtype: str) -> None:
    array = np.array(2.5, DTYPES[dtype])
    node = Node("tf.negative", (Ref("x0"),), (), (Value("v0", type_of(array)),))
    case = Case(Graph("tensorflow", (Input("x0", type_of(array)),), (), (node,), ("v0",)), {"x0": array})
    text = render(
        case,
        Observation(Signature(Stage.INFERENCE, "planted", Kind.VALUE), Verdict.BUG, "", (0,)),
        frontend_source=frontend("tensorflow").source(case.graph),
        frontend="tensorflow",
        converter_name="planted",
        convert_script=CONVERT,
        runtime_script="assert all(isinstance(feed, np.ndarray) for feed in feeds)\nactual = [-feeds[0]]\n",
        title=f"negative(x0) {dtype}",
    )
    found, output = fresh(text)
    assert found == 0, output


def tensors() -> list[Array]:
    rng = np.random.default_rng(1)
    found: list[Array] = []
    for name in (*ANY_DTYPE, "complex64", "float8_e4m3fn"):
        for shape in ((), (0,), (2, 0, 3), (3,), (2, 5), (9, 11)):
            found.append((rng.normal(size=shape) * 3).astype(DTYPES[name]))
            found.append(np.zeros(shape, DTYPES[name]))
            found.append(np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(DTYPES[name]))
    special = [np.nan, np.inf, -np.inf, -0.0, 1e-45, 3e38, 0.1, 2**24 + 1]
    found += [np.array(special, np.float32), np.array(special, np.float64), np.full(20, -0.0, np.float32)]
    found += [np.array([2**63 - 1, -(2**63), 2**53 + 1], np.int64), np.full(12, np.nan, np.float32)]
    return found


def test_tensor_source_is_exact_in_torch() -> None:
    import base64
    import zlib

    import torch

    names = {"torch": torch, "np": np, "zlib": zlib, "base64": base64}
    exec(UNPACK, names)
    for array in tensors():
        text = tensor_source(array, "torch")
        result = TORCH.to_array(eval(text, names))
        assert type_of(result) == type_of(array), text
        assert result.tobytes() == array.tobytes(), text
    assert ("unpack" in tensor_source(np.random.default_rng(2).normal(size=LITERAL_ELEMENTS + 1), "torch")) is True


def test_hostile_text_stays_text() -> None:
    title = 'x"""\nimport os; os._exit(7)\n\x0cos._exit(7)\u2028os._exit(7)  \\'
    assert status(script_for(Kind.VALUE, RIGHT, title=title))[0] == 0
    detail = "KeyError'); import os; os._exit(7): operator"
    assert status(script_for(Kind.EXCEPTION, None, stage=Stage.CONVERT, detail=detail))[0] == 0


def test_a_mismatch_needs_a_runtime() -> None:
    with pytest.raises(ValueError, match="needs a runtime script"):
        script_for(Kind.VALUE, None)


def test_verify_counts_failures_and_kills_what_hangs() -> None:
    failing = verify("import sys; sys.exit(1)", 3)
    assert replace(failing, cpu_seconds=()) == Verification(3, 3, ("",) * 3, (1, 1, 1), forked=(False,) * 3)
    assert len(failing.cpu_seconds) == 3
    assert all(seconds > 0 for seconds in failing.cpu_seconds)
    result = verify("import os\nprint(os.listdir())\nos.fork()\nimport time; time.sleep(100)", 1, deadline=2.0)
    assert result.failures == 0
    assert result.statuses == (None,)
    half = "import sys, os, time\nsys.exit(time.time_ns() % 2)"
    assert 0 <= verify(half, 2).rate <= 1
    shown = verify(
        "import os; print(os.environ.get('A'), sys.argv) if 0 else print(os.environ.get('A'))", 1, env={"A": "b"}
    )
    assert shown.outputs == ("b\n",)
    assert verify("pass", 1, python=sys.executable).statuses == (0,)


def test_forked_runs_tell_what_a_plain_one_spends_on_imports() -> None:
    runs = Verification(3, 3, cpu_seconds=(5.0, 1.0, 2.0), forked=(False, True, True))
    assert runs.calls_seconds == 4.5
    assert replace(runs, cpu_seconds=(0.5, 1.0, 2.0)).calls_seconds == 3.5
    assert replace(runs, forked=(False,) * 3).calls_seconds == 8.0


#: What pytest changes from one phase of a test to the next would make every environment another one.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote(["torch"], ENVIRONMENT, scripts=True)
    yield zygote
    zygote.close()


def forked(zygote: Zygote, script: str, *, deadline: float = 60.0) -> Verification:
    """Two runs of a script: a fresh one that shows a defect, and a forked one, in which ``script`` runs."""
    text = f"import os, sys\nif os.getppid() != {zygote.pid}:\n    sys.exit(1)\n{script}"
    return verify(text, 2, deadline=deadline, env=ENVIRONMENT, zygote=lambda: zygote)


@pytest.mark.parametrize(
    ("script", "status", "output"),
    [
        ("print('x')", 0, "x\n"),
        ("print('x', end=''); sys.exit(3)", 3, "x"),
        ("sys.exit('words')", 1, "words\n"),
        ("print('lost'); os._exit(1)", 1, None),
        ("os.kill(os.getpid(), 11)", -11, ""),
        ("os.abort()", -6, ""),
        ("import atexit; atexit.register(print, 'x')", 0, "x\n"),
        ("import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('x'))).start()", 0, "x\n"),
        ("sys.excepthook = lambda *error: (print(error[1]), os._exit(2))\nraise ValueError('x')", 2, None),
        ("sys.excepthook = lambda *error: print(error[1])\nraise ValueError('x')", 1, "x\n"),
        ("def f(): return __name__, 1 // 2 / 1\nprint(f(), f.__annotations__)", 0, "('__main__', 0.0) {}\n"),
        ("print(os.listdir(), __file__ == sys.argv[0] == os.path.abspath('reproducer.py'), len(sys.argv))", 0, None),
    ],
)
def test_a_forked_run_ends_as_a_fresh_one_does(zygote: Zygote, script: str, status: int, output: str | None) -> None:
    alone = verify(f"import os, sys\n{script}", 1)
    both = forked(zygote, script)
    assert both.statuses == (1, status)
    assert alone.statuses == (status,)
    assert both.outputs[1] == alone.outputs[0]
    assert output in (None, both.outputs[1])
    assert sum(both.cpu_seconds) > 0


def test_a_forked_traceback_is_that_of_the_script(zygote: Zygote) -> None:
    found = forked(zygote, "def f():\n    raise ValueError('x')\nf()")
    assert found.statuses == (1, 1)
    lines = found.outputs[1].splitlines()
    assert [line.split(", line ")[1] for line in lines if line.startswith("  File")] == ["6, in <module>", "5, in f"]
    assert lines[-1] == "ValueError: x"


def test_a_forked_run_over_the_deadline_is_killed_with_its_children(zygote: Zygote) -> None:
    found = forked(zygote, "os.fork()\nprint(os.getpid(), flush=True)\nimport time; time.sleep(100)", deadline=2.0)
    assert found.statuses == (1, None)
    pids = [int(word) for word in found.outputs[1].split()]
    assert len(pids) == 2
    assert eventually(lambda: all(gone(pid) for pid in pids))
    assert psutil.Process(zygote.pid).children() == []


def test_forked_runs_only_confirm_what_a_fresh_one_has_shown(zygote: Zygote) -> None:
    parent = f"import os, sys\nsys.exit(1 if os.getppid() == {zygote.pid} else 0)"
    assert verify(parent, 3, env=ENVIRONMENT, zygote=lambda: zygote).statuses == (0, 0, 0)
    other = f"import os, sys\nsys.exit(0 if os.getppid() == {zygote.pid} else 1)"
    assert verify(other, 3, env=ENVIRONMENT, zygote=lambda: zygote).statuses == (1, 0, 0)
    # Another environment than the zygote's, or none that works, means fresh processes.
    assert verify(other, 2, env={**ENVIRONMENT, "A": "b"}, zygote=lambda: zygote).statuses == (1, 1)
    assert verify(other, 2, env=ENVIRONMENT, zygote=lambda: None).statuses == (1, 1)


def test_a_rendered_script_in_a_fork(zygote: Zygote) -> None:
    found = verify(script_for(Kind.VALUE, "actual = [-feeds[0] + 0.5]"), 2, env=ENVIRONMENT, zygote=lambda: zygote)
    assert found.statuses == (1, 1)
    assert found.outputs[0] == found.outputs[1]


def test_scripts_that_run_themselves_again() -> None:
    for kind in (Kind.SIGNAL, Kind.HANG, Kind.MEMORY, Kind.EXIT, Kind.STDOUT):
        assert starts_itself(kind)
        script = script_for(kind, None, stage=Stage.CONVERT, detail="SIGSEGV")
        assert "sys.executable, __file__" in script
    assert not starts_itself(Kind.VALUE)


def test_settings_are_named_in_the_head() -> None:
    case = case_of(np.array([1.0], np.float32))
    seen = Observation(Signature(Stage.INFERENCE, "planted", Kind.VALUE), Verdict.BUG, "", (0,), settings="reference")
    text = render(
        replace(case, profiles={}),
        seen,
        frontend_source=TORCH.source(case.graph),
        frontend="torch",
        converter_name="planted",
        convert_script=CONVERT,
        runtime_script=RIGHT,
        title="neg",
    )
    assert "# wrong model · inference · planted · reference" in text.splitlines()
