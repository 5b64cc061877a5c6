"""Finding where an answer changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corpus.versions import Showing, VersionResult
from fuzzer.bisection import Change, changes_in, halve, search

ANSWERS = {"+": Showing.SHOWS, "-": Showing.ABSENT, "?": Showing.UNUSABLE}


class Asked:
    """Answers for versions called 0, 1, …; counts the questions."""

    def __init__(self, answers: str) -> None:
        self.answers = answers
        self.versions = [str(number) for number in range(len(answers))]
        self.asked: list[str] = []

    def __call__(self, version: str) -> Showing:
        if version not in self.asked:
            self.asked.append(version)
        return ANSWERS[self.answers[int(version)]]


def test_one_change_is_found_by_halving() -> None:
    asked = Asked("-" * 40 + "+" * 24)
    assert halve(asked.versions, asked) == Change(True, "39", "40")
    assert len(asked.asked) <= 9


def test_what_says_nothing_is_skipped_and_told() -> None:
    asked = Asked("--??++")
    assert halve(asked.versions, asked) == Change(True, "1", "4", ("2", "3"))
    asked = Asked("+?????-")
    assert halve(asked.versions, asked) == Change(False, "0", "6", ("1", "2", "3", "4", "5"))


def test_without_two_different_ends_there_is_no_change() -> None:
    for answers in ("++", "--", "?+", "-?", "+"):
        asked = Asked(answers)
        assert halve(asked.versions, asked) is None


def test_coming_and_going_are_looked_for_around_a_version_that_shows_it() -> None:
    asked = Asked("????---++++---")
    assert search(asked.versions, "9", asked) == (Change(True, "6", "7"), Change(False, "10", "11"))
    asked = Asked("????+++++")
    assert search(asked.versions, "8", asked) == (None, None)
    assert "4" in asked.asked
    asked = Asked("---")
    assert search(asked.versions, "2", asked) == (None, None)


def test_a_single_broken_release_is_no_end_of_the_search() -> None:
    asked = Asked("----+++++?++")
    assert search(asked.versions, "11", asked)[0] == Change(True, "3", "4")


@given(st.integers(0, 6), st.integers(0, 20), st.integers(1, 20), st.integers(0, 20))
def test_a_monotonous_history_is_told_exactly(broken: int, before: int, shown: int, after: int) -> None:
    asked = Asked("?" * broken + "-" * before + "+" * shown + "-" * after)
    seen = broken + before + shown - 1
    came, went = search(asked.versions, str(seen), asked)
    first = broken + before
    assert came == (Change(True, str(first - 1), str(first)) if before else None)
    assert went == (Change(False, str(seen), str(seen + 1)) if after else None)


@given(st.text("+-?", min_size=2, max_size=24))
def test_whatever_the_history_a_change_is_one(answers: str) -> None:
    asked = Asked(answers)
    change = halve(asked.versions, asked)
    if {answers[0], answers[-1]} != {"+", "-"}:
        assert change is None
        return
    assert change is not None
    before, after = int(change.before), int(change.after)
    assert {answers[before], answers[after]} == {"+", "-"}
    assert change.appears == (answers[after] == "+")
    assert answers[before + 1 : after] == "?" * (after - before - 1)
    assert len(change.between) == after - before - 1


def recorded(answers: str) -> list[VersionResult]:
    return [VersionResult("p", str(number), ANSWERS[answer]) for number, answer in enumerate(answers)]


def test_changes_are_read_from_what_was_recorded() -> None:
    assert changes_in(recorded("?--??++?-")) == [Change(True, "2", "5", ("3", "4")), Change(False, "6", "8", ("7",))]
    assert changes_in(recorded("?++?")) == changes_in(recorded("?")) == changes_in([]) == []


@given(st.text("+-?", min_size=1, max_size=24))
def test_what_halving_finds_is_among_the_changes_recorded(answers: str) -> None:
    asked = Asked(answers)
    change = halve(asked.versions, asked)
    if change is not None:
        assert change in changes_in(recorded(answers))
