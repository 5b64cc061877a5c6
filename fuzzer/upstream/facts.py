"""What is known of a finding, put into words that go into the text of an issue."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from corpus.records import Finding, IssuedBatch
from corpus.store import Store
from fuzzer.upstream.environment import public
from fuzzer.upstream.evidence import Table, table
from fuzzer.upstream.history import History, history
from fuzzer.upstream.known_issues import KnownIssue, KnownIssues
from fuzzer.upstream.severity import severity
from generators.graph import Case, all_nodes
from generators.serial import loads
from oracles.outcome import MISMATCH, PERFORMANCE, Kind, Stage, Symptom
from oracles.tolerances import COMPONENT, ROUNDED, TOLERANCES

#: What frameworks are called in a sentence.
FRAMEWORKS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "keras": "Keras", "onnx": "ONNX", "tflite": "TFLite"}
#: What components are called where their own name says little to those who read the issue.
_COMPONENTS = {
    "torch.onnx-dynamo": "torch.onnx.export(dynamo=True)",
    "torch.onnx-torchscript": "torch.onnx.export(dynamo=False)",
    "torch.export": "torch.export",
    "torch.export.module": "the exported program",
    "inductor": "torch.compile (Inductor)",
    "tflite": "tf.lite.TFLiteConverter",
    "tflite.model": "the TFLite file itself",
    "tflite.tf2onnx": "tf2onnx.convert.from_tflite",
    "keras.tflite": "tf.lite.TFLiteConverter.from_keras_model",
    "keras.onnx": "keras.Model.export(format='onnx')",
    "keras.tf2onnx": "tf2onnx.convert.from_keras",
    "tf.saved_model": "tf.saved_model.save",
    "onnx": "onnx.helper",
    "onnxruntime": "ONNX Runtime",
    "litert": "LiteRT",
    "openvino": "OpenVINO",
    "tvm": "TVM",
    "iree": "IREE",
    "xla": "XLA",
}
#: Operators with results that are positions, and which of them they are (None: all).
_INDICES = {"argmax": None, "argmin": None, "argsort": None, "sort": 1, "topk": 1, "max": 1, "min": 1, "kthvalue": 1,
            "median": 1, "mode": 1, "cummax": 1, "cummin": 1, "nanmedian": 1, "msort": None}  # fmt: skip
#: A module and a function, as they end the detail of an exception's signature.
_PLACE = re.compile(r"[\w.<>]+")
_EXPECTED = re.compile(r"expected (?P<expected>.+?), got (?P<actual>.+?)(?: \(|$)", re.DOTALL)
_SHAPES = re.compile(r"of shape (?P<expected>\[.*?\]) expected, got (?P<actual>\[.*?\])")
_COUNTS = re.compile(r"(?P<expected>\d+ outputs) expected, got (?P<actual>\d+)")


class Clause(msgspec.Struct, frozen=True):
    """A condition that a project sets for issues that a fuzzer found; ``met`` is None where it does not apply."""

    text: str
    met: bool | None
    why: str


class Facts(msgspec.Struct, frozen=True):
    """See the module's description. ``wrong`` are the runtime variants that show it, ``quiet`` those that were
    asked and do not. ``evidence`` are the experiments about who is to blame. ``related`` is the known issue that it
    matches, ``known`` that in words. ``history`` tells of other versions, and is empty when nobody looked. Of a defect
    that is shipped, ``regression`` is the name, ``cause`` and ``data`` what was found by hand: where it comes from, and
    which data show it, ``otherwise`` what is found now in place of it; they are empty for a finding."""

    id: str
    title: str
    symptom: str
    stage: str
    kind: str
    framework: str
    component: str
    converter: str
    settings: str
    message: str
    summary: str
    expected: str
    actual: str
    script: str
    source: str
    reasons: tuple[str, ...]
    clauses: tuple[Clause, ...]
    wrong: tuple[str, ...]
    quiet: tuple[str, ...]
    versions: dict[str, str]
    runs: int
    failures: int
    nodes: int
    severity: str
    severity_reason: str
    blamed: str = ""
    confidence: str = ""
    rule: str = ""
    evidence: Table = Table()
    history: History = History()
    known: str = ""
    related: KnownIssue | None = None
    regression: str = ""
    cause: str = ""
    data: str = ""
    otherwise: str = ""

    @property
    def is_mismatch(self) -> bool:
        """Whether a model ran and gave other results."""
        return Kind(self.kind) in MISMATCH


def facts(store: Store, finding: Finding, known: KnownIssues) -> Facts:
    """Everything that the corpus holds of a finding."""
    finding = msgspec.structs.replace(finding, message=public(finding.message), title=public(finding.title))
    case = loads(store.objects.get(digest)) if (digest := finding.minimized_object or finding.case_object) else None
    script = store.objects.get(finding.reproducer_object).decode() if finding.reproducer_object else ""
    issued = store.batch(finding.campaign, finding.batch).issued
    judged = severity(finding, case)
    expected, actual = _sides(finding)
    blame = finding.blame
    return Facts(
        id=finding.id,
        title=finding.title or " ".join(finding.message.split())[:160],
        symptom=str(finding.symptom),
        stage=str(finding.signature.stage),
        kind=str(finding.signature.kind),
        framework=FRAMEWORKS.get(finding.frontend, finding.frontend),
        component=component_words(finding.signature.component),
        converter=component_words(finding.converter),
        settings=", ".join(f"{name}={value!r}" for name, value in sorted(finding.converter_settings.items())),
        message=finding.message,
        summary=_summary(finding),
        expected=expected,
        actual=actual,
        script=script,
        source=finding.source,
        reasons=tuple(_reasons(finding, case)),
        clauses=tuple(_clauses(finding, case)),
        wrong=_wrong(finding, issued),
        quiet=_quiet(finding, issued),
        versions=store.load_campaign(finding.campaign).versions,
        runs=finding.runs,
        failures=finding.failures,
        nodes=finding.nodes,
        severity=str(judged.severity),
        severity_reason=judged.reason,
        blamed=blame.component if blame else "",
        confidence=str(blame.confidence) if blame else "",
        rule=str(blame.rule) if blame else "",
        evidence=table(blame.evidence) if blame else Table(),
        history=history(store.versions(finding.id)),
        known=known.label(finding),
        related=known.of(finding),
    )


def component_words(component: str) -> str:
    """What a component is called in a sentence."""
    return _COMPONENTS.get(component, component)


def _sides(finding: Finding) -> tuple[str, str]:
    """What was expected and what came, each in a few words."""
    text = " ".join(finding.message.split())
    if finding.signature.kind in MISMATCH:
        for pattern in (_EXPECTED, _SHAPES, _COUNTS):
            if found := pattern.search(text):
                return found["expected"], found["actual"]
    expected = {
        Stage.RUNTIME_LOAD: "the model is loaded",
        Stage.INFERENCE: "the model runs",
        Stage.VALIDATE: "a valid model",
    }.get(finding.signature.stage, "the model is converted, or refused as something that is not supported")
    if finding.signature.kind in PERFORMANCE:
        expected = "a model of about the cost of what it computes"
    if finding.symptom is Symptom.NOISE:
        expected = "nothing on standard output"
    return expected, text[:300] + ("…" if len(text) > 300 else "")


def _summary(finding: Finding) -> str:
    """One or two sentences for somebody who has never heard of us."""
    component = component_words(finding.signature.component)
    source = _source(finding)
    kind = finding.signature.kind
    if kind in MISMATCH:
        what = {
            Kind.DTYPE: "an output of another element type than",
            Kind.SHAPE: "an output of another shape than",
            Kind.COUNT: "another number of outputs than",
            Kind.NONFINITE: _special(*_sides(finding)),
        }.get(kind, "other values than")
        if finding.signature.component == finding.converter:
            return f"A model converted with {component} gives {what} {source}. Nothing warns of it."
        return f"A model run with {component} gives {what} {source}. Nothing warns of it."
    if kind in PERFORMANCE:
        price = "runs far slower" if kind is Kind.SLOW else "is far larger"
        return f"A model made with {_made_with(finding)} gives what it should, and {price} than it need be."
    stages = {
        Stage.RUNTIME_LOAD: f"{component} fails to load a model made with {_made_with(finding)}",
        Stage.INFERENCE: f"{component} loads a model and fails to run it",
        Stage.VALIDATE: f"{component} reports success and writes an invalid model",
    }
    happened = {
        Kind.SIGNAL: "the process dies of a signal",
        Kind.EXIT: "the process exits",
        Kind.HANG: "it does not come to an end",
        Kind.MEMORY: "it takes memory without bound",
        Kind.STDOUT: "it prints to standard output",
        Kind.INVALID: "the validator refuses it",
    }.get(kind, "it raises an exception")
    what = stages.get(finding.signature.stage, f"{component} fails on a model that {source} runs")
    return f"{what}: {happened}."


def _special(expected: str, actual: str) -> str:
    """Which special value comes in place of which."""
    want, got = _sort_of(expected), _sort_of(actual)
    if not want or not got:
        return "NaN or infinity where it should be finite, or the reverse, compared with"
    return f"{got} where it should be {want}, compared with"


def _sort_of(number: str) -> str:
    """NaN, infinity or a finite number; empty for what is no number."""
    try:
        value = float(number)
    except ValueError:
        return ""
    return "NaN" if math.isnan(value) else "infinity" if math.isinf(value) else "a finite number"


def _made_with(finding: Finding) -> str:
    quantized = finding.converter_settings.get("quantization", "none") != "none"
    if finding.converter == "onnx" and quantized:
        return "onnxruntime.quantization"
    return component_words(finding.converter)


def _source(finding: Finding) -> str:
    """What a converted model is held against."""
    if finding.frontend == "onnx":
        return "the graph run node by node, each in a session of its own"
    if finding.frontend == "tflite":
        return "LiteRT's reference kernels, which run the model one operator at a time"
    return f"eager mode of {FRAMEWORKS.get(finding.frontend, finding.frontend)}"


def _reasons(finding: Finding, case: Case | None) -> list[str]:
    """Why the accused side is the wrong one."""
    framework = FRAMEWORKS.get(finding.frontend, finding.frontend)
    numbers = finding.numbers
    found: list[str] = []
    if finding.signature.kind in PERFORMANCE:
        if finding.signature.kind is Kind.SLOW:
            return [
                "Measured in turns with eager mode and other variants of the same runtime: its best of several runs."
            ]
        return ["In what the model may take, every constant and every value of the graph counts in full."]
    if finding.signature.kind not in MISMATCH:
        if finding.signature.stage is Stage.VALIDATE:
            return ["The conversion ends without an error; the validator of the format refuses what it wrote."]
        place = finding.signature.detail.rpartition(" @ ")[2] if " @ " in finding.signature.detail else ""
        found += [f"It is raised in `{place}`."] if _PLACE.fullmatch(place) else []
        return [
            f"The script first computes the same with {_source(finding)}, which gives the same result each time.",
            *found,
        ]
    if "reference" in numbers and finding.signature.kind in (Kind.VALUE, Kind.NONFINITE):
        error = f", from which the actual result is {numbers['reference_error']:.6g} off" if _finite(numbers) else ""
        found.append(
            f"The same model computed in float64 gives {_number(numbers['reference'])} at this element{error}. "
            f"{framework} agrees with it."
        )
    if numbers.get("tolerance") == 0.0 and finding.signature.kind is Kind.VALUE:
        found.append("Whole numbers and booleans are compared exactly, and rounding noise does not change this one.")
    elif {"bound", "error", "tolerance"} <= numbers.keys() and finding.signature.kind is Kind.VALUE:
        found.append(
            f"Rounding cannot explain the difference of {numbers['error']:.6g}: with random rounding noise injected at "
            f"every operator, results vary by at most {numbers['bound']:.3g}; the customary tolerance is "
            f"{numbers['tolerance']:.3g}."
        )
    elif {"bound", "error"} <= numbers.keys() and finding.signature.kind is Kind.VALUE:
        # Of a quantized model, which is held to no customary tolerance.
        found.append(
            f"Quantization and rounding together explain a difference of at most {numbers['bound']:.3g}, by the scales "
            f"of the model; this one is {numbers['error']:.6g}."
        )
    if finding.signature.kind in (Kind.DTYPE, Kind.SHAPE, Kind.COUNT):
        found.append("Element type, shape and number of the outputs do not depend on rounding.")
    if case is not None and not finding.needs_special:
        found.append("The inputs are ordinary numbers: neither NaN nor infinities nor extremes of integers.")
    return found


def _finite(numbers: dict[str, float]) -> bool:
    error = numbers.get("reference_error", float("inf"))
    return error == error and error not in (float("inf"), float("-inf"))


def _number(value: float) -> str:
    return f"{value:.9g}"


def _wrong(finding: Finding, issued: IssuedBatch) -> tuple[str, ...]:
    """Runtime variants that show it, each with the name of its runtime: where a runtime is at fault, a finding has the
    names of its variants alone."""
    own = {variant for runtime, variant in issued.variants if runtime == finding.signature.component}
    return tuple(f"{finding.signature.component} {name}" if name in own else name for name in finding.settings)


def _quiet(finding: Finding, issued: IssuedBatch) -> tuple[str, ...]:
    """Runtime variants that ran the model and give no other results than the source."""
    if not finding.settings or finding.signature.kind not in MISMATCH:
        return ()  # of failures that several variants share, only the first is on record
    wrong = _wrong(finding, issued)
    asked = (f"{runtime} {variant}" for runtime, variant in issued.variants)
    return tuple(name for name in asked if name not in wrong)


def _clauses(finding: Finding, case: Case | None) -> list[Clause]:
    """PyTorch's conditions for issues of fuzzers (in its template for torch.compile), and whether they are met."""
    compares = finding.signature.kind is Kind.VALUE
    numbers = finding.numbers
    tolerance: bool | None = None
    why = "no values are compared"
    if compares:
        tolerance, why = _beyond_default(finding, case)
    double: bool | None = None
    said = "no values are compared"
    if finding.signature.kind in (Kind.VALUE, Kind.NONFINITE):
        if "reference_error" in numbers:
            double = not _finite(numbers) or numbers["reference_error"] > numbers.get("bound", 0.0)
            said = f"against float64 the actual result is {numbers['reference_error']:.6g} off"
        else:
            double = "reference" in numbers
            said = "whole numbers are compared, and those of the float64 run are the same"
    indices = _uses_indices(case)
    return [
        Clause("default tolerances (torch.testing.assert_close)", tolerance, why),
        Clause("a result in higher precision as the baseline", double, said),
        Clause(
            "no indices of max, min and the like are compared",
            None if not compares else not indices,
            f"the model returns positions of {', '.join(indices)}" if indices else "the model has no such operator",
        ),
        Clause(
            "the state of random number generators is the same",
            True,
            "the model draws no random numbers: eager mode gives the same bits each time",
        ),
    ]


