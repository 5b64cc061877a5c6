"""The report: one page without network, in which nothing of a corpus has a meaning; pictures of graphs and models."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from corpus.store import Store
from fuzzer import cli
from fuzzer.dossier import PICTURE, draw, picture_of
from fuzzer.pictures import MOST_NODES, Box, Picture, source_picture
from fuzzer.reports.drawing import svg
from fuzzer.supervisor import Worker
from generators.graph import Case, Constant, Graph, Node, Ref, TensorType, Value
from tests.fuzzer.graphs import given, ramp, unary
from tests.fuzzer.test_drafts import KNOWN, NASTY, RELU, corpus_with


class Page(HTMLParser):
    """Elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def report(directory: Path, *arguments: str) -> str:
    path = directory / "report.html"
    assert cli.run(["report", str(directory / "corpus"), "-o", str(path), "--no-collect", *arguments]) == 0
    return path.read_text(encoding="utf-8")


def test_a_page_stands_alone_and_runs_only_its_own_script(tmp_path: Path) -> None:
    corpus_with(tmp_path / "corpus").close()
    text = report(tmp_path)
    page = Page(text)
    [policy] = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        [inner] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not [name for name, attributes in page.found for key in attributes if key.startswith("on") or key == "style"]
    assert not [attributes for _, attributes in page.found if "src" in attributes]
    assert {link["href"].split("/new")[0] for link in page.all("a") if link["href"]} == {
        "https://github.com/onnx/tensorflow-onnx/issues"
    }
    [finding] = [item for item in page.all("details") if item.get("class") == "finding"]
    assert (finding["data-component"], finding["data-severity"]) == ("tf2onnx", "critical")
    assert len(page.all("button")) == 4
    assert len(page.all("svg")) == 1  # the corpus has no picture of the converted model
    assert "not drawn" in text


def test_nothing_of_a_corpus_has_a_meaning(tmp_path: Path) -> None:
    """What subjects and foreign corpora wrote is shown as it is."""
    with corpus_with(
        tmp_path / "corpus", message=NASTY, title=NASTY, source=NASTY, reproducer=NASTY, settings=(NASTY,),
        component=NASTY, converter_settings={"<b>": NASTY},
    ) as store:  # fmt: skip
        [found] = store.list_findings()
        picture = Picture((Box(NASTY, NASTY, (), ("x",)), Box("y", "", ("x",), (), "output")), {"x": NASTY})
        (store.directory / "findings" / found.id / PICTURE).write_bytes(msgspec.json.encode(picture))
    text = report(tmp_path)
    assert text.count("<script>") == text.count("</script>") == 1
    assert "<b>" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_known_issues_are_in_the_report(tmp_path: Path) -> None:
    corpus_with(tmp_path / "corpus").close()
    known = tmp_path / "known.toml"
    known.write_text(KNOWN.replace("ACTION", "tag"))
    assert "known: https://github.com/onnx/tensorflow-onnx/issues/1" in report(tmp_path, "--known", str(known))
    known.write_text(KNOWN.replace("ACTION", "suppress"))
    text = report(tmp_path, "--known", str(known))
    assert "1 more suppressed by the list of known issues" in text
    assert "Nothing verified was found." in text


def test_a_browser_shows_and_filters_it(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser is installed: apt install chromium")
    with corpus_with(tmp_path / "corpus") as store:
        [found] = store.list_findings()
    report(tmp_path)
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         f"file://{tmp_path}/report.html#f-{found.id}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "1 of 1 findings" in re.sub(r"<[^>]*>", "", done.stdout)
    [opened] = [item for item in Page(done.stdout).all("details") if item.get("class") == "finding"]
    assert "open" in opened


def chain(length: int) -> Graph:
    names = ["x", *(f"v{number}" for number in range(length))]
    kind = TensorType("float32", (2,))
    nodes = tuple(
        Node("torch.add", (Ref(before), Ref("x")), (), (Value(after, kind),))
        for before, after in itertools.pairwise(names)
    )
    return Graph("torch", (given("x", "float32", 2),), (Constant("unused", ramp("float32", 2)),), nodes, (names[-1],))


def test_a_picture_has_a_box_for_everything_and_none_overlap() -> None:
    drawn = svg(source_picture(chain(9)), "graph")
    tree = ElementTree.fromstring(drawn)
    name = "{http://www.w3.org/2000/svg}" if tree.tag.startswith("{") else ""
    rects = [[float(rect.attrib[key]) for key in ("x", "y", "width", "height")] for rect in tree.iter(f"{name}rect")]
    assert len(rects) == 11  # nine operators, the input, the output; the unused constant is left out
    for place, (x, y, width, height) in enumerate(rects):
        assert x >= 0
        assert y >= 0
        for other_x, other_y, other_width, other_height in rects[:place]:
            apart = x >= other_x + other_width or other_x >= x + width
            assert apart or y >= other_y + other_height or other_y >= y + height
    assert "graph: add, add" in drawn


def test_of_a_large_graph_the_beginning_is_drawn() -> None:
    picture = source_picture(chain(MOST_NODES + 20))
    assert picture.more == 20
    assert sum(box.kind == "node" for box in picture.boxes) == MOST_NODES
    assert svg(Picture(problem="nothing"), "graph") == ""


@pytest.mark.parametrize(
    ("case", "component", "labels"),
    [(RELU, "tf2onnx", ["Relu"]), (unary("torch", "relu", "float32", 2), "torch.export", ["relu.default"])],
)
def test_a_converted_model_is_drawn(tmp_path: Path, case: Case, component: str, labels: list[str]) -> None:
    with corpus_with(tmp_path / "corpus", case, component=component) as store:
        [found] = store.list_findings()
        worker = Worker()
        try:
            if component == "tf2onnx":
                draw(store, found, worker)
                kept = picture_of(store, found)
            else:
                from fuzzer.tasks import PictureResult, PictureTask, Subject
                from generators.serial import dumps

                result = worker.call(PictureTask(Subject("torch", component, {}, ()), dumps(case)))
                assert isinstance(result, PictureResult)
                kept = result.picture
        finally:
            worker.close()
    assert kept is not None
    assert [box.label for box in kept.boxes if box.kind == "node"] == labels
    assert [box.kind for box in kept.boxes].count("input") == 1
    assert [box.kind for box in kept.boxes].count("output") == 1


def test_a_corpus_is_opened_for_reading_only(tmp_path: Path) -> None:
    corpus_with(tmp_path / "corpus").close()
    before = sorted(path for path in (tmp_path / "corpus").rglob("*") if path.is_file())
    report(tmp_path)
    assert sorted(path for path in (tmp_path / "corpus").rglob("*") if path.is_file()) == before
    with Store.open(tmp_path / "corpus", write=False) as store:
        assert picture_of(store, store.list_findings()[0]) is None
