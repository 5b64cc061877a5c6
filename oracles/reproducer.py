"""The stand-alone script that shows a defect, written from a case; :mod:`oracles.verification` runs it.

A script imports nothing of ours. It exits 1 when the defect shows, 0 when it does not and 2 when something else
happens, such as another exception than the recorded one.
"""

from __future__ import annotations

import functools
import math
import re
import signal
import textwrap
from collections.abc import Mapping, Sequence

import jinja2
from packaging.requirements import Requirement

from generators.frontends.keras_source import model_argument
from generators.frontends.onnx_eager import EAGER, RUN_CONTROL
from generators.frontends.tflite_eager import EAGER as TFLITE
from generators.graph import Case, Graph, all_constants
from generators.grouping import accessing_text, arranging_text, is_grouped, returns_grouped
from generators.sizes import is_dynamic, marking_of
from oracles.outcome import DEADLY, MISMATCH, Kind, Observation, Stage, symptom_of
from oracles.performance import KEPT, NODE_BYTES
from oracles.tensor_source import UNPACK, tensor_source
from oracles.tolerances import ROUNDED, TOLERANCES, Tolerance

#: Seconds that a child may take before it hangs, where the observation does not tell the deadline.
HANG_SECONDS = 60
#: MiB that a child may hold, where the observation does not tell the limit.
MEMORY_MIB = 4096
#: What scripts import for a frontend.
_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "tensorflow": ("tensorflow as tf",),
    "keras": ("tensorflow as tf", "keras"),
    "onnx": ("numpy as np", "onnx", "onnxruntime"),
    "tflite": ("flatbuffers", "numpy as np"),
}
#: Frontends whose tensors are NumPy arrays, and whose models come with what runs them.
_ARRAYS = ("onnx", "tflite")
#: What a subject prints or how it exits is seen from outside, as is its death.
_CHILD = DEADLY | {Kind.STDOUT}


