"""Which experiments tell who is to blame for a finding, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from corpus.records import Finding
from fuzzer.attempt import WITNESSES
from fuzzer.converters.base import Converter, converters
from fuzzer.formats import Format, Setting
from fuzzer.planning import default_settings
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.tasks import Subject
from oracles.blame import Accused, Role
from oracles.outcome import BEFORE_RUNTIME, Stage

#: Other values of an option that are tried, besides the one that takes a part of the converter out of play.
_OTHER_VALUES = 2


@dataclass(frozen=True)
class Experiment:
    """A conversion, and a run of what comes of it. ``component`` and ``detail`` as in the evidence."""

    role: Role
    component: str
    detail: str
    subject: Subject
    runtime: str
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """What a finding happened with: converter and settings, and a runtime with the first variant that shows it, or, of
    a failure before any runtime, one that takes its format."""

    subject: Subject
    converter: Converter
    runtime: Runtime
    variant: str
    accused: Accused

    @property
    def has_artifact(self) -> bool:
        """Whether it gets as far as an artifact that is run."""
        signature = self.accused.signature
        return signature.stage in (Stage.RUNTIME_LOAD, Stage.INFERENCE) or signature.kind not in BEFORE_RUNTIME


def scene_of(finding: Finding) -> Scene | None:
    """The scene of a finding. None when a subject of it, or any runtime for its artifacts, is not installed here."""
    converter = converters().get(finding.converter)
    if converter is None or not converter.availability().available:
        return None
    takers = _takers(converter.target)
    place = next(
        (
            (runtime, variant)
            for runtime in takers
            for variant in runtime.variants
            for shown in finding.settings[:1]
            if shown == f"{runtime.name} {variant}"
            or (shown == variant and runtime.name == finding.signature.component)
        ),
        (takers[0], next(iter(takers[0].variants))) if takers else None,
    )
    if place is None:
        return None
    runtime, variant = place
    ran = finding.signature.component == runtime.name or bool(finding.settings)
    builds = converter.source is not converter.target or converter.quantizes(finding.converter_settings)
    shared = {
        other.name: other.built_on
        for other in converters().values()
        if other.built_on and other.built_on == converter.built_on and other.name != converter.name
    }
    name = runtime.name if ran else ""
    accused = Accused(finding.signature, finding.frontend, converter.name, name, builds, runtime.parts, shared)
    subject = Subject(finding.frontend, converter.name, dict(finding.converter_settings), ())
    return Scene(subject, converter, runtime, variant, accused)


def control(scene: Scene) -> Experiment:
    """The finding once more."""
    settings = scene.runtime.variants[scene.variant]
    detail = f"{_options(scene.subject.settings, scene.converter)}, {scene.runtime.name} {scene.variant}".strip(", ")
    return Experiment(Role.CONTROL, scene.converter.name, detail, scene.subject, scene.runtime.name, settings)


def experiments(scene: Scene) -> Iterator[Experiment]:
    """All but the control and the framework's compiler, quick ones first."""
    slow: list[Experiment] = []
    if scene.has_artifact:
        for one in _votes(scene):
            if one.runtime in runtimes() and runtimes()[one.runtime].share < 1:
                slow.append(one)
            else:
                yield one
    yield from _ablations(scene)
    yield from _of_the_framework(scene)
    yield from _siblings(scene)
    yield from slow


def _votes(scene: Scene) -> Iterator[Experiment]:
    """The artifact on everything that takes it."""
    jurors = _takers(scene.converter.target)
    witness = WITNESSES.get(scene.converter.target)
    if witness is not None and not scene.converter.quantizes(scene.subject.settings):
        jurors.append(witness)
    for runtime in jurors:
        accused = runtime.name == scene.runtime.name
        for variant, settings in runtime.variants.items():
            role = Role.VARIANT if accused else Role.JUROR
            yield Experiment(role, runtime.name, variant, scene.subject, runtime.name, settings)


