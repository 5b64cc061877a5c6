"""What is installed, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points

import msgspec
from rich.table import Table
from rich.text import Text

from fuzzer.converters.base import Converter, converters
from fuzzer.plugins import broken_plugins
from fuzzer.routes import routes
from fuzzer.runtimes import _delegates as delegates
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.runtimes.onnx_reference import OnnxReference
from fuzzer.runtimes.onnxruntime import accelerated, provider_variants
from generators.frontends.base import frontend


class Status(StrEnum):
    """``absent`` is something optional that this machine does not have; ``missing`` is something that a subject needs;
    ``broken`` is something installed that does not work."""

    OK = "ok"
    ABSENT = "absent"
    MISSING = "missing"
    BROKEN = "broken"


class DoctorRow(msgspec.Struct, frozen=True):
    """One thing that was looked at. ``versions`` maps distributions to versions; ``detail`` says what is wrong;
    ``remedy`` is a command, or an instruction, that would change it."""

    kind: str
    name: str
    status: Status
    versions: dict[str, str] = {}
    detail: str = ""
    remedy: str = ""


#: Execution providers worth knowing about, with the way to get them.
PROVIDERS = {
    "CUDAExecutionProvider": "pip uninstall onnxruntime && pip install onnxruntime-gpu  (NVIDIA GPU)",
    "TensorrtExecutionProvider": "pip uninstall onnxruntime && pip install onnxruntime-gpu tensorrt  (NVIDIA GPU)",
    "OpenVINOExecutionProvider": "pip uninstall onnxruntime && pip install onnxruntime-openvino  (Intel)",
    "CoreMLExecutionProvider": "part of onnxruntime on macOS",
    "DmlExecutionProvider": "pip uninstall onnxruntime && pip install onnxruntime-directml  (Windows)",
}


def report() -> list[DoctorRow]:
    """Look at frontends, converters, runtimes with their providers, and routes. Imports the frameworks, so that a
    broken installation shows; takes some seconds."""
    return [
        *_frontends(),
        *_subjects("converter", converters()),
        *_broken("converter", "convfuzz.converters", Converter),
        *_subjects("runtime", runtimes()),
        *_broken("runtime", "convfuzz.runtimes", Runtime),
        *_witnesses(),
        *_providers(),
        *_delegates(),
        *(DoctorRow("route", str(route), Status.OK) for route in routes()),
    ]


def exit_status(rows: Sequence[DoctorRow]) -> int:
    """0 when there is a route to fuzz and nothing installed is broken, else 2."""
    usable = any(row.kind == "route" and row.status is Status.OK for row in rows)
    return 0 if usable and all(row.status is not Status.BROKEN for row in rows) else 2


def table(rows: Sequence[DoctorRow]) -> Table:
    """The rows for a terminal."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "name", "status", "versions", "what to do"):
        made.add_column(title, overflow="fold", no_wrap=title == "name")
    styles = {Status.OK: "green", Status.ABSENT: "dim", Status.MISSING: "yellow", Status.BROKEN: "red"}
    before = ""
    for row in rows:
        versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
        made.add_row(
            Text("" if row.kind == before else row.kind, "bold"),
            Text(row.name),
            Text(row.status.value, styles[row.status]),
            Text(versions),
            Text("\n".join(part for part in (row.detail, row.remedy) if part)),
        )
        before = row.kind
    return made


#: Distributions of frameworks that are called otherwise than their frontends.
_DISTRIBUTIONS = {"tflite": "ai-edge-litert"}


def _frontends() -> Iterator[DoctorRow]:
    for entry in sorted(entry_points(group="convfuzz.frontends"), key=lambda entry: entry.name):
        try:
            version = frontend(entry.name).version()
        except ImportError as error:
            missing = _distribution(entry) is None
            name = _DISTRIBUTIONS.get(entry.name, entry.name)
            remedy = f"pip install {name}" if missing else f"pip install --force-reinstall {name}"
            status = Status.MISSING if missing else Status.BROKEN
            yield DoctorRow("frontend", entry.name, status, detail=_words(error), remedy=remedy)
        except Exception as error:  # noqa: BLE001  (whatever a framework raises when it is imported is the diagnosis)
            yield DoctorRow("frontend", entry.name, Status.BROKEN, detail=_words(error), remedy=_reinstall(entry))
        else:
            yield DoctorRow("frontend", entry.name, Status.OK, {entry.name: version})