def render(
    case: Case,
    observation: Observation,
    *,
    frontend_source: str,
    frontend: str,
    converter_name: str,
    convert_script: str,
    runtime_script: str | None = None,
    load_script: str = "",
    sibling: tuple[str, str] | None = None,
    versions: Sequence[str] = (),
    title: str = "",
    tolerance: Tolerance | None = None,
) -> str:
    """The script for one observation of a case.

    ``frontend_source`` defines ``class Model``. ``convert_script`` goes from ``model`` and ``inputs`` to ``artifact``;
    ``runtime_script`` from ``artifact`` and ``feeds`` to ``actual``; it is needed for mismatches, for what is slow
    and for failures in the runtime. With dynamic dimensions, ``dynamic_shapes`` are there for both, and the latter is
    repeated at every size but for the lines of ``load_script`` that it begins with, which are not timed either.
    ``sibling`` is the name of another converter to the same format and its script, which an artifact's size is compared
    with, too. ``versions`` are distributions (requirement strings will do) whose versions are printed. A value counts
    as wrong when its error is above both the tolerance (default: the customary one of the element type) and the noise
    bound recorded with the observation. ValueError when a needed runtime script is missing or the frontend is unknown.
    """
    if frontend not in _PACKAGES:
        raise ValueError(f"no reproducers for the frontend {frontend!r}")
    kind = observation.signature.kind
    in_runtime = observation.signature.stage in (Stage.RUNTIME_LOAD, Stage.INFERENCE)
    if runtime_script is None and (kind in MISMATCH or kind is Kind.SLOW or in_runtime):
        raise ValueError(f"a {kind} in the {observation.signature.stage} stage needs a runtime script")
    imports = ["importlib.metadata", "os", "sys"]
    if kind in _CHILD:
        imports += ["signal", "subprocess"] + (["contextlib", "time"] if kind is Kind.MEMORY else [])
    if kind is Kind.SLOW:
        imports += ["statistics", "time"]
    types = case.graph.types()
    if runtime_script is not None and case.further and kind is not Kind.SLOW:
        runtime_script = _at_every_size(runtime_script, load_script)
    others = [
        [tensor_source(feeds[value.name], frontend, value.layout) for value in case.graph.inputs]
        for feeds in case.further
    ]
    dtypes = [types[name].dtype for name in case.graph.outputs]
    inputs = [tensor_source(case.feeds[value.name], frontend, value.layout) for value in case.graph.inputs]
    constants = [
        (repr(item.name), tensor_source(item.data, "numpy" if frontend == "keras" else frontend))
        for item in all_constants(case.graph)
        if f"CONSTANTS[{item.name!r}]" in frontend_source
    ]
    texts = [*inputs, *(text for _, text in constants), *(text for other in others for text in other)]
    unpack = any("unpack(" in text for text in texts)
    if unpack:
        imports += ["base64", "zlib"]
    scripts = convert_script.rstrip() + (
        "\n\n" + runtime_script.rstrip() if runtime_script and _runs(observation) else ""
    )
    if kind is Kind.SLOW:
        called = "eager(inputs)" if frontend == "keras" else "eager(*inputs)"
        body = _slow(convert_script, runtime_script or "", load_script, called)
    elif kind is Kind.BLOATED:
        body = _bloated(observation, convert_script, sibling)
    else:
        body = _body(case, observation, convert_script, runtime_script, tolerance, scripts)
    packages = set(_PACKAGES[frontend])
    # What ends ONNX Runtime as a subject may end it as eager mode, too; nothing is compared then.
    unasked = frontend == "onnx" and kind in DEADLY
    if frontend == "onnx" and not unasked:
        imports.append("ctypes")
    if unpack or frontend in ("tensorflow", "keras") or "np." in body:
        packages.add("numpy as np")
    if kind is Kind.INVALID and _is_onnx(convert_script, converter_name):
        packages.add("onnx")
    input_bits = [value.type.dtype for value in case.graph.inputs]
    bits = (
        *input_bits,
        *dtypes,
        *(item.type.dtype for item in all_constants(case.graph) if frontend in ("onnx", "keras", "tflite")),
    )
    if frontend != "tensorflow" and any(_extended(name) or name in ("int4", "uint4") for name in bits):
        packages.add("ml_dtypes")
    return _tidy(
        _environment()
        .get_template("reproducer.py.j2")
        .render(
            title=_comment(title) or "A converter defect",
            summary=_comment(
                f"{symptom_of(kind)} · {observation.signature.stage} · {converter_name}"
                f"{' · ' + observation.settings if observation.settings else ''}"
            ),
            imports=sorted(imports),
            packages=sorted(packages),
            child=kind in _CHILD,
            kind=str(kind),
            status=-_signal_number(observation.signature.detail) if kind is Kind.SIGNAL else 0,
            deadline=_recorded(observation, r"over ([\d.]+) s\b", HANG_SECONDS),
            limit=_recorded(observation, r"over ([\d.]+) MiB", MEMORY_MIB),
            unpack=UNPACK if unpack else "",
            constants=constants,
            model=(_unasked(frontend_source) if unasked else frontend_source).strip(),
            unasked=unasked,
            torch=frontend == "torch",
            arrays=frontend in _ARRAYS,
            eager=_eager(case) if frontend in _ARRAYS and not unasked else "",
            keras=frontend == "keras",
            inputs=_list(inputs),
            others=[_list(other).replace("\n", "\n    ") for other in others],
            arranged=_arranged(case.graph, keras=frontend == "keras"),
            returned=accessing_text(case.graph, "y", by_key=frontend != "torch") if returns_grouped(case.graph) else "",
            dynamic=repr(marking_of(case.graph)) if is_dynamic(case.graph) else "",
            input_bits=input_bits,
            output_bits=dtypes,
            to_numpy=_to_numpy,
            array=_array(frontend, (*input_bits, *dtypes)),
            sequence=len(dtypes) != 1 or frontend in _ARRAYS,
            versions=repr(tuple(_distributions(versions, frontend))),
            body=body,
        )
    )


def _unasked(source: str) -> str:
    """The printed model of ONNX without the method that runs it."""
    return source.partition("    def __call__(")[0]


def _arranged(graph: Graph, *, keras: bool) -> str:
    """What of ``inputs`` the model is called with, where that is not the list itself; empty where it is."""
    if not is_grouped(graph):
        return ""
    return model_argument(graph, "x[{}]".format) if keras else arranging_text(graph, "x")


def _eager(case: Case) -> str:
    if case.graph.frontend == "tflite":
        return TFLITE
    controlled = any(next(node.bodies(), None) is not None for node in case.graph.nodes)
    return f"{EAGER}\n\n{RUN_CONTROL}" if controlled else EAGER


