"""A campaign's number of graphs leaves next to nothing at zero."""

from __future__ import annotations

import pytest

from benchmarks.cells import GRAPHS, Simulation
from fuzzer.profile_cells import possible


@pytest.mark.sweep
def test_what_ten_minutes_of_torch_leave_at_zero() -> None:
    simulation = Simulation("torch")
    simulation.run(GRAPHS["torch"])
    left = simulation.zero()
    cells = left.pop("profile × dtype × family")
    assert not any(left.values()), left
    there = sum(len(profiles) for dtypes in possible("torch").values() for profiles in dtypes.values())
    assert len(cells) < there / 500, cells
