"""A fact about a machine, and what it means for a pipeline on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "slow", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFact:
    """One thing that a machine has, has slowly, or lacks.

    Args:
        what: the thing, such as `memory` or `ffmpeg`.
        value: that it has, with its unit or version.
        verdict: `ok`; `slow`, where it works and another machine or setting does it faster;
            `missing`, where it is absent or does not work.
        hint: what to type or to do, where it is not `ok`.
        is_needed: whether no pipeline runs without.
    """

    what: str
    value: str
    verdict: Verdict = "ok"
    hint: str = ""
    is_needed: bool = False

    @property
    def ends_pipelines(self) -> bool:
        """Whether no pipeline can run for it."""
        return self.is_needed and self.verdict == "missing"
