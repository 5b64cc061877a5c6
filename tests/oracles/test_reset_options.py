from __future__ import annotations

from collections.abc import Mapping

import pytest

from oracles.minimize import reset_options

DEFAULTS = {"opset": 20, "optimize": True, "external_data": False}
SETTINGS = {"opset": 18, "optimize": False, "external_data": True, "other": 3}


@pytest.mark.parametrize(
    ("needed", "questions"),
    [({}, 1), ({"opset": 18}, 4), ({"optimize": False, "external_data": True}, 4), (SETTINGS, 4)],
)
def test_only_what_the_failure_needs_is_left(needed: Mapping[str, int], questions: int) -> None:
    asked = []

    def still_fails(settings: Mapping[str, int]) -> bool:
        asked.append(settings)
        return all(settings[name] == value for name, value in needed.items())

    expected = {**SETTINGS, **DEFAULTS, **needed}
    assert reset_options(SETTINGS, DEFAULTS, still_fails) == expected
    assert len(asked) == questions


def test_defaults_raise_no_question() -> None:
    def still_fails(settings: Mapping[str, int]) -> bool:
        raise AssertionError(settings)

    assert reset_options({**DEFAULTS, "other": 1}, DEFAULTS, still_fails) == {**DEFAULTS, "other": 1}


def test_a_single_option_is_asked_about_once() -> None:
    asked = []
    assert reset_options({**DEFAULTS, "opset": 18}, DEFAULTS, lambda one: bool(asked.append(one))) == {
        **DEFAULTS,
        "opset": 18,
    }
    assert len(asked) == 1
