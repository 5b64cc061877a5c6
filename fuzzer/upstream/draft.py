"""Drafts of issues: a finding's facts in the form of a project's template, as Markdown and as a link to open.

Nothing is sent. The link opens GitHub's page for a new issue with the fields filled in; a person reads it, and files it
or not.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote_plus

import jinja2
import msgspec

from corpus.objects import write_durably
from corpus.records import Campaign, Finding
from corpus.store import Store
from fuzzer.cli_text import SHORT
from fuzzer.errors import UsageError
from fuzzer.toolchains import interpreter
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
#: What is left out of a link first.
_TABLES = "the tables of experiments and versions"
_LINK = re.compile(r"https?://[\w./#?&=%:+-]+")
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
    with contextlib.ExitStack() as stack:
        python = _interpreter_of(store.load_campaign(finding.campaign), stack)
        here = environment(project.distributions)
        text = collected(project.collect, here.installed, python) if project.collect and collect else ""
    return compose(found, project, here, text)


def _interpreter_of(campaign: Campaign, stack: contextlib.ExitStack) -> str:
    """The interpreter that a campaign ran in, if it is there still: a report is about its packages, not those here."""
    try:
        return stack.enter_context(interpreter(str(campaign.config.get("toolchain", ""))))
    except UsageError:
        return sys.executable


def compose(found: Facts, project: Project, here: Environment, collected_text: str = "") -> Draft:
    """The draft from what is known, without looking anything up."""
    versions = {name: found.versions[name] for name in project.distributions if name in found.versions}
    values = {
        "project": project,
        "here": msgspec.structs.replace(here, python=found.versions.get("python", here.python)),
        "versions": {**here.installed, **versions},
        "collected": collected_text,
    }
    filled = _texts(project, {**values, "f": found})
    title = _title(project, found)
    link, left_out = _link(project, title, filled, lambda: _texts(project, {**values, "f": _without_tables(found)}))
    return Draft(
        project,
        title,
        tuple((field.label, _fenced(text) if field.code else text) for field, text in filled.items()),
        link,
        left_out,
        tuple(label for label in project.wanted_labels if label != _FUZZER or not _unmet(found)),
        tuple(_notes(found, project, here, collected_text)),
    )


def _texts(project: Project, values: Mapping[str, object]) -> dict[Field, str]:
    """The text of each field. What is empty (no version of a provider) is no field of the draft."""
    template = _environment().get_template(f"{project.template}.md.j2")
    texts = {field: _tidy(template.render(values, wanted=field.block)) for field in project.fields}
    return {field: text for field, text in texts.items() if text}


def _without_tables(found: Facts) -> Facts:
    """The facts for where there is little room: what follows from tables stays, their rows do not."""
    return msgspec.structs.replace(
        found,
        evidence=msgspec.structs.replace(found.evidence, rows=(), without_vote=0),
        history=msgspec.structs.replace(found.history, rows=()),
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
    # Nobody says in a project's own list of issues that they mean that project.
    where = "" if found.component == project.name else f"{found.component}: "
    text = f"{project.title}{where}{' '.join(found.title.split())}"
    return text if len(text) <= LONGEST_TITLE else text[: LONGEST_TITLE - 1] + "…"


def _notes(found: Facts, project: Project, here: Environment, collected_text: str) -> list[str]:
    """What the person who files is to know and to do."""
    notes = []
    if found.known:
        notes.append(f"Known already, or related: {found.known}")
    if found.otherwise:
        notes.append(
            f"Judged again, its model gives {found.otherwise}; the script shows it as it did. The text below rests "
            "on the script, and on what was found by hand."
        )
    if found.failures < found.runs:
        notes.append(f"It shows in {found.failures} of {found.runs} runs only: say so, or find out what it depends on.")
    if found.history.mended:
        notes.append(f"{found.history.mended}: it seems to be mended, and there may be nothing to file.")
    elif not found.history:
        package = project.distributions[0] if project.distributions else "NAME"
        command = f"bisect {found.id[:SHORT]} --package {package}"
        if found.regression:
            command = f"rerun --regressions {found.regression} --toolchain NAME"
        notes.append(f"Since which version is not known: `convfuzz {command}`.")
    if not found.blamed and not found.cause:
        notes.append(f"Who is to blame was not looked into: `convfuzz blame {found.id[:SHORT]}`.")
    if found.blamed and found.confidence == "low":
        notes.append(f"Who is to blame ({found.blamed}) is a guess: {found.rule}.")
    if project.fuzzer_clause:
        for clause in _unmet(found):
            notes.append(f"Not met: {clause.text} ({clause.why}). So it is no issue for the label `{_FUZZER}`.")
    for name, version in sorted(here.installed.items()):
        if found.versions.get(name, version) != version:
            notes.append(f"Found with {name} {found.versions[name]}; {version} is installed now: run the script again.")
    if project.collect and not collected_text:
        notes.append(f"Run `python {' '.join(project.collect)}`, and put what it writes below the versions.")
    return [*notes, *(f"{ask[0].upper()}{ask[1:]}." for ask in project.asks)]


# -- links -------------------------------------------------------------------------------------------------------


def _link(
    project: Project, title: str, texts: Mapping[Field, str], briefly: Callable[[], Mapping[Field, str]]
) -> tuple[str, tuple[str, ...]]:
    """The link, and what is too long for it: the tables first, for which ``briefly`` gives the texts without them, then
    the labels of the longest fields. Labels of an issue are no part of it, since GitHub answers 404 to who may not set
    them."""
    if len(link := _url(project, title, texts)) <= LONGEST_LINK:
        return link, ()
    shown = dict(briefly())
    tables = [_TABLES] if shown != texts else []
    left_out: list[Field] = []
    while True:
        link = _url(project, title, shown)
        candidates = [field for field in shown if field not in left_out]
        if len(link) <= LONGEST_LINK or not candidates:
            return link, (*tables, *(field.label for field in texts if field in left_out))
        longest = max(candidates, key=lambda field: len(_quoted(shown[field])))
        left_out.append(longest)
        shown[longest] = f"(too long for a link: paste “{longest.label}” from the draft here)"


def _quoted(text: str) -> str:
    """Text as a value in a link: spaces as ``+``, which forms have always done, and what is harmless there as it is,
    since a link has little room."""
    return quote_plus(text, safe="/:,=@")


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
    query = "&".join(f"{name}={_quoted(text)}" for name, text in parameters.items())
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


def _linked(text: str) -> str:
    """A link that GitHub makes one, if it is nothing but a link."""
    return text if _LINK.fullmatch(text) else _inline(text)


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
    made.filters.update(fenced=_fenced, inline=_inline, cell=_cell, linked=_linked)
    made.globals["parts"] = made.get_template("parts.md.j2").module
    return made
