"""The drafts in docs/examples: what `convfuzz draft` makes of findings that have been blamed and bisected."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from fuzzer.upstream.draft import LONGEST_LINK
from fuzzer.upstream.known_issues import read
from fuzzer.upstream.projects import projects
from tests.test_architecture import ROOT

PLACE = ROOT / "docs" / "examples"
DRAFTS = sorted(path for path in PLACE.glob("*.md") if path.name != "README.md")


def test_there_are_three_for_three_projects() -> None:
    assert len(DRAFTS) == 3
    known = {project.repository for project in projects().values()}
    found = {re.findall(r"^- for: \[(.+?)\]", path.read_text(encoding="utf-8"), re.MULTILINE)[0] for path in DRAFTS}
    assert len(found) == 3
    assert found <= known
    readme = (PLACE / "README.md").read_text(encoding="utf-8")
    assert all(f"({path.name})" in readme for path in DRAFTS)
    assert read(PLACE / "known.toml")


@pytest.mark.parametrize("path", DRAFTS, ids=lambda path: path.stem)
def test_each_has_what_a_maintainer_asks_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("> **This is a draft. Nobody has filed it, and convfuzz never does.** A person must read it")
    assert "| asked | of | with | outcome | seen |" in text
    assert "| as found |" in text
    rows = re.findall(r"^\| (\S+) \| ([\d., ]+) \| (shows|does not show) \|", text, re.MULTILINE)
    assert len({version for _, versions, _ in rows for version in versions.split(", ")}) >= 4
    [script] = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ast.parse(script)
    [link] = re.findall(r"^\[Open a new issue with this text\]\((\S+)\)$", text, re.MULTILINE)
    assert len(link) <= LONGEST_LINK
    [title] = parse_qs(urlparse(link).query)["title"]
    assert f"```text\n{title}\n```" in text
    assert any(script in value for values in parse_qs(urlparse(link).query).values() for value in values)
