"""Control flow through the real converters: both branches, loops, a pack, and what is unsupported."""

from __future__ import annotations

import numpy as np
import pytest

from fuzzer.converters.base import converters
from fuzzer.failures import Refusal
from fuzzer.formats import Format, Setting, Unsupported
from fuzzer.onnx_slices import slices
from fuzzer.runtimes.base import runtimes
from generators.frontends.base import feeds_of, frontend
from generators.graph import Array, Case
from generators.transforms import union
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from oracles.reproducer import render
from oracles.verification import verify
from tests.control_flow import conditional, loop, mapped

DATA = np.array([[0.5, 0.25, 1], [0.125, 2, 0.75]], np.float32)
ROUTES = [
    ("torch", "torch.onnx-dynamo", {}),
    ("torch", "torch.onnx-dynamo", {"optimize": False}),
    ("tensorflow", "tf2onnx", {}),
    ("tensorflow", "tf2onnx", {"api": "from_function"}),
    ("tensorflow", "tflite", {}),
    ("onnx", "onnx", {}),
    ("onnx", "onnx", {"symbolic": True, "opset": 13}),
]
RUNTIMES = {Format.ONNX: "onnxruntime", Format.TFLITE: "litert"}


def cases(name: str) -> list[Case]:
    """Each branch taken once, and loops."""
    found = [conditional(name, DATA), conditional(name, -DATA)]
    if name != "onnx":
        found += [loop(name, DATA), loop(name, DATA, 0)]
    return [*found, mapped(DATA)] if name == "tensorflow" else found


def converted(name: str, converter: str, settings: dict[str, Setting], case: Case) -> tuple[list[Array], list[Array]]:
    """What eager mode gives, and what the converted model does."""
    model = frontend(name).load(case)
    chosen = converters()[converter]
    artifact = chosen.convert(model, settings)
    chosen.validate(artifact, model)
    runtime = runtimes()[RUNTIMES[chosen.target]]
    session = runtime.load(artifact, next(iter(runtime.variants.values())))
    return frontend(name).execute(model), runtime.run(session, artifact, feeds_of(case))


@pytest.mark.parametrize(("name", "converter", "settings"), ROUTES)
def test_a_pack_of_control_flow_gives_what_eager_mode_gives(
    name: str, converter: str, settings: dict[str, Setting]
) -> None:
    expected, actual = converted(name, converter, settings, union(cases(name)).case)
    assert len(expected) == len(cases(name))
    for left, right in zip(expected, actual, strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-5)


def test_bodies_are_cut_out_of_a_pack_with_what_they_capture() -> None:
    several = cases("onnx")
    model = frontend("onnx").load(union(several).case)
    artifact = converters()["onnx"].convert(model, {})
    parts = slices(artifact, [(len(case.graph.inputs), len(case.graph.outputs)) for case in several])
    assert parts is not None
    runtime = runtimes()["onnxruntime"]
    for case, part in zip(several, parts, strict=True):
        [expected] = frontend("onnx").execute(frontend("onnx").load(case))
        [actual] = runtime.run(runtime.load(part, next(iter(runtime.variants.values()))), part, feeds_of(case))
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("case", [conditional("torch", DATA), loop("torch", DATA)], ids=["cond", "while"])
def test_tracing_does_not_follow_control_flow(case: Case) -> None:
    with pytest.raises(Unsupported, match="dynamo-optimized") as refusal:
        converters()["torch.onnx-torchscript"].convert(frontend("torch").load(case), {})
    assert refusal.value.what == "control flow"


def test_conversions_do_not_depend_on_those_before() -> None:
    """Dynamo keeps what it has compiled, and makes extents dynamic that were others before."""
    for extent in range(2, 12, 2):
        case = conditional("torch", np.linspace(0.1, 1, extent, dtype=np.float32))
        expected, actual = converted("torch", "torch.onnx-dynamo", {}, case)
        np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (
            "Expected body_fn_output and carried_inputs to have same metadata but found: pair[1] differ in "
            "'stride: (0, 0, 0) vs (21, 3, 1)', where lhs is FakeTensor",
            "control flow: stride of body_fn_output and carried_inputs differ",
        ),
        ("cond_fn might be aliasing the input or the output!", "control flow: aliases in cond_fn"),
        (
            "No ONNX function found for <torch._higher_order_ops.map.MapImpl object at 0x7f7b2399e210>. Failure "
            "message: No decompositions registered for the real-valued input",
            "map",
        ),
    ],
)
def test_documented_limits_of_torch_export_are_no_findings(error: str, what: str) -> None:
    from fuzzer.converters.torch_onnx_dynamo import REFUSALS

    def refused(refusal: Refusal) -> str | None:
        kind = type(refusal.exception or "RuntimeError", (Exception,), {})
        return refusal.match(kind(error))

    assert next(found for refusal in REFUSALS if refusal.exception and (found := refused(refusal))) == what


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_a_reproducer_with_control_flow_runs_alone(name: str) -> None:
    route = {"torch": "torch.onnx-dynamo", "onnx": "onnx"}[name]
    case = conditional(name, DATA)
    seen = Observation(
        Signature(Stage.INFERENCE, "onnxruntime", Kind.VALUE), Verdict.BUG, "output 0", (0,), numbers={"bound": 0.0}
    )
    script = render(
        case,
        seen,
        frontend_source=frontend(name).source(case.graph),
        frontend=name,
        converter_name=route,
        convert_script=converters()[route].script({}),
        runtime_script=runtimes()["onnxruntime"].script({}, {"float32"}),
    )
    verification = verify(script, 1)
    # Nothing is wrong with it: the script runs to its end, and says so.
    assert verification.statuses == (0,), verification.outputs


def test_what_is_wrong_in_a_body_is_complained_of_as_anywhere() -> None:
    import onnx

    from fuzzer.onnx_artifacts import _complaints

    nothing = onnx.ModelProto()
    inner = "(op_type:Resize): [ShapeInferenceError] Number of elements of input 'sizes' (2) must be 3."
    alone = f"[ShapeInferenceError] Inference error(s): {inner}\n"
    around = "[ShapeInferenceError] Inference error(s): (op_type:If, node name: n): [ShapeInferenceError] "
    assert _complaints(f"{around}Inference error(s): {inner}\n\n", nothing) == _complaints(alone, nothing)


def test_lists_of_other_element_types_are_unsupported_by_tflite() -> None:
    case = mapped(DATA, "bfloat16")
    with pytest.raises(Unsupported) as refusal:
        converters()["tflite"].convert(frontend("tensorflow").load(case), {})
    assert refusal.value.what.startswith("tf.TensorList")