def _ablations(scene: Scene) -> Iterator[Experiment]:
    """The converter with one option set otherwise."""
    used = {**default_settings(scene.converter), **scene.subject.settings}
    for option in scene.converter.options:
        without, part = scene.converter.parts.get(option.name, (None, ""))
        others = [value for value in option.drawn if value not in (used[option.name], without)][:_OTHER_VALUES]
        off = [without] if part and without != used[option.name] and without is not None else []
        for value in [*off, *others]:
            settings = {**scene.subject.settings, option.name: value}
            role, component = (Role.PART, part) if value in off else (Role.OPTION, scene.converter.name)
            yield _elsewhere(scene, role, component, f"{option.name}={value!r}", scene.converter, settings)


def _of_the_framework(scene: Scene) -> Iterator[Experiment]:
    """What the framework's own exporter makes of the model, if the converter begins with it."""
    exporter = converters().get(scene.converter.through)
    if exporter is None or exporter.source is not scene.converter.source or not exporter.availability().available:
        return
    defaults = default_settings(exporter)
    name = scene.converter.through
    yield from _run_by(scene, Role.EXPORTED, name, "", exporter, defaults, compiled=False)
    if "decompose" in defaults:
        settings = {**defaults, "decompose": True}
        yield from _run_by(scene, Role.DECOMPOSED, f"{name}:decompositions", "", exporter, settings, compiled=False)


def compiled(scene: Scene) -> Iterator[Experiment]:
    """What the framework's compiler makes of what its exporter writes: seconds each, for where the others
    leave doubts."""
    for exporter in _same_source(scene):
        if not (exporter.default or exporter.own_models) and exporter.target is not Format.GRAPH:
            yield from _run_by(scene, Role.COMPILED, "", "", exporter, default_settings(exporter), compiled=True)


def _siblings(scene: Scene) -> Iterator[Experiment]:
    for sibling in _same_source(scene):
        if (sibling.default or sibling.own_models) and sibling.name != scene.converter.name:
            settings = default_settings(sibling)
            yield _elsewhere(scene, Role.SIBLING, sibling.name, "", sibling, settings)


def _run_by(
    scene: Scene,
    role: Role,
    component: str,
    detail: str,
    exporter: Converter,
    settings: Mapping[str, Setting],
    *,
    compiled: bool,
) -> Iterator[Experiment]:
    """The exporter's artifact on those runtimes of its format that are (or are not) compilers."""
    subject = Subject(scene.subject.frontend, exporter.name, dict(settings), ())
    for runtime in _takers(exporter.target):
        if (runtime.share < 1) is compiled:
            variant, given = next(iter(runtime.variants.items()))
            words = f"{detail} {runtime.name} {variant}".strip()
            yield Experiment(role, component or exporter.name, words, subject, runtime.name, given)


def _elsewhere(
    scene: Scene, role: Role, component: str, detail: str, converter: Converter, settings: Mapping[str, Setting]
) -> Experiment:
    """A conversion by another converter or with other settings, run where the finding was, if that takes it."""
    runtime, variant = scene.runtime, scene.variant
    if runtime.format is not converter.target:
        runtime = _takers(converter.target)[0]
        variant = next(iter(runtime.variants))
    subject = Subject(scene.subject.frontend, converter.name, dict(settings), ())
    words = f"{detail}, {runtime.name} {variant}".strip(", ")
    return Experiment(role, component, words, subject, runtime.name, runtime.variants[variant])


def _same_source(scene: Scene) -> list[Converter]:
    """Converters from the same framework that can be used, with a runtime for what they make."""
    return [
        other
        for other in converters().values()
        if other.source is scene.converter.source and other.availability().available and _takers(other.target)
    ]


def _takers(target: Format) -> list[Runtime]:
    """Runtimes for the format that can be used, those that every graph is run on first."""
    found = [one for one in runtimes().values() if one.format is target and one.availability().available]
    return sorted(found, key=lambda runtime: (runtime.share < 1, runtime.name not in _FIRST, runtime.name))


#: Runtimes that what has no runtime of its own is run on.
_FIRST = ("onnxruntime", "litert", "tensorflow")


def _options(settings: Mapping[str, Setting], converter: Converter) -> str:
    """The settings that are not the defaults."""
    defaults = default_settings(converter)
    return ", ".join(f"{name}={value!r}" for name, value in settings.items() if value != defaults.get(name))
