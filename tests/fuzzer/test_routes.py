from __future__ import annotations

import pytest

from fuzzer import routes as module
from fuzzer.converters.base import converters
from fuzzer.errors import UsageError
from fuzzer.formats import Availability
from fuzzer.routes import Route, routes, select

DYNAMO = Route("torch", "torch.onnx-dynamo", "onnxruntime")
TORCHSCRIPT = Route("torch", "torch.onnx-torchscript", "onnxruntime")
TF2ONNX = Route("tensorflow", "tf2onnx", "onnxruntime")
TFLITE = Route("tensorflow", "tflite", "litert")
ONNX = Route("onnx", "onnx", "onnxruntime")


def test_the_routes_are_there() -> None:
    assert {DYNAMO, TORCHSCRIPT, TF2ONNX, TFLITE, ONNX} <= set(routes())
    assert str(DYNAMO) == "torch:torch.onnx-dynamo:onnxruntime"


def test_formats_fit_along_every_route() -> None:
    assert Route("torch", "tflite", "litert") not in routes(available=False)
    assert Route("tensorflow", "tf2onnx", "litert") not in routes(available=False)


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["tflite"], {TFLITE}),
        (["torch:torch.onnx-dynamo:onnxruntime"], {DYNAMO}),
        (["torch.onnx-*"], {DYNAMO, TORCHSCRIPT}),
        (["tensorflow:tf*"], {TF2ONNX, TFLITE}),
        (["tflite", "tflite", "tf2onnx"], {TF2ONNX, TFLITE}),
    ],
)
def test_selection(patterns: list[str], chosen: set[Route]) -> None:
    selected = select(patterns)
    # Of what else there is it depends on what is installed.
    ours = [route for route in selected if route.runtime in ("onnxruntime", "litert")]
    assert set(ours) == chosen
    assert selected == sorted(selected)


def test_without_patterns_all_routes_of_default_converters_are_selected() -> None:
    assert select(()) == [route for route in routes() if converters()[route.converter].default]
    assert {DYNAMO, TORCHSCRIPT, TF2ONNX, TFLITE} <= set(select(()))


def test_an_unknown_route_is_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError) as caught:
        select(["tflitte"])
    assert "'tflitte'" in caught.value.message
    assert "did you mean 'tflite'?" in caught.value.message
    assert str(DYNAMO) in caught.value.remedy


def test_a_route_that_lacks_a_package_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Availability(problem="tf2onnx is not installed", remedy="pip install 'tf2onnx>=1.16'")
    monkeypatch.setattr(type(converters()["tf2onnx"]), "availability", lambda self: missing)
    assert TF2ONNX not in routes()
    assert TF2ONNX in routes(available=False)
    with pytest.raises(UsageError) as caught:
        select(["tf2onnx"])
    assert "tf2onnx is not installed" in caught.value.message
    assert caught.value.remedy == "pip install 'tf2onnx>=1.16'"


def test_nothing_available_points_to_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "routes", lambda **_: [])
    with pytest.raises(UsageError, match="doctor"):
        select(())