def _beyond_default(finding: Finding, case: Case | None) -> tuple[bool, str]:
    """Whether an error is above the default tolerance for the type of the output, and the sum."""
    numbers = finding.numbers
    output = re.match(r"output (\d+)", finding.message)
    types = case.graph.types() if case else {}
    dtype = ""
    if case is not None and output and int(output[1]) < len(case.graph.outputs):
        dtype = types[case.graph.outputs[int(output[1])]].dtype
    if dtype and dtype not in ROUNDED:
        return True, "whole numbers and booleans are compared exactly"
    custom = TOLERANCES.get(COMPONENT.get(dtype, dtype), TOLERANCES["float32"])
    limit = custom.absolute + custom.relative * abs(numbers.get("reference", 0.0))
    error = numbers.get("error", numbers.get("max_absolute", 0.0))
    return error > limit, f"error {error:.6g}, default tolerance {limit:.3g}"


def _uses_indices(case: Case | None) -> Sequence[str]:
    """Operators of which positions are used or returned."""
    if case is None:
        return ()
    used = {name for node in all_nodes(case.graph) for name in node.references()} | set(case.graph.outputs)
    found = []
    for node in all_nodes(case.graph):
        name = node.target.rpartition(".")[2]
        if name not in _INDICES:
            continue
        place = _INDICES[name]
        places = node.outputs if place is None else node.outputs[place : place + 1]
        if any(value.name in used for value in places):
            found.append(name)
    return found
