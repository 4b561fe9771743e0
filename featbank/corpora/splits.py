"""Splits for corpora that give none: decided by a hash, so that growth moves nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Self

from featbank.base.trusted import construct
from featbank.errors import ConfigError, CorpusError


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRule:
    """Sends a speaker, or an utterance, to a split for good.

    A hash of the name alone decides, so a split's share is met on average, not exactly, and a small
    corpus can have an empty split.

    Args:
        by: `speaker` keeps each speaker in one split; `hash` decides by utterance id.
        dev: share of the dev split.
        test: share of the test split; train is the rest.
        seed: another seed, other splits.
    """

    by: str = "speaker"
    dev: float = 0.1
    test: float = 0.1
    seed: int = 0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Build a rule from configuration.

        Raises:
            ConfigError: an unknown field, a value of another type or `by`, or shares that are none.
        """
        rule = construct(cls, settings, "corpus.splits")
        if rule.by not in ("speaker", "hash"):
            raise ConfigError("corpus.splits.by", expected="speaker or hash", got=repr(rule.by))
        if not (rule.dev >= 0 and rule.test >= 0 and rule.dev + rule.test <= 1):
            raise ConfigError(
                "corpus.splits",
                expected="shares from 0 to 1 in all",
                got=f"{rule.dev} and {rule.test}",
            )
        return rule

    def split_of(self, *, utterance_id: str, speaker: str) -> str:
        """Return the split of an utterance.

        >>> rule = SplitRule(by="hash", dev=0.5, test=0.5)
        >>> [rule.split_of(utterance_id=name, speaker="") for name in ("a", "b", "c")]
        ['test', 'test', 'dev']

        Raises:
            CorpusError: the rule is by speaker and the utterance has none.
        """
        by_speaker = self.by == "speaker"
        if by_speaker and not speaker:
            raise CorpusError(
                f"utterance {utterance_id!r}",
                expected="a speaker to split by",
                got="none",
                hint="set corpus.splits.by=hash, or give speakers",
            )
        key = speaker if by_speaker else utterance_id
        draw = (_draw_again if by_speaker else _draw)(self.seed, key)
        if draw < self.test:
            return "test"
        return "dev" if draw < self.test + self.dev else "train"


def _draw(seed: int, key: str) -> float:
    """Return a number from 0 to below 1."""
    hashed = sha256(f"{seed}\n{key}".encode()).digest()
    return int.from_bytes(hashed[:8], "big") * 2.0**-64


_draw_again = lru_cache(1024)(_draw)  # speakers say more than one thing
