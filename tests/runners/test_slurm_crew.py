"""What the coordinator makes of workers that come while it looks."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from featbank.runners.coordinating import Attempt
from featbank.runners.exchange import Exchange
from featbank.runners.slurm_crew import JobPatience, SlurmCrew
from featbank.runners.slurm_jobs import SlurmJobs


class _Listed(SlurmJobs):
    """One job, which does something at the very moment at which it is asked for."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._ids = {"7"}

    def submit(self, number: int) -> list[str]:
        assert number == 1
        return ["7"]

    def listed(self) -> set[str]:
        self._act()
        return self._ids

    def cancel(self, ids: Collection[str] = ()) -> None:
        assert not ids, "nobody is dead"
        self._ids = set()

    def last_words(self, job_id: str) -> str:
        raise AssertionError(f"{job_id} is not dead")


def test_a_requeued_job_is_told_of_although_its_claim_is_seen_before_its_sign_of_life(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = Exchange.create(tmp_path, pickle.dumps(None))
    patience = JobPatience(beat_s=0.1, stale_s=60, idle_deaths=0)
    crew = SlurmCrew(
        exchange, _Listed(lambda: exchange.claim("7.1")), num_workers=1, patience=patience
    )
    crew.hand(Attempt(0, "a task"))
    while not exchange.claims():  # first it submits the job, then it looks for it
        assert crew.wait() == []
    assert "job 7 of Slurm was requeued (1 so far) and begins its task anew" in caplog.text
    crew.end()
