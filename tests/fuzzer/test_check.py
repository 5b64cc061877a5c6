"""``convfuzz check`` and ``convfuzz minimize``, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
MODELS = """
import torch

class Divides(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x, y):
        hidden = torch.relu(self.linear(x)).sum(-1)
        return torch.floor_divide(y, 0.203) + hidden, hidden.tanh()

def divides():
    torch.manual_seed(0)
    return Divides(), (torch.randn(3, 4), torch.tensor([-1.0, 2.0, -5.0]))

def plain():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), (torch.randn(2, 4),)
"""


def convfuzz(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "models_of_mine.py").write_text(MODELS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        [sys.executable, "-m", "fuzzer.cli", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_a_model_that_converts_well_gives_nothing(tmp_path: Path) -> None:
    done = convfuzz(tmp_path, "check", "models_of_mine:plain", "--route", "torch.onnx-torchscript", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["outcome"] for row in rows} == {"success"}
    assert {row["variant"].split()[0] for row in rows} == {"onnxruntime"}


def test_a_model_that_converts_wrongly_is_minimized(tmp_path: Path) -> None:
    """A few layers around a floor division, which TorchScript's exporter truncates."""
    done = convfuzz(tmp_path, "check", "models_of_mine:divides", "--route", "torch.onnx-torchscript", "--no-minimize")
    assert done.returncode == 1, done.stderr
    assert "mismatch" in done.stdout
    [campaign] = [word.strip("`") for line in done.stdout.splitlines() for word in line.split() if "resume" in line][2:3]
    done = convfuzz(tmp_path, "resume", campaign)
    assert done.returncode == 1, done.stderr
    listed = convfuzz(tmp_path, "findings", "--json")
    [bucket] = [json.loads(line) for line in listed.stdout.splitlines()]
    shown = bucket["representative"]
    assert shown["nodes"] == 1
    assert "floor_divide" in shown["title"]
    assert (tmp_path / "convfuzz-corpus" / "findings" / shown["id"] / "reproducer.py").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "nothing.onnx"), "there is no file nothing.onnx"),
        (("check", "models_of_mine:plain", "--dim", "batch"), "'batch' is no dimension"),
        (("check", "models_of_mine:plain", "--dim", "batch=2"), "the sizes of a torch model are those of its inputs"),
        (("check", "models_of_mine:absent"), "cannot be imported"),
        (("minimize", "models_of_mine:plain", "--route", "tf2onnx"), "no route of tf2onnx takes a model of torch"),
    ],
)
def test_what_cannot_be_done_is_said_in_two_lines(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = convfuzz(tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
