"""The upstream projects as data: which template they have, what it asks for, and which findings are theirs.

A project is ``projects/<key>.toml`` with ``templates/<template>.md.j2``, in which a block stands for each field that
the project's own template has (in its ``.github/ISSUE_TEMPLATE``, looked up in November 2026).
"""

from __future__ import annotations

import functools
import importlib.resources
from fnmatch import fnmatchcase

import msgspec

from corpus.records import Finding
from fuzzer.errors import UsageError


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field of a project's template: its ``label``, the ``block`` of our template that fills it, its ``id`` in a link
    (empty when the form gives it none), and whether the form shows it as ``code`` by itself."""

    label: str
    block: str
    id: str = ""
    code: bool = False


class Project(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An upstream project's way to report a defect.

    ``form`` is the file of its issue template (empty: it has none). A form with ``prefilled`` fields takes each as a
    parameter of a link by its id; otherwise the text goes into the body. ``labels`` are set by the template, and
    ``wanted_labels`` asked for by the project's rules, for a maintainer or the person who files to add. ``components``
    are patterns of those whose findings go there, ``modules`` beginnings of the modules in which an exception is
    raised; the latter decide first. ``asks`` are what the project wants done before anything is filed. ``heading`` is
    how its template writes a heading, ``collect`` the arguments of Python that run its own script.
    """

    name: str
    repository: str
    template: str
    fields: tuple[Field, ...]
    form: str = ""
    prefilled: bool = False
    title: str = ""
    heading: str = "### {}"
    labels: tuple[str, ...] = ()
    wanted_labels: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    fuzzer_clause: bool = False
    asks: tuple[str, ...] = ()
    key: str = ""


@functools.cache
def projects() -> dict[str, Project]:
    """All projects by key, in the order of their keys."""
    found = {}
    directory = importlib.resources.files("fuzzer.upstream").joinpath("projects")
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        key, dot, suffix = entry.name.rpartition(".")
        if dot and suffix == "toml":
            project = msgspec.toml.decode(entry.read_bytes(), type=Project)
            found[key] = msgspec.structs.replace(project, key=key)
    return found


def project_of(finding: Finding, blamed: str = "") -> Project | None:
    """The project that a finding is for: that of the module in which it raises, else that of the component ``blamed``
    (``onnxruntime:ConstantFolding`` is ONNX Runtime's), else that of the component at work. None when nobody claims
    it."""
    module = finding.signature.detail.rpartition(" @ ")[2] if " @ " in finding.signature.detail else ""
    if module and not blamed:
        for project in projects().values():
            if any(module == name or module.startswith(f"{name}.") for name in project.modules):
                return project
    return of_component(blamed.partition(":")[0], finding.signature.component, finding.converter)


def of_component(*components: str) -> Project | None:
    """The project that claims the first of the components that any does; None when nobody claims one."""
    for component in components:
        for project in projects().values():
            if component and any(fnmatchcase(component, pattern) for pattern in project.components):
                return project
    return None


def named(name: str) -> Project:
    """The project of that key, or of that repository (``owner/name``). UsageError when there is none."""
    known = projects()
    if name in known:
        return known[name]
    for project in known.values():
        if project.repository.lower() == name.lower().removeprefix("https://github.com/").strip("/"):
            return project
    listed = ", ".join(f"{key} ({project.repository})" for key, project in known.items())
    raise UsageError(f"there is no template for {name!r}", f"--to is one of {listed}")
