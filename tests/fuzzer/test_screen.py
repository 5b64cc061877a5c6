"""Screens: what a campaign tells is shown, and nothing that a subject says can drive the terminal."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from corpus.records import Batch, Campaign, Finding, FindingState, Summary
from corpus.store import Store
from fuzzer import cli_text
from fuzzer.config import CampaignConfig
from fuzzer.listener import Listener, Snapshot, WorkerState
from fuzzer.screen import JsonLines, LiveScreen, PlainLines, Rate, status_line, to_json
from tests.corpus.builders import CRASH, campaign, finding, judged, verified

HOSTILE = "\x1b[2Jcleared \x07 [bold]markup[/bold] \u202e reversed"
SNAPSHOT = Snapshot(
    elapsed=42.0,
    remaining=78.0,
    graphs=512,
    batches=64,
    conversions=70,
    by_route={"torch:torch.onnx-dynamo:onnxruntime": 300, "tensorflow:tflite:litert": 212},
    verdicts={"pass": 500, "bug": 12},
    phase="minimizing 3fa9c2: 4 nodes",
    pending=3,
    workers=(WorkerState("worker 1", "convert", "tflite", 2.0),),
)


class Told:
    """A campaign's events, taken from a real store."""

    def __init__(self, directory: Path) -> None:
        self.store = Store.open(directory, create=True)
        name = campaign(self.store, batches=2)
        self.store.record_batch(judged(name, 0, finding(0, message=HOSTILE), finding(1, CRASH), finding(2)))
        self.raw = self.store.list_findings()
        self.verified = self.store.finish_finding(self.raw[0].id, verified("one", title=f"tf.add(x, y): {HOSTILE}"))
        self.flaky = self.store.finish_finding(
            self.raw[1].id, msgspec.structs.replace(verified("two", failures=1), state=FindingState.FLAKY)
        )
        self.campaign: Campaign = self.store.load_campaign(name)
        self.batch: Batch = self.store.batch(name, 0)
        self.summary: Summary = self.store.summary(name)

    def tell(self, listener: Listener) -> None:
        """All kinds of events, once each at least."""
        listener.started(self.campaign, CampaignConfig(seed=7), ["tensorflow → tf2onnx → onnxruntime"])
        listener.batch_done(self.batch)
        for one in self.raw:
            listener.finding_new(one)
        listener.progress(SNAPSHOT)
        listener.log(f"a worker says {HOSTILE}")
        for one in (self.verified, self.flaky):
            listener.finding_updated(one)
        listener.finished(self.summary)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "corpus")


def harmless(text: str) -> bool:
    return not any(code in text for code in ("\x1b[2J", "\x07", "\u202e"))


def test_plain_lines(told: Told) -> None:
    stream = io.StringIO()
    told.tell(PlainLines(Console(file=stream, width=160), told.store.directory))
    text = stream.getvalue()
    assert harmless(text)
    assert "[bold]markup[/bold]" in text
    assert f"campaign {told.campaign.id}, seed 7" in text
    assert "0:42, 1:18 left" in text
    assert f"found {told.verified.id[:6]}  wrong model · node conversion · tf2onnx: tf.add(x, y)" in text
    assert f"{told.verified.id}/reproducer.py" in text
    assert "1 defect with a verified reproducer; 1 raw finding left to minimize (`convfuzz resume`), 1 flaky" in text
    assert f"convfuzz show {told.verified.id[:6]}" in text
    assert "       1  Foo" in text


def test_live_screen(told: Told) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=140, height=40, force_terminal=True, color_system=None)
    screen = LiveScreen(console, told.store.directory)
    try:
        told.tell(screen)
        with console.capture() as capture:
            console.print(screen._render())
    finally:
        screen.close()
    text = capture.get()
    assert harmless(text)
    lines = text.splitlines()
    assert "convfuzz  campaign" in lines[0]
    assert "512 graphs" in lines[1]
    assert any("tensorflow:tflite:litert" in line and "212" in line for line in lines)
    assert any("worker 1: convert tflite (2 s)" in line for line in lines)
    # The verified finding stands above those that are not.
    states = [line.split()[1] for line in lines if line[:6] in {one.id[:6] for one in told.raw}]
    assert states == ["verified", "raw", "flaky"]
    assert "1 defect with a verified reproducer" in stream.getvalue()


def test_the_live_screen_fits_the_terminal_however_much_is_found(told: Told) -> None:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    screen = LiveScreen(console, told.store.directory)
    for number in range(50):
        screen.finding_updated(msgspec.structs.replace(told.verified, id=f"{number:012x}"))
        screen.finding_new(msgspec.structs.replace(told.raw[2], id=f"{number + 100:012x}"))
    screen.progress(SNAPSHOT)
    assert len(console.render_lines(screen._render())) <= 24


def test_json_lines(told: Told) -> None:
    stream = io.StringIO()
    told.tell(JsonLines(stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        "started",
        "batch",
        *["finding"] * 3,
        "progress",
        "log",
        *["finding"] * 2,
        "finished",
    ]
    assert events[0]["campaign"]["seed"] == 7
    assert msgspec.convert(events[7]["finding"], Finding) == told.verified
    assert msgspec.convert(events[-1]["summary"], Summary) == told.summary


def test_json_of_what_json_cannot_hold(told: Told) -> None:
    odd = msgspec.structs.replace(told.verified, numbers={"nan": math.nan, "inf": math.inf}, message="\ud800")
    line = to_json(odd)
    assert "\n" not in line
    assert json.loads(line)["numbers"] == {"nan": None, "inf": None}
    assert json.loads(line)["message"] == "\ud800"


def test_nothing_is_cut_off_on_a_narrow_terminal(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(told.store.directory.parent)
    stream = io.StringIO()
    Console(file=stream, width=80).print(cli_text.summary(told.summary, told.store.directory))
    lines = [line.strip() for line in stream.getvalue().splitlines()]
    assert f"corpus/findings/{told.verified.id}/reproducer.py" in lines
    assert "1 node · 3/3 runs · seen once" in lines
    assert "tf2onnx (tensorflow)        4 started, 1 unsupported" in lines
    assert "onnxruntime unoptimized   3 success" in lines


def test_an_empty_campaign_says_that_nothing_was_found(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "corpus", create=True)
    stream = io.StringIO()
    Console(file=stream, width=100).print(cli_text.summary(store.summary(campaign(store)), store.directory))
    assert "nothing found" in stream.getvalue()
    assert "convfuzz show" not in stream.getvalue()


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    rate = Rate()
    assert rate.add(0, 0) == 0
    assert rate.add(10, 100) == 10
    for second in range(11, 200):
        slow = rate.add(second, 100 + (second - 10))
    assert slow == 1


def test_details_of_a_finding(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    path = told.store.reproducer_path(told.verified)
    stream = io.StringIO()
    Console(file=stream, width=160).print(cli_text.finding_details(told.verified, path, 12))
    text = stream.getvalue()
    assert harmless(text)
    assert text.startswith(f"{told.verified.id[:6]}  wrong model · node conversion · tf2onnx (unoptimized)\n")
    assert "· 1 node · 3/3 runs · script of 12 lines\n" in text
    assert "class Model: ..." in text
    assert "tf2onnx(opset=18, optimize=True)" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (3723, "1:02:03"), (-3, "0:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert cli_text.duration(seconds) == text


def test_a_status_line_without_limits_has_none() -> None:
    assert status_line(Snapshot(5.0, None, 3), 0.5) == "0:05 · 3 graphs, 0.5/s, 0 conversions"
    assert "3 of 9 graphs" in status_line(Snapshot(5.0, None, 3, 9), 0.5)