def starts_itself(kind: Kind) -> bool:
    """Whether the script of such a failure runs itself again in a child, which it watches."""
    return kind in _CHILD


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("oracles"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Python, not HTML
    )


def _body(
    case: Case,
    observation: Observation,
    convert_script: str,
    runtime_script: str | None,
    tolerance: Tolerance | None,
    scripts: str,
) -> str:
    """The part from the conversion on."""
    signature = observation.signature
    kind = signature.kind
    if kind in _CHILD:
        ending = "\n\nsys.stdout.flush()\nos._exit(99)  # reached the end" if kind is Kind.EXIT else ""
        return scripts + ending
    if kind in (Kind.EXCEPTION, Kind.UNSUPPORTED):
        guarded = runtime_script if _runs(observation) else convert_script
        exception, words = _exception(signature.detail)
        return _template(
            "exception",
            before=convert_script.rstrip() + "\n" if _runs(observation) else "",
            lines=textwrap.indent((guarded or "").rstrip(), "    "),
            exception=repr(exception),
            words=repr(words),
        )
    if kind is Kind.INVALID:
        _, found, broken = observation.message.partition("ONNX operators: ")
        return _template(
            "invalid",
            before=scripts,
            onnx=_is_onnx(convert_script, signature.component),
            # With external data, a script makes a file instead of bytes.
            loaded="onnx.load(artifact)" if "artifact = '" in convert_script else "onnx.load_from_string(artifact)",
            checker=signature.detail.startswith("onnx.checker"),
            worded=broken.partition(":")[0] if found else "",
            complaint=repr(broken),
            asks="the model asks for" in observation.message,
            complex=any(kind.dtype.startswith("complex") for kind in case.graph.types().values()),
        )
    types = case.graph.types()
    names = {types[name].dtype for name in case.graph.outputs}
    rounded = sorted(names & ROUNDED)
    custom = tolerance or (
        max((TOLERANCES[name] for name in rounded), key=lambda item: item.relative) if rounded else None
    )
    return _template(
        "mismatch",
        before=scripts,
        complex=any(name.startswith("complex") for name in names),
        extended=any(_extended(name) for name in names),
        kind=str(kind),
        rounded=bool(rounded),
        relative=repr(custom.relative) if custom else "0",
        absolute=repr(custom.absolute) if custom else "0",
        bound=_bound(observation),
    )


def _slow(convert: str, run: str, load: str, called: str) -> str:
    """From the conversion to the times of a run and of eager mode; what is loaded once is not timed."""
    if not run.startswith(load):
        load = ""
    return _template(
        "slow",
        before=f"eager = model\n{convert.rstrip()}\n\n{load}".rstrip() + "\n",
        run=textwrap.indent(run.removeprefix(load).strip(), "    "),
        eager=called,
        ratio=KEPT.time.ratio,
        excess=KEPT.time.excess,
    )


def _bloated(observation: Observation, convert: str, sibling: tuple[str, str] | None) -> str:
    """From the conversion to the sizes of the artifact and of what it is compared with."""
    return _template(
        "bloated",
        before=convert.rstrip() + "\n",
        expected=int(observation.numbers["expected_bytes"]),
        node_bytes=NODE_BYTES,
        sibling_name=sibling[0] if sibling else "",
        sibling=textwrap.indent(sibling[1].strip(), "    ") if sibling else "",
        ratio=KEPT.size.ratio,
        excess=KEPT.size.excess,
    )


def _at_every_size(script: str, load: str) -> str:
    """From ``sizes`` (inputs, feeds and expected outputs of each) to ``actual`` and ``expected`` of all of them."""
    if not script.startswith(load):
        load = ""
    return (
        f"{load}computed, wanted = [], []\n"
        "for inputs, feeds, expected in sizes:\n"
        f"{textwrap.indent(script.removeprefix(load).strip(), '    ')}\n"
        "    computed += actual\n"
        "    wanted += expected\n"
        "actual, expected = computed, wanted\n"
    )


def _template(name: str, **values: object) -> str:
    return _environment().get_template(f"{name}.py.j2").render(**values)


