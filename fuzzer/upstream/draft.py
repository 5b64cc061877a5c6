"""Drafts of issues: a finding's facts in the form of a project's template, as Markdown and as a link to open.

Nothing is sent. The link opens GitHub's page for a new issue with the fields filled in; a person reads it, and files it
or not.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import jinja2
import msgspec

from corpus.objects import write_durably
from corpus.records import Finding
from corpus.store import Store
from fuzzer.errors import UsageError
from fuzzer.upstream.environment import Environment, collected, environment
from fuzzer.upstream.facts import Clause, Facts, facts
from fuzzer.upstream.known_issues import KnownIssues
from fuzzer.upstream.projects import Field, Project, project_of

#: Bytes that a link may have: GitHub's servers answer 414 to a request above 8191.
LONGEST_LINK = 8000
#: Characters of a title; GitHub takes 256.
LONGEST_TITLE = 200
#: PyTorch's label for issues of fuzzers that meet its conditions.
_FUZZER = "topic: fuzzer"
_EMPTY = re.compile(r"\n{3,}")


class Draft(msgspec.Struct, frozen=True):
    """An issue that nobody has filed. ``fields`` are pairs of a label and its text. ``left_out`` are the labels of
    those that the link has no room for. ``labels`` are those to ask for beside the template's own. ``notes`` are for
    the person, and no part of the issue."""

    project: Project
    title: str
    fields: tuple[tuple[str, str], ...]
    link: str
    left_out: tuple[str, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def body(self) -> str:
        """The text of the issue as the project's template lays it out."""
        return "\n\n".join(f"{self.project.heading.format(label)}\n\n{text}" for label, text in self.fields) + "\n"

    @property
    def markdown(self) -> str:
        """The whole draft: what the person must know, then title, link and text."""
        return _environment().get_template("draft.md.j2").render(draft=self, project=self.project)


def choose(finding: Finding) -> Project:
    """The project that a finding is for. UsageError when no template is."""
    blame = finding.blame
    project = project_of(finding, blame.component if blame else "")
    if project is None:
        raise UsageError(f"no template is for findings of {finding.signature.component}", "choose a project with --to")
    return project


def draft(store: Store, finding: Finding, project: Project, known: KnownIssues, *, collect: bool = True) -> Draft:
    """The draft of an issue for a finding. UsageError when it has no reproducer yet. ``collect`` runs the project's own
    script that describes the environment, which takes seconds the first time."""
    if not finding.reproducer_object:
        raise UsageError(
            f"finding {finding.id} has no reproducer: it is {finding.state}",
            f"`convfuzz resume {finding.campaign}` goes on with it",
        )
    found = facts(store, finding, known)
    here = environment(project.distributions)
    text = collected(project.collect, here.installed) if project.collect and collect else ""
    return compose(found, project, here, text)


def compose(found: Facts, project: Project, here: Environment, collected_text: str = "") -> Draft:
    """The draft from what is known, without looking anything up."""
    versions = {name: found.versions[name] for name in project.distributions if name in found.versions}
    versions = {**here.installed, **versions}
    values = {
        "f": found,
        "project": project,
        "here": here,
        "versions": versions,
        "collected": collected_text,
    }
    template = _environment().get_template(f"{project.template}.md.j2")
    # What is empty (no version of a provider) is no field of the draft.
    texts = {field: _tidy(template.render(values, wanted=field.block)) for field in project.fields}
    filled = {field: text for field, text in texts.items() if text}
    title = _title(project, found)
    link, left_out = _link(project, title, filled)
    return Draft(
        project,
        title,
        tuple((field.label, _fenced(text) if field.code else text) for field, text in filled.items()),
        link,
        left_out,
        tuple(label for label in project.wanted_labels if label != _FUZZER or not _unmet(found)),
        tuple(_notes(found, project, here)),
    )


