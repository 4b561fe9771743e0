"""When the other side is taken for dead: after a while, and after a few looks in vain."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from featbank.runners.silence import Silence


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that goes on only when it is told to."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def go_on(seconds: float) -> None:
        now[0] += seconds

    return go_on


def test_who_gives_no_new_sign_for_long_enough_is_dead(pass_time: Callable[[float], None]) -> None:
    silence = Silence()
    for sign in (1, 1, None, 1, 1):
        assert not silence.is_longer_than(20)
        silence.look(sign)
        pass_time(5)
    assert silence.is_longer_than(20)


def test_who_was_not_running_itself_looks_again_before_it_takes_others_for_dead(
    pass_time: Callable[[float], None],
) -> None:
    silence = Silence()
    silence.look(1)
    pass_time(1000)
    silence.look(1)  # the other side was stopped too, and has not come to give one
    assert not silence.is_longer_than(20)
    silence.look(2)
    silence.look(2)
    silence.look(2)
    silence.look(2)
    assert not silence.is_longer_than(20)
