"""Records for the tests of the store."""

from __future__ import annotations

import os

from corpus.records import FindingState, Finish, IssuedBatch, JudgedBatch, NewFinding, UnsupportedCount
from corpus.store import Store
from oracles.outcome import Kind, Signature, Stage, Symptom

VALUE = Signature(Stage.CONVERT, "tf2onnx", Kind.VALUE)
CRASH = Signature(Stage.INFERENCE, "onnxruntime", Kind.SIGNAL, "SIGSEGV")


#: URL of a PostgreSQL database for the tests to fill, if there is one.
POSTGRESQL = os.environ.get("CONVFUZZ_TEST_POSTGRESQL", "")


def reopened(store: Store) -> Store:
    """The corpus of a store, opened again."""
    return Store.open(store.directory, database=POSTGRESQL if store.dialect == "postgresql" else "")


def issued(index: int) -> IssuedBatch:
    return IssuedBatch(
        index,
        "tensorflow",
        "tf2onnx",
        {"opset": 18, "optimize": True},
        cases=4,
        nodes=10,
        variants=(("onnxruntime", "unoptimized"),),
        avoid=("tf.raw_ops.Foo float16",),
    )


def finding(case: int = 0, signature: Signature = VALUE, message: str = "expected 2.0, got 1.5") -> NewFinding:
    data = f"case {case} {signature}".encode(errors="backslashreplace")
    return NewFinding(case, signature, Symptom.WRONG_MODEL, message, data, ("unoptimized",), {"error": 0.5}, nodes=7)


def judged(campaign: str, index: int, *findings: NewFinding) -> JudgedBatch:
    return JudgedBatch(
        campaign,
        index,
        cases=4,
        seconds=0.5,
        conversions=2,
        verdicts={"pass": 4 - len(findings), "bug": len(findings)},
        funnel={"": {"started": 4, "unsupported": 1}, "onnxruntime unoptimized": {"success": 3}},
        unsupported=(UnsupportedCount("tf2onnx", "Foo", "no Foo here", 1),),
        findings=findings,
    )


def campaign(store: Store, batches: int = 0) -> str:
    """A campaign with some issued batches; its id."""
    identifier = store.create_campaign(7, {"seed": 7}, {"tf2onnx": "1.17"}).id
    store.issue(identifier, map(issued, range(batches)))
    return identifier


def verified(bucket: str, **changes: object) -> Finish:
    fields: dict[str, object] = {
        "title": "tf.add(x, y) float32[1]: expected 2.0, got 1.5",
        "minimized": b"minimal",
        "reproducer": "import sys\nsys.exit(1)\n",
        "source": "class Model: ...",
        "nodes": 1,
        "needs_special": False,
        "runs": 3,
        "failures": 3,
        "conversions": 12,
        **changes,
    }
    return Finish(FindingState.VERIFIED, bucket, **fields)  # type: ignore[arg-type]
