"""Showing a campaign: live on a terminal, as plain lines elsewhere, as JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from corpus.records import Batch, Campaign, Finding, FindingState, Summary
from fuzzer import cli_text
from fuzzer.config import CampaignConfig
from fuzzer.listener import Listener, Snapshot, WorkerState

__all__ = ["JsonLines", "Listener", "LiveScreen", "PlainLines", "Snapshot", "WorkerState", "listener_for"]

#: Findings shown on the live screen.
_NEWEST = 6
#: Seconds over which the rate is measured, and between two plain lines.
_WINDOW = 30.0
_INTERVAL = 10.0


def listener_for(console: Console, directory: Path, *, as_json: bool) -> LiveScreen | PlainLines | JsonLines:
    """The listener that suits where the output goes. ``directory`` is the corpus, for paths of reproducers."""
    if as_json:
        return JsonLines(sys.stdout)
    return LiveScreen(console, directory) if console.is_terminal else PlainLines(console, directory)


class Rate:
    """Graphs a second over the last half minute."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, elapsed: float, graphs: int) -> float:
        """Note how many graphs there were after ``elapsed`` seconds; returns the rate, 0 before it is known."""
        self._points.append((elapsed, graphs))
        while len(self._points) > 2 and elapsed - self._points[0][0] > _WINDOW:
            self._points.popleft()
        (before, fewer), (now, more) = self._points[0], self._points[-1]
        return (more - fewer) / (now - before) if now > before else 0.0