def write(store: Store, finding: Finding, known: KnownIssues, *, collect: bool = True) -> Path | None:
    """The draft of a finding as a file in its directory, under the project's key; None when no project has a template
    for it. OSError when it cannot be written."""
    try:
        project = choose(finding)
    except UsageError:
        return None
    made = draft(store, finding, project, known, collect=collect)
    path = store.directory / "findings" / finding.id / f"{project.key}.md"
    write_durably(path, made.markdown.encode(errors="backslashreplace"))
    return path


def _unmet(found: Facts) -> list[Clause]:
    return [clause for clause in found.clauses if clause.met is False]


def _title(project: Project, found: Facts) -> str:
    where = found.component
    text = f"{project.title}{where}: {' '.join(found.title.split())}"
    return text if len(text) <= LONGEST_TITLE else text[: LONGEST_TITLE - 1] + "…"


def _notes(found: Facts, project: Project, here: Environment) -> list[str]:
    """What the person who files is to know and to do."""
    notes = []
    if found.known:
        notes.append(f"This looks like a known issue: {found.known}")
    if found.failures < found.runs:
        notes.append(f"It shows in {found.failures} of {found.runs} runs only: say so, or find out what it depends on.")
    if found.blamed and found.confidence == "low":
        notes.append(f"Who is to blame ({found.blamed}) is a guess: {found.rule}.")
    if project.fuzzer_clause:
        for clause in _unmet(found):
            notes.append(f"Not met: {clause.text} ({clause.why}). So it is no issue for the label `{_FUZZER}`.")
    for name, version in sorted(here.installed.items()):
        if found.versions.get(name, version) != version:
            notes.append(f"Found with {name} {found.versions[name]}; {version} is installed now: run the script again.")
    return [*notes, *(f"{ask[0].upper()}{ask[1:]}." for ask in project.asks)]


# -- links -------------------------------------------------------------------------------------------------------


def _link(project: Project, title: str, texts: Mapping[Field, str]) -> tuple[str, tuple[str, ...]]:
    """The link, and the labels of the fields that are too long for it: the longest give way first. Labels are no part
    of it, since GitHub answers 404 to who may not set them."""
    shown = dict(texts)
    left_out: list[Field] = []
    while True:
        link = _url(project, title, shown)
        candidates = [field for field in shown if field not in left_out]
        if len(link) <= LONGEST_LINK or not candidates:
            return link, tuple(field.label for field in texts if field in left_out)
        longest = max(candidates, key=lambda field: len(quote(shown[field], safe="")))
        left_out.append(longest)
        shown[longest] = f"(too long for a link: paste “{longest.label}” from the draft here)"


def _url(project: Project, title: str, texts: Mapping[Field, str]) -> str:
    parameters = {"title": title}
    if project.form and (project.prefilled or project.form.endswith(".md")):
        parameters = {"template": project.form, **parameters}
    if project.prefilled:
        parameters.update((field.id, text) for field, text in texts.items() if field.id)
    else:
        parameters["body"] = "\n\n".join(
            f"{project.heading.format(field.label)}\n\n{_fenced(text) if field.code else text}"
            for field, text in texts.items()
        )
    query = "&".join(f"{name}={quote(text, safe='')}" for name, text in parameters.items())
    return f"https://github.com/{project.repository}/issues/new?{query}"


# -- words in Markdown -------------------------------------------------------------------------------------------


def _fenced(text: str, language: str = "") -> str:
    """Text of others as a block of code that it cannot leave."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _tidy(text: str) -> str:
    """Never more than one empty line in a row outside of code."""
    return _EMPTY.sub("\n\n", text).strip()


def _inline(text: str) -> str:
    """Text of others on one line as code that it cannot leave."""
    line = " ".join(text.split())
    ticks = "`" * (max((len(run) for run in re.findall(r"`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}" if line else ""


def _cell(text: str) -> str:
    """Text of others in a cell of a table."""
    return _inline(text).replace("|", "\\|")


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("fuzzer.upstream"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML: what others wrote goes through the filters below
    )
    made.filters.update(fenced=_fenced, inline=_inline, cell=_cell)
    made.globals["parts"] = made.get_template("parts.md.j2").module
    return made
