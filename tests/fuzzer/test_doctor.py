from __future__ import annotations

import io

import pytest
from rich.console import Console

from fuzzer import doctor
from fuzzer.converters.base import converters
from fuzzer.doctor import DoctorRow, Status, exit_status, report, table
from fuzzer.formats import Availability
from fuzzer.plugins import PluginError


@pytest.fixture(scope="module")
def rows() -> list[DoctorRow]:
    return report()


def named(rows: list[DoctorRow], kind: str) -> dict[str, DoctorRow]:
    return {row.name: row for row in rows if row.kind == kind}


def test_every_kind_is_reported(rows: list[DoctorRow]) -> None:
    assert {"torch", "tensorflow"} <= set(named(rows, "frontend"))
    assert {"torch.onnx-dynamo", "torch.onnx-torchscript", "tf2onnx", "tflite"} <= set(named(rows, "converter"))
    assert {"onnxruntime", "litert"} <= set(named(rows, "runtime"))
    assert named(rows, "frontend")["torch"].versions["torch"].startswith("2.")
    assert named(rows, "converter")["tf2onnx"].versions["tf2onnx"]


def test_providers_are_present_or_absent(rows: list[DoctorRow]) -> None:
    import onnxruntime

    providers = named(rows, "onnxruntime provider")
    for name in onnxruntime.get_available_providers():
        assert providers[name].status is Status.OK
    for name in doctor.PROVIDERS:
        if name not in onnxruntime.get_available_providers():
            assert providers[name].status is Status.ABSENT
            assert providers[name].remedy


def test_what_is_absent_is_no_failure(rows: list[DoctorRow]) -> None:
    assert any(row.status is Status.ABSENT for row in rows)
    assert exit_status(rows) == 0


def test_exit_status() -> None:
    route = DoctorRow("route", "a:b:c", Status.OK)
    assert exit_status([route, DoctorRow("converter", "x", Status.MISSING)]) == 0
    assert exit_status([route, DoctorRow("converter", "x", Status.BROKEN)]) == 2
    assert exit_status([DoctorRow("converter", "x", Status.OK)]) == 2


def test_a_missing_package_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Availability(problem="tf2onnx is not installed", remedy="pip install 'tf2onnx>=1.16'")
    monkeypatch.setattr(type(converters()["tf2onnx"]), "availability", lambda self: missing)
    found = report()
    row = named(found, "converter")["tf2onnx"]
    assert (row.status, row.remedy) == (Status.MISSING, "pip install 'tf2onnx>=1.16'")
    assert not [name for name in named(found, "route") if ":tf2onnx:" in name]
    assert exit_status(found) == 0


def test_a_broken_plugin_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(group: str, kind: type[object]) -> dict[str, PluginError]:
        return {"bad": PluginError("it does not load")} if group == "convfuzz.converters" else {}

    monkeypatch.setattr(doctor, "broken_plugins", broken)
    found = report()
    assert named(found, "converter")["bad"] == DoctorRow("converter", "bad", Status.BROKEN, detail="it does not load")
    assert exit_status(found) == 2


def test_the_table_shows_names_and_remedies(rows: list[DoctorRow]) -> None:
    out = io.StringIO()
    Console(file=out, width=200).print(table([*rows, DoctorRow("converter", "x", Status.MISSING, remedy="pip get x")]))
    assert "torch:torch.onnx-torchscript:onnxruntime" in out.getvalue()
    assert "pip get x" in out.getvalue()