class LiveScreen:
    """A screen that is redrawn in place, and at the end replaced by the summary."""

    def __init__(self, console: Console, directory: Path) -> None:
        self._console = console
        self._directory = directory
        self._title = Text()
        self._snapshot: Snapshot | None = None
        self._rate = Rate()
        self._speed = 0.0
        self._findings: dict[str, Finding] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._render)

    def started(self, campaign: Campaign, config: CampaignConfig, routes: Sequence[str]) -> None:
        self._title = Text(
            f"convfuzz  campaign {campaign.id}  seed {campaign.seed}  {len(routes)} routes", style="bold"
        )
        self._live.start()

    def batch_done(self, batch: Batch) -> None:
        """Nothing: the next snapshot counts it."""

    def finding_new(self, finding: Finding) -> None:
        self._note(finding)

    def finding_updated(self, finding: Finding) -> None:
        self._note(finding)

    def _note(self, finding: Finding) -> None:
        self._findings.pop(finding.id, None)
        if finding.state is FindingState.DUPLICATE:
            return
        self._findings[finding.id] = finding
        shown = [key for key, one in self._findings.items() if one.state is not FindingState.VERIFIED]
        # Verified findings stay in sight; of the others only the newest.
        for key in shown[:-_NEWEST]:
            del self._findings[key]

    def progress(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._speed = self._rate.add(snapshot.elapsed, snapshot.graphs)

    def log(self, line: str) -> None:
        self._console.print(Text(cli_text.clean(line)))

    def finished(self, summary: Summary) -> None:
        self._live.stop()
        self._console.print(cli_text.summary(summary, self._directory))

    def close(self) -> None:
        """Give the terminal back, also after an error."""
        self._live.stop()

    def _render(self) -> RenderableType:
        snapshot = self._snapshot
        if snapshot is None:
            return Group(self._title, Text("starting workers (importing the frameworks takes a while)"))
        return Group(
            self._title,
            # Without the phase: the lines of the workers say as much.
            Text(status_line(msgspec.structs.replace(snapshot, phase=""), self._speed)),
            self._table(snapshot),
            *self._finding_lines(),
            *(
                Text(_worker_line(worker), style="dim", no_wrap=True, overflow="ellipsis")
                for worker in snapshot.workers
            ),
        )

    def _table(self, snapshot: Snapshot) -> Table:
        table = Table.grid(padding=(0, 2))
        rows = max(len(snapshot.by_route), len(snapshot.verdicts))
        routes = [*sorted(snapshot.by_route.items()), *[("", 0)] * rows][:rows]
        verdicts = [*sorted(snapshot.verdicts.items()), *[("", 0)] * rows][:rows]
        for (route, graphs), (verdict, count) in zip(routes, verdicts, strict=True):
            table.add_row(route, str(graphs) if route else "", verdict, str(count) if verdict else "")
        return table

    def _finding_lines(self) -> list[Text]:
        newest = list(self._findings.values())
        newest.sort(key=lambda finding: finding.state is not FindingState.VERIFIED)
        room = max(3, self._console.height - 14 - (len(self._snapshot.workers) if self._snapshot else 0))
        lines = []
        for finding in newest[:room]:
            style = "green" if finding.state is FindingState.VERIFIED else "dim"
            text = f"{finding.id[: cli_text.SHORT]}  {finding.state:<10} {finding_line(finding)}"
            lines.append(Text(text, style=style, no_wrap=True, overflow="ellipsis"))
        return lines


class PlainLines:
    """Lines for a log: one every ten seconds, one for each verified finding, the summary at the end."""

    def __init__(self, console: Console, directory: Path) -> None:
        self._console = console
        self._directory = directory
        self._rate = Rate()
        self._next = 0.0

    def started(self, campaign: Campaign, config: CampaignConfig, routes: Sequence[str]) -> None:
        self._print(f"campaign {campaign.id}, seed {campaign.seed}, routes: {', '.join(routes)}")

    def batch_done(self, batch: Batch) -> None:
        """Nothing: the next snapshot counts it."""

    def finding_new(self, finding: Finding) -> None:
        """Nothing: raw findings are many, and one defect each only after minimization."""

    def finding_updated(self, finding: Finding) -> None:
        if finding.state is FindingState.VERIFIED:
            self._print(f"found {finding.id[: cli_text.SHORT]}  {finding_line(finding)}")

    def progress(self, snapshot: Snapshot) -> None:
        speed = self._rate.add(snapshot.elapsed, snapshot.graphs)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL
            line = status_line(snapshot, speed)
            if not snapshot.batches:
                # The first batch has to wait for the imports of the frameworks; say so instead of nothing.
                line += "".join(f" · {_worker_line(worker)}" for worker in snapshot.workers)
            self._print(line)

    def log(self, line: str) -> None:
        self._print(line)

    def finished(self, summary: Summary) -> None:
        self._console.print(cli_text.summary(summary, self._directory))

    def close(self) -> None:
        """Nothing to give back."""

    def _print(self, line: str) -> None:
        self._console.print(Text(cli_text.clean(line)), soft_wrap=True)


class JsonLines:
    """One JSON object a line: ``event`` names it, the other fields are those of the records in ``corpus.records``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0

    def started(self, campaign: Campaign, config: CampaignConfig, routes: Sequence[str]) -> None:
        self._emit("started", campaign=campaign, routes=list(routes))

    def batch_done(self, batch: Batch) -> None:
        self._emit("batch", batch=batch)

    def finding_new(self, finding: Finding) -> None:
        self._emit("finding", finding=finding)

    def finding_updated(self, finding: Finding) -> None:
        self._emit("finding", finding=finding)

    def progress(self, snapshot: Snapshot) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL
            self._emit("progress", progress=snapshot)

    def log(self, line: str) -> None:
        self._emit("log", line=line)

    def finished(self, summary: Summary) -> None:
        self._emit("finished", summary=summary)

    def close(self) -> None:
        """Nothing to give back."""

    def _emit(self, event: str, **fields: Any) -> None:
        self._stream.write(to_json({"event": event, **fields}) + "\n")
        self._stream.flush()


def to_json(record: Any) -> str:
    """Records as JSON on one line: numbers that are not finite become null, text that is not Unicode is escaped."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [finite(item) for item in value]
        if isinstance(value, float) and value - value != 0:
            return None
        return value

    return json.dumps(finite(msgspec.to_builtins(record)))


def status_line(snapshot: Snapshot, speed: float) -> str:
    """Such as ``0:42, 1:18 left · 512 graphs, 12.3/s · pass 500, bug 3 · minimizing 3fa9c2: 4 nodes``."""
    left = f", {cli_text.duration(snapshot.remaining)} left" if snapshot.remaining is not None else ""
    wanted = f" of {snapshot.graph_limit}" if snapshot.graph_limit is not None else ""
    parts = [
        f"{cli_text.duration(snapshot.elapsed)}{left}",
        f"{snapshot.graphs}{wanted} graphs, {speed:.1f}/s, {snapshot.conversions} conversions",
    ]
    if snapshot.verdicts:
        parts.append(", ".join(f"{count} {name}" for name, count in sorted(snapshot.verdicts.items())))
    if snapshot.phase:
        parts.append(snapshot.phase)
    if snapshot.pending:
        parts.append(f"{snapshot.pending} waiting")
    return " · ".join(parts)


def finding_line(finding: Finding) -> str:
    """A finding on one line."""
    return f"{cli_text.identity(finding)}: {cli_text.one_line(cli_text.headline(finding), 160)}"


def _worker_line(worker: WorkerState) -> str:
    doing = " ".join(part for part in (worker.step, worker.component) if part)
    return f"{worker.name}: {doing} ({worker.seconds:.0f} s)"
