"""Ranks tell each other what they need; nobody waits for one that failed or is gone."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import HashStore

from featbank.errors import ConfigError, RankError
from featbank.files.locking.owner import Owner
from featbank.ranks import Meeting, Patience, Standing, alone, standing
from featbank.ranks.watching import RankWatch
from tests.launching import launch
from tests.waiting import wait_until

QUICK = Patience(beat_s=0.05)


def meet(what: str) -> Meeting:
    return Meeting(standing(), what, QUICK)


def said(meeting: Meeting, act: Any = lambda _: None) -> str:
    """What a meeting ends with."""
    try:
        with meeting:
            act(meeting)
    except (RankError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "well"


def several_meetings(rank: int) -> dict[str, Any]:
    with meet("first") as meeting:
        gathered = meeting.gather("squares", rank**2)
        told = meeting.share("sum", sum(gathered) if gathered else None)

    def disagree(meeting: Meeting) -> None:
        meeting.agree("weights", {"encoder": "a", "decoder": "b" if rank == 2 else "c"})

    def raise_in_one(meeting: Meeting) -> None:
        if rank == 2:
            raise ValueError("boom")
        meeting.share("never", None if rank else meeting.gather("x", 1))

    def be_killed(meeting: Meeting) -> None:
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        while True:  # computing, not waiting: it is told between batches
            wait_until(lambda: meeting._watch and meeting._watch.news, "nobody is told")
            meeting.check()

    with alone():
        by_itself = standing().size
    return {
        "gathered": gathered,
        "told": told,
        "alone": by_itself,
        "other call": said(meet("train" if rank else "valid")),
        "disagree": said(meet("weights"), disagree),
        "raised": said(meet("raise"), raise_in_one),
        "killed": said(meet("extract"), be_killed),
    }


def test_ranks_exchange_messages_and_name_who_disagrees_who_raised_and_who_was_killed(
    tmp_path: Path,
) -> None:
    first, killed, last = launch(several_meetings, 3, tmp_path)
    assert killed is None
    assert (first["gathered"], last["gathered"]) == ([0, 1, 4], None)
    assert first["told"] == last["told"] == 5
    assert first["alone"] == 1
    for found in (first, last):
        assert "this call of rank 1: expected valid, as of rank 0, got train" in found["other call"]
        assert "decoder of rank 2: expected c, as of rank 0, got b" in found["disagree"]
        assert "RankError: extract: rank 1 is gone: process" in found["killed"]
    assert "RankError: raise: rank 2 failed: ValueError: boom" in first["raised"]
    assert last["raised"] == "ValueError: boom"


def keeper_is_killed(rank: int) -> str:
    def act(meeting: Meeting) -> None:
        if rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        meeting.share("never")

    return said(meet("extract"), act)


def test_the_rank_that_keeps_the_store_is_killed_and_the_others_end(tmp_path: Path) -> None:
    killed, *others = launch(keeper_is_killed, 3, tmp_path, hosted=True)
    assert killed is None
    for found in others:
        assert "RankError: extract: rank 0" in found
        assert "gone" in found


def keeper_fails_and_ends(rank: int) -> str:
    def act(meeting: Meeting) -> None:
        if rank == 0:
            raise ValueError("boom")
        meeting.share("never")

    return said(meet("extract"), act)


def test_the_rank_that_keeps_the_store_fails_and_stays_until_the_others_know_why(
    tmp_path: Path,
) -> None:
    for found in launch(keeper_fails_and_ends, 3, tmp_path, hosted=True)[1:]:
        assert "RankError: extract: rank 0 failed: ValueError: boom" in found


def test_a_rank_of_another_machine_that_is_silent_or_absent_is_gone_after_so_many_beats() -> None:
    store = HashStore()
    owner = replace(Owner.this_process(), host="another")
    patience = Patience(beat_s=0.005, silent_beats=400, absent_beats=40)
    watch = RankWatch(0, 2, store, patience)
    wait_until(lambda: watch.news, "an absent rank is waited for")
    watch.end()
    assert watch.news is not None
    assert "has not begun" in watch.news.text
    store.delete_key("failed")
    store.set("owner/1", owner.to_bytes())
    watch = RankWatch(0, 2, store, patience)
    for _ in range(100):  # it lives as long as it beats
        store.add("beat/1", 1)
        looks = store.add("beat/0", 0)
        wait_until(lambda seen=looks: store.add("beat/0", 0) > seen, "no beat")
    assert watch.news is None
    wait_until(lambda: watch.news, "a silent rank is waited for")
    watch.end()
    assert watch.news is not None
    assert "process" in watch.news.text
    assert "of host another" in watch.news.text


def test_several_ranks_without_a_group_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="init_process_group"):
        standing()
    with alone():
        assert standing() == Standing()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert standing() == Standing()


def test_one_process_meets_itself() -> None:
    with Meeting(Standing(), "extract") as meeting:
        meeting.agree("facts", {"a": "b"})
        meeting.check()
        assert meeting.gather("topic", 3) == [3]
        assert meeting.share("all", 4) == 4
