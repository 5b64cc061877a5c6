"""Showing a campaign: live on a terminal, as plain lines elsewhere, as JSON lines for programs."""

from fuzzer.listener import Listener, Snapshot, WorkerState

__all__ = ["Listener", "Snapshot", "WorkerState"]
