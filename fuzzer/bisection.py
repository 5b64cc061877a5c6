"""The first version of a package that shows a defect, or no longer shows it, by halving, as git bisect does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from corpus.versions import TELLING, Showing, VersionResult

#: Whether a version shows the defect, or why that cannot be said.
Ask = Callable[[str], Showing]


@dataclass(frozen=True)
class Change:
    """Where the answer changes between two versions.

    ``appears`` tells whether the later ones show the defect. ``before`` is the last version known to be on the near
    side, ``after`` the first one known to be on the far side; ``between`` those of which nothing can be said: the
    change happened in one of them or in ``after``.
    """

    appears: bool
    before: str
    after: str
    between: tuple[str, ...] = ()


def halve(versions: Sequence[str], ask: Ask) -> Change | None:
    """The change between the first and the last of the versions (ascending), which give different answers; None when
    they do not, or of one of them nothing can be said.

    Of versions of which nothing can be said, their neighbours are asked, the nearest ones to the middle first. As with
    every bisection, one change is found where there are several.
    """
    low, high = 0, len(versions) - 1
    first, last = ask(versions[low]), ask(versions[high])
    if first is last or not {first, last} <= set(TELLING):
        return None
    while high - low > 1:
        for place in _from_the_middle(low, high):
            answer = ask(versions[place])
            if answer in (first, last):
                low, high = (place, high) if answer is first else (low, place)
                break
        else:
            break
    return Change(last is Showing.SHOWS, versions[low], versions[high], tuple(versions[low + 1 : high]))


def changes_in(results: Sequence[VersionResult]) -> list[Change]:
    """Where the answer changes between the versions of one package that were asked (ascending); versions of which
    nothing can be said are skipped, and named. Which releases were not asked, is not known here."""
    changes: list[Change] = []
    last: VersionResult | None = None
    between: list[str] = []
    for one in results:
        if one.showing not in TELLING:
            between.append(one.version)
            continue
        if last is not None and one.showing is not last.showing:
            changes.append(Change(one.showing is Showing.SHOWS, last.version, one.version, tuple(between)))
        last, between = one, []
    return changes


def _from_the_middle(low: int, high: int) -> list[int]:
    """The places between two, those nearest to the middle first."""
    middle = (low + high) // 2
    return sorted(range(low + 1, high), key=lambda place: (abs(place - middle), place))


def search(versions: Sequence[str], seen: str, ask: Ask) -> tuple[Change | None, Change | None]:
    """When the defect came and when it went, around a version that shows it: the last change before it and the first
    one behind it that are found by halving; None where the versions on that side show no other answer.

    Older versions are asked at growing distances (1, 2, 4, … releases) until one does not show the defect, since the
    oldest ones do not install or import; behind it the newest is asked first.
    """
    place = versions.index(seen)
    if ask(seen) is not Showing.SHOWS:
        return None, None
    return _came(versions, place, ask), _went(versions, place, ask)


def _came(versions: Sequence[str], place: int, ask: Ask) -> Change | None:
    # The oldest version that shows it, and the newest one of which, and of its neighbour, nothing can be said.
    shown, wall, distance = place, -1, 1
    while shown - wall > 1:
        candidate = (wall + shown) // 2 if wall >= 0 else max(0, place - distance)
        distance *= 2
        tried = candidate
        answer = ask(versions[candidate])
        if answer not in TELLING and candidate - 1 > wall:
            # A single release may be broken, and the ones before it work.
            candidate -= 1
            answer = ask(versions[candidate])
        if answer is Showing.ABSENT:
            return halve(versions[candidate : shown + 1], ask)
        if answer is Showing.SHOWS:
            shown = candidate
        else:
            wall = tried
    return None


def _went(versions: Sequence[str], place: int, ask: Ask) -> Change | None:
    for candidate in range(len(versions) - 1, place, -1):
        answer = ask(versions[candidate])
        if answer is Showing.ABSENT:
            return halve(versions[place : candidate + 1], ask)
        if answer is Showing.SHOWS:
            return None
    return None
