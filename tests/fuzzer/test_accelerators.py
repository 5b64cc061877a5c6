"""Execution providers of ONNX Runtime and delegates of LiteRT: variants where they are present, told as absent where
they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from fuzzer import doctor
from fuzzer.converters.base import converters
from fuzzer.doctor import DoctorRow, Status, report
from fuzzer.formats import Artifact, Unsupported
from fuzzer.planning import Plan
from fuzzer.routes import Route
from fuzzer.runtimes import _delegates
from fuzzer.runtimes.base import runtimes
from fuzzer.runtimes.litert import LiteRT, delegate_variants
from fuzzer.runtimes.onnxruntime import PRECISE, OnnxRuntime, accelerated, provider_variants
from generators.frontends.base import frontend
from tests.fuzzer.graphs import unary
from tests.fuzzer.test_runtimes import onnx_artifact

PRESENT = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"]
F32 = TensorProto.FLOAT


@pytest.fixture
def exp() -> Artifact:
    return onnx_artifact([helper.make_node("Exp", ["x"], ["y"])], {"x": (F32, (2,))}, {"y": (F32, (2,))})


def named(rows: list[DoctorRow], kind: str) -> dict[str, DoctorRow]:
    return {row.name: row for row in rows if row.kind == kind}


def test_each_accelerated_provider_has_a_variant() -> None:
    assert provider_variants(accelerated(PRESENT)) == {
        "tensorrt": {"optimization": "enable_all", "provider": "TensorrtExecutionProvider"},
        "cuda": {"optimization": "enable_all", "provider": "CUDAExecutionProvider"},
    }


def test_every_batch_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    variants = {**OnnxRuntime.variants, **provider_variants(accelerated(PRESENT))}
    monkeypatch.setattr(OnnxRuntime, "variants", variants)
    plan = Plan(1, [Route("onnx", "onnx", "onnxruntime")], 5, None)
    [(_, _, planned)] = plan.subjects
    assert {("onnxruntime", "cuda"), ("onnxruntime", "tensorrt")} <= set(planned)
    taking_part = plan._taking_part(planned, 0)
    assert ("onnxruntime", "cuda") in taking_part


@pytest.mark.parametrize("name", [name for name in PRESENT if name != "CPUExecutionProvider"])
def test_a_provider_that_does_not_start_is_not_the_cpu_in_its_place(name: str, exp: Artifact) -> None:
    import onnxruntime

    if name in onnxruntime.get_available_providers():
        pytest.skip(f"{name} is here")
    settings = {"optimization": "enable_all", "provider": name}
    with pytest.raises(Unsupported, match=f"{name}, which does not start here"):
        runtimes()["onnxruntime"].load(exp, settings)


def test_scripts_name_the_provider_and_what_keeps_it_precise() -> None:
    script = runtimes()["onnxruntime"].script({"provider": "CUDAExecutionProvider"}, {"float32"})
    assert f"providers=[{('CUDAExecutionProvider', dict(PRECISE['CUDAExecutionProvider']))!r}]" in script
    assert "assert 'CUDAExecutionProvider' in session.get_providers()" in script
    compile(script, "script", "exec")
    assert "assert" not in runtimes()["onnxruntime"].script({}, {"float32"})


def test_the_doctor_tells_which_variant_a_provider_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: PRESENT)
    rows = named(report(), "onnxruntime provider")
    assert (rows["CUDAExecutionProvider"].status, rows["CUDAExecutionProvider"].detail) == (Status.OK, "variant cuda")
    assert "not used" in rows["AzureExecutionProvider"].detail
    assert rows["CoreMLExecutionProvider"].status is Status.ABSENT
    assert not set(doctor.PROVIDERS) - set(rows)


@pytest.fixture
def edgetpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a library that is called like a delegate."""
    library = tmp_path / _delegates.LIBRARIES["edgetpu"]
    library.write_bytes(b"no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    return str(library)


def test_a_delegate_is_found_where_the_linker_looks(edgetpu: str) -> None:
    assert _delegates.present()["edgetpu"] == edgetpu
    assert delegate_variants({"edgetpu": edgetpu}) == {"edgetpu": {"kernels": "builtin", "delegate": edgetpu}}


def test_the_doctor_tells_of_delegates(edgetpu: str) -> None:
    rows = named(report(), "litert delegate")
    assert rows["edgetpu"].status is Status.OK
    assert edgetpu in rows["edgetpu"].detail
    absent = [name for name in _delegates.LIBRARIES if name not in _delegates.present()]
    assert absent
    assert all(
        rows[name].status is Status.ABSENT and _delegates.LIBRARIES[name] in rows[name].remedy for name in absent
    )


def test_a_delegate_that_does_not_load_is_unsupported(edgetpu: str) -> None:
    case = unary("tensorflow", "exp", "float32", 2, 2)
    artifact = converters()["tflite"].convert(frontend("tensorflow").load(case), {})
    with pytest.raises(Unsupported, match=r"libedgetpu\.so\.1") as caught:
        LiteRT().load(artifact, delegate_variants({"edgetpu": edgetpu})["edgetpu"])
    assert caught.value.what == "libedgetpu.so.1, which does not load here"


def test_scripts_load_the_delegate(edgetpu: str) -> None:
    script = LiteRT().script(delegate_variants({"edgetpu": edgetpu})["edgetpu"], {"float32"})
    assert "import Interpreter, OpResolverType, load_delegate" in script
    assert f"experimental_delegates=[load_delegate({edgetpu!r})]" in script
    compile(script, "script", "exec")


def test_the_doctor_says_what_a_runtime_tests() -> None:
    rows = named(report(), "runtime")
    assert rows["litert"].detail.startswith("tflite: xnnpack, builtin, reference")
    assert "(xnnpack-threads, builtin-threads in turn)" in rows["litert"].detail
    if rows["iree"].status is Status.OK:
        assert rows["iree"].detail == "onnx: llvm-cpu; in 5% of the batches"


def test_a_cpu_session_still_runs(exp: Artifact) -> None:
    runtime = runtimes()["onnxruntime"]
    session = runtime.load(exp, runtime.variants["optimized"])
    [found] = runtime.run(session, exp, [np.zeros(2, np.float32)])
    np.testing.assert_array_equal(found, 1)