def _runs(observation: Observation) -> bool:
    """Whether the failure needs the runtime."""
    signature = observation.signature
    return signature.kind in MISMATCH | {Kind.SLOW} or signature.stage in (Stage.RUNTIME_LOAD, Stage.INFERENCE)


def _exception(detail: str) -> tuple[str, list[str]]:
    """Type name and telling words of ``ExcType: normalised message @ module.function``.

    Runs of letters survive normalisation unchanged, so that each is part of the original message.
    """
    text = detail.rsplit(" @ ", 1)[0]
    name, _, message = text.partition(":")
    words = [word for word in dict.fromkeys(re.findall(r"[A-Za-z]{4,}", message))]
    return name.strip(), words[:8]


def _signal_number(detail: str) -> int:
    """Of ``SIGSEGV`` or ``signal 11``. ValueError for anything else."""
    match = re.search(r"\b(SIG[A-Z0-9]+)\b|signal (\d+)", detail)
    if match is None:
        raise ValueError(f"no signal is named in {detail!r}")
    return int(signal.Signals[match[1]]) if match[1] else int(match[2])


def _bound(observation: Observation) -> str:
    """The noise bound as text, empty when none above zero was recorded."""
    bound = float(observation.numbers.get("bound", 0.0))
    return repr(bound) if bound > 0 and math.isfinite(bound) else ""


def _recorded(observation: Observation, pattern: str, default: float) -> str:
    match = re.search(pattern, observation.message)
    return f"{float(match[1]) if match else default:g}"


def _is_onnx(convert_script: str, converter_name: str) -> bool:
    return "onnx" in converter_name or "onnx" in convert_script


def _extended(name: str) -> bool:
    return name.startswith(("bfloat", "float8"))


def _array(frontend: str, dtypes: Sequence[str]) -> str:
    """``x`` as a NumPy array. NumPy cannot make one of TensorFlow's scalars of bfloat16 and float8 by itself."""
    native = frontend in ("tensorflow", "keras") and any(map(_extended, dtypes))
    return "np.asarray(x.numpy())" if native else "np.asarray(x)"


def _to_numpy(variable: str, dtypes: Sequence[str]) -> str:
    """A torch tensor as NumPy. torch hands bfloat16 and float8 over only as integers of the same width."""
    plain = (
        f"{variable}.detach().resolve_conj().resolve_neg().numpy()"
        if any(name.startswith("complex") for name in dtypes)
        else f"{variable}.detach().numpy()"
    )
    extended = sorted({name for name in dtypes if _extended(name)})
    if not extended:
        return plain
    bits = {name: "torch.int16" if name == "bfloat16" else "torch.uint8" for name in extended}
    text = plain
    for name in extended:
        bit = f"{variable}.detach().contiguous().view({bits[name]}).numpy().view(ml_dtypes.{name})"
        text = f"{bit} if {variable}.dtype is torch.{name} else {text}" if len(set(dtypes)) > 1 else bit
    return f"({text})" if len(set(dtypes)) > 1 else text


def _distributions(versions: Sequence[str], frontend: str) -> list[str]:
    own = {"keras": ["keras", "tensorflow"], "tflite": ["ai-edge-litert"]}.get(frontend, [frontend])
    names = [*own, *(Requirement(text).name for text in versions), "numpy"]
    return list(dict.fromkeys(names))


def _list(items: Sequence[str]) -> str:
    """The items of a list, one a line where they do not fit into one."""
    joined = ", ".join(items)
    if len(joined) <= 100 and "\n" not in joined:
        return joined
    return "\n" + "".join(f"    {textwrap.indent(item, '    ').lstrip()},\n" for item in items)


def _comment(text: str) -> str:
    """Text of others in one line that stays a comment."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:400]


def _tidy(text: str) -> str:
    """Single blank lines, none at the end or between an import and what uses it, and no top-level import twice."""
    lines: list[str] = []
    for line in text.splitlines():
        imports = _imports(line)
        if imports and line in lines:
            continue
        plain = bool(line.strip()) and not line.startswith(("def ", "class ", "import ", "from "))
        if plain and len(lines) > 2 and not lines[-1] and _imports(lines[-2]) and not lines[-3]:
            lines.pop()
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).strip() + "\n"


def _imports(line: str) -> bool:
    return line.startswith(("import ", "from "))
