"""Tensors that select, and the profiles of values: each is what its name says, and within its range."""

from __future__ import annotations

import numpy as np
import pytest

from generators import selectors, values
from generators.choices import SeededChoices
from generators.draw import Draw
from generators.frontends.base import frontend
from generators.graph import DTYPES, INTEGRAL
from generators.handles import Profiles

RNG = np.random.default_rng(7)
ROUNDS = 40


def draw(seed: int) -> Draw:
    return Draw(frontend("torch"), SeededChoices(8, seed), "torch.add", (), Profiles(), iter(range(1000)))


@pytest.mark.parametrize("profile", selectors.INDICES)
@pytest.mark.parametrize(("low", "high"), [(0, 6), (-5, 4), (-3, -1), (2, 2)])
def test_indices(profile: str, low: int, high: int) -> None:
    met = set()
    for _ in range(ROUNDS):
        data, found = selectors.index_elements(RNG, (2, 3), low, high, profile)
        assert data.shape == (2, 3)
        assert low <= data.min() <= data.max() <= high
        assert found in (profile, "indices any")
        met.add(found)
        flat = data.reshape(-1)
        if found == "indices same":
            assert len(set(flat)) == 1
        elif found == "indices ends":
            assert set(flat) <= {low, high, -1, 0}
        elif found == "indices gapped":
            assert not set(flat % 2) - {flat[0] % 2}
        elif found == "indices negative":
            assert flat.max() < 0
        elif found == "indices distinct":
            assert len(set(flat)) == flat.size
        elif found in ("indices ascending", "indices descending"):
            steps = np.diff(data, axis=-1)
            assert (steps >= 0).all() if found.endswith("ascending") and "desc" not in found else (steps <= 0).all()
    possible = not (profile == "indices negative" and low >= 0) and not (
        profile in ("indices gapped", "indices distinct") and high - low < 5 and (low, high) != (-3, -1)
    )
    if possible and (low, high) in ((0, 6), (-5, 4)):
        assert profile in met


@pytest.mark.parametrize("profile", selectors.INDICES)
def test_distinct_indices_are_distinct(profile: str) -> None:
    for count in range(6):
        data, _ = selectors.distinct_elements(RNG, (count,), -3, 2, profile)
        assert data.size == len(set(data.tolist())) == count
        assert all(-3 <= item <= 2 for item in data)


@pytest.mark.parametrize("profile", selectors.SEGMENTS)
@pytest.mark.parametrize("ordered", [True, False])
def test_segments(profile: str, ordered: bool) -> None:
    for segments in (1, 4, 9):
        for _ in range(ROUNDS):
            ids, found = selectors.segment_elements(RNG, 6, segments, profile, ordered=ordered, negative=not ordered)
            assert len(ids) == 6
            assert (-1 if found == "segments negative" else 0) <= ids.min()
            assert ids.max() < segments
            assert not ordered or (np.diff(ids) >= 0).all()
            if found == "segments own":
                assert len(set(ids)) == 6
            if found == "segments gapped":
                assert (ids % 2 == 1).all()
            if found == "segments negative":
                assert ids.min() == -1


@pytest.mark.parametrize("profile", selectors.MASKS)
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 0), (1, 1)])
def test_masks(profile: str, shape: tuple[int, ...]) -> None:
    for _ in range(ROUNDS):
        mask, found = selectors.mask_elements(RNG, shape, profile)
        assert mask.shape == shape
        assert mask.dtype == bool
        if found == "mask rows":
            rows = mask.all(-1) | ~mask.any(-1)
            assert rows.all()
            assert 0 < mask.all(-1).sum() < rows.size
        elif found == "mask prefix":
            assert (np.diff(mask.astype(int), axis=-1) <= 0).all()
        elif found == "mask one":
            assert mask.sum() == 1
        elif found == "mask but one":
            assert mask.sum() == mask.size - 1
        elif found in ("mask all", "mask none"):
            assert mask.all() if found == "mask all" else not mask.any()


def test_a_mask_may_leave_something_of_every_row() -> None:
    for seed in range(100):
        assert selectors.mask(draw(seed), (3, 4), some_in_row=True).array.any(-1).all()


@pytest.mark.parametrize("profile", selectors.LENGTHS)
def test_lengths(profile: str) -> None:
    for _ in range(ROUNDS):
        data, found = selectors.length_elements(RNG, (5,), 1, 4, profile)
        assert found == profile
        assert 1 <= data.min() <= data.max() <= 4
        if profile == "lengths full":
            assert data.min() == 4


@pytest.mark.parametrize("profile", selectors.PROBABILITIES)
def test_probabilities(profile: str) -> None:
    data, _ = selectors.probability_elements(RNG, (200,), profile)
    assert 0 <= data.min() <= data.max() <= 1
    if profile == "probabilities ends":
        assert {0.0, 1.0} <= set(data)


def test_distributions_add_up_to_one() -> None:
    for seed in range(50):
        array = selectors.distribution(draw(seed), (2, 3, 4), "float64", axis=1).array
        assert np.allclose(array.sum(1), 1)
        assert array.min() >= 0


def test_a_case_records_what_selects_as_such() -> None:
    """The profile that the elements have, not the one that was asked for."""
    met = set()
    for seed in range(200):
        drawing = draw(seed)
        handle = drawing.indices((4,), 0, 1)
        profile = drawing.fresh.profiles[handle.name]
        assert profile in selectors.INDICES
        assert profile not in ("indices negative", "indices distinct", "indices gapped")
        met.add(profile)
    assert met >= {"indices any", "indices same", "indices ends", "indices ascending", "indices descending"}
    drawing = draw(0)
    mask = drawing.tensor((2, 2), "bool", reuse=False)
    assert drawing.fresh.profiles[mask.name] in selectors.MASKS
    own = drawing.tensor((2,), "float32", lambda rng, shape, dtype: np.ones(shape, np.float32))
    assert drawing.fresh.profiles[own.name] == values.OWN


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("profile", values.PROFILES)
def test_every_profile_gives_elements_of_every_dtype(dtype: str, profile: str) -> None:
    with np.errstate(invalid="ignore"):  # of infinities in complex numbers
        array = values.draw_array(np.random.default_rng(1), (3, 4), dtype, profile)
    assert array.shape == (3, 4)
    assert array.dtype == DTYPES[dtype]
    assert values.effective(profile, dtype) in values.PROFILES
    assert (values.effective(profile, dtype) in values.profiles_of(dtype)) == (dtype != "bool")


def test_wide_integers_are_beyond_what_narrower_floats_hold() -> None:
    for dtype, bits in (("int32", 24), ("float32", 24), ("float64", 53), ("float16", 11)):
        array = values.draw_array(np.random.default_rng(3), (200,), dtype, "wide_integers").astype(np.float64)
        assert np.abs(array).min() >= 2**bits - 4
        assert np.abs(array).max() <= 2**bits + 200
        assert array.min() < 0 < array.max()
    wide = values.draw_array(np.random.default_rng(4), (50,), "int64", "wide_integers")
    assert (wide.astype(np.float32).astype(np.int64) != wide).any()


def test_integers_are_told_apart_by_their_profiles() -> None:
    for dtype in INTEGRAL:
        assert not {"typical", "tiny", "fractions", "special"} & set(values.profiles_of(dtype))
    assert "negative" not in values.profiles_of("uint8")
    assert values.profiles_of("bool") == ()
