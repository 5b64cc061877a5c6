"""Campaigns over the planted subjects of ``tests/planted``, run as a user's would be: in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent

#: Runs or resumes a campaign, the graphs of which depend on the seed alone and not on what is done first: arguments are
#: corpus, seed, graphs, routes and operators (comma-separated), seconds for finding out who is to blame and for a step
#: of a worker and, to resume, an id.
SCRIPT = """
import sys
from corpus.store import Store
from fuzzer.campaign import run
from fuzzer.config import CampaignConfig
from tests.fuzzer.planted_campaigns import Silent

corpus, seed, graphs, routes, operators, blame, deadline, *resumed = sys.argv[1:]
config = CampaignConfig(
    seed=int(seed), graphs=int(graphs), routes=tuple(routes.split(",")), nodes=6, pack=8, workers=2,
    deadline_seconds=float(deadline), memory_limit_mb=2500, minimize_seconds=120, verify_runs=1,
    operators=tuple(operators.split(",")), per_signature=2, blame_seconds=float(blame), guidance=False,
)
with Store.open(corpus, create=True) as store:
    campaign = resumed[0] if resumed else store.create_campaign(config.seed, config.to_builtins(), {}).id
    print(campaign, flush=True)
    run(store, campaign, config, Silent())
"""


#: Few enough that the guilty ones are in every batch, and enough that they are in few graphs of it.
OPERATORS = (
    "torch.neg",
    "torch.unbind",
    "torch.sin",
    "torch.add",
    "torch.mul",
    "torch.transpose",
    "torch.cat",
    "torch.tanh",
    "torch.sum",
    "torch.reshape",
    "torch.sort",
)


class Silent:
    """A listener that shows nothing but what goes wrong."""

    def __getattr__(self, name: str) -> object:
        return lambda *_: None

    def log(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def environment() -> dict[str, str]:
    """The environment with the planted plugin installed."""
    path = os.pathsep.join([str(TESTS / "planted"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


#: The guilty ones, and little beside them: for what takes more than the operator to show.
MOSTLY_GUILTY = ("torch.neg", "torch.tanh", "torch.add", "torch.cat")


def start(
    corpus: Path,
    *,
    seed: int,
    graphs: int,
    routes: list[str],
    operators: Sequence[str] = OPERATORS,
    resume: str = "",
    blame: float = 0.0,
    deadline: float = 60.0,
) -> subprocess.Popen[str]:
    """Start a campaign (or resume one) in a process and a session of its own. ``blame`` as ``blame_seconds``,
    ``deadline`` as ``deadline_seconds``: a subject that hangs costs it several times."""
    given = [str(corpus), str(seed), str(graphs), ",".join(routes), ",".join(operators), str(blame), str(deadline)]
    arguments = [*given, *([resume] if resume else [])]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=corpus.parent,
    )


def finish(process: subprocess.Popen[str], seconds: float = 1500) -> str:
    """Wait for a campaign and return its id. AssertionError with its standard error when it fails."""
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, errors
    return output.split()[0]
