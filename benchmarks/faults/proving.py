"""Whether a fault does anything: its proof, converted with and without it and run on the real runtime."""

from __future__ import annotations

import numpy as np

from benchmarks.faults.injection import ArtifactFault, Fault
from fuzzer.converters.base import converters
from fuzzer.planning import default_settings
from fuzzer.runtimes.base import runtimes
from generators.frontends.base import feeds_of, frontend
from generators.graph import Array, Case
from oracles.compare import compare

#: The converter whose artifacts show the faults of a family.
CONVERTERS = {"torch": "torch.onnx-dynamo", "tensorflow": "tf2onnx", "onnx": "onnx"}


def results(fault: Fault, case: Case) -> list[Array] | str:
    """Outputs of the converted proof from ONNX Runtime, with its graph optimizer where the fault is in that; or what a
    subject raised, in words."""
    converter = converters()[CONVERTERS[case.graph.frontend]]
    settings = {**default_settings(converter), **fault.proof.settings}
    optimized = isinstance(fault, ArtifactFault) and fault.optimized
    runtime = runtimes()["onnxruntime"]
    try:
        artifact = converter.convert(frontend(case.graph.frontend).load(case), settings)
        session = runtime.load(artifact, runtime.variants["optimized" if optimized else "unoptimized"])
        return runtime.run(session, artifact, feeds_of(case))
    except Exception as error:  # noqa: BLE001  (whatever a faulty subject raises is a result)
        return f"{type(error).__name__}: {error}"


def proof_of(fault: Fault) -> str:
    """What the fault does to its proof, in words. AssertionError when the right results are not those of eager mode,
    or the fault changes nothing."""
    case = fault.proof.case()
    chosen = frontend(case.graph.frontend)
    values = chosen.run(case.graph, case.feeds)
    expected = [values[name] for name in case.graph.outputs]
    right = results(fault, case)
    assert isinstance(right, list), f"{fault.name}: {right[:500]}"
    for left, other in zip(expected, right, strict=True):
        assert left.dtype == other.dtype, f"{fault.name}: {left.dtype} expected, got {other.dtype}"
        np.testing.assert_allclose(left.astype(np.float64), other.astype(np.float64), 2e-3, 1e-5, err_msg=fault.name)
    with fault.active():
        wrong = results(fault, case)
    again = results(fault, case)
    assert isinstance(again, list), fault.name
    assert not compare(right, again), f"{fault.name}: something of it stays"
    if isinstance(wrong, str):
        return wrong.splitlines()[0][:120]
    found = compare(right, wrong)
    assert found, f"{fault.name} changes nothing"
    return str(found[0])
