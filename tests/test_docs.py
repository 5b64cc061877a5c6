"""What the documentation names exists: files that it links to, commands and options that it tells to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from fuzzer.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def typed(text: str) -> Iterator[list[str]]:
    """The command lines of convfuzz in a page: after a prompt, or in backquotes."""
    for line in re.findall(r"^\$ convfuzz (.*)$|`convfuzz ([^`\n]*)`", text, re.MULTILINE):
        words = shlex.split("".join(line), comments=True)
        if words and not words[0].startswith("-"):
            yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    for command, *arguments in typed(page.read_text(encoding="utf-8")):
        assert command in COMMANDS, command
        found = COMMANDS[command]
        if hasattr(found, "commands") and arguments:
            assert arguments[0] in found.commands, f"{command} {arguments[0]}"
            found = found.commands[arguments[0]]
        options = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for argument in arguments:
            assert not argument.startswith("--") or argument in options, f"{command} {argument}"


def test_commands_are_found_in_the_documentation() -> None:
    """The test above looks at something."""
    named = {words[0] for page in PAGES for words in typed(page.read_text(encoding="utf-8"))}
    assert named == set(COMMANDS)