def _distribution(entry: EntryPoint) -> str | None:
    """Version of the distribution of the frontend's framework."""
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(entry.name, entry.name))
    except importlib.metadata.PackageNotFoundError:
        return None


def _reinstall(entry: EntryPoint) -> str:
    owner = entry.dist.name if entry.dist is not None else entry.name
    return f"pip install --force-reinstall {owner}"


def _subjects(kind: str, found: Mapping[str, Converter] | Mapping[str, Runtime]) -> Iterator[DoctorRow]:
    for name, subject in found.items():
        state = subject.availability()
        status = Status.OK if state.available else Status.MISSING
        detail = state.problem or (_tests(subject) if isinstance(subject, Runtime) else "")
        yield DoctorRow(kind, name, status, dict(state.versions), detail, state.remedy)


def _tests(runtime: Runtime) -> str:
    """Which format a runtime takes, its variants (in parentheses those that take turns), the share of batches."""
    standing = [name for name in runtime.variants if name not in runtime.occasional]
    turns = f" ({', '.join(runtime.occasional)} in turn)" if runtime.occasional else ""
    share = f"; in {runtime.share:.0%} of the batches" if runtime.share < 1 else ""
    return f"{runtime.format}: {', '.join(standing)}{turns}{share}"


def _witnesses() -> Iterator[DoctorRow]:
    """Evaluators that accuse nobody: they are asked when the runtimes differ from the source framework."""
    witness = OnnxReference()
    for row in _subjects("witness", {witness.name: witness}):
        yield (
            row
            if row.status is not Status.OK
            else msgspec.structs.replace(row, detail=f"{witness.format}: heard on findings")
        )


def _broken(kind: str, group: str, base: type[Converter] | type[Runtime]) -> Iterator[DoctorRow]:
    for name, error in broken_plugins(group, base).items():
        yield DoctorRow(kind, name, Status.BROKEN, detail=_words(error))


def _providers() -> Iterator[DoctorRow]:
    """Execution providers of ONNX Runtime: those present, and those that could be."""
    try:
        import onnxruntime
    except ImportError:
        return
    present = onnxruntime.get_available_providers()
    for name in present:
        yield DoctorRow("onnxruntime provider", name, Status.OK, detail=_use_of(name))
    for name, remedy in PROVIDERS.items():
        if name not in present:
            yield DoctorRow("onnxruntime provider", name, Status.ABSENT, remedy=remedy)


def _use_of(provider: str) -> str:
    if provider == "AzureExecutionProvider":
        return "not used: it sends models to a service"
    return "; ".join(f"variant {variant}" for variant in provider_variants(accelerated([provider])))


def _delegates() -> Iterator[DoctorRow]:
    """Delegates of LiteRT's Python package: XNNPACK is built in, Flex never is."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return
    yield DoctorRow("litert delegate", "XNNPACK", Status.OK, detail="variants xnnpack and xnnpack-threads")
    here = delegates.present()
    for name, library in delegates.LIBRARIES.items():
        if name in here:
            yield DoctorRow("litert delegate", name, Status.OK, detail=f"variant {name}: {here[name]}")
        else:
            remedy = (
                f"install its maker's {library} where the dynamic linker looks, or name its folder in LD_LIBRARY_PATH"
            )
            yield DoctorRow("litert delegate", name, Status.ABSENT, remedy=remedy)
    remedy = "not built for ai-edge-litert; the converter's option select_tf_ops stays off"
    yield DoctorRow("litert delegate", "Flex", Status.ABSENT, remedy=remedy)


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, RuntimeError) else f"{type(error).__name__}: {text}"
