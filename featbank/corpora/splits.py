"""The splits of a corpus: by its own names, or by a hash where it gives none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, Self

from featbank.base.building import check_type, construct
from featbank.base.split_names import check_distinct, check_split
from featbank.errors import ConfigError, CorpusError

TRAIN, HELD_OUT = ("train",), ("dev", "test")
"""What a corpus trains on and holds out, where its definition does not say."""

_MOST = 200
"""Splits of a corpus: more are a column that means something else, and each is an open file."""


class SplitNames:
    """Renames the splits of a corpus as its definition says, and remembers each name."""

    def __init__(self, renamed: Mapping[str, str]) -> None:
        """Take the names that a definition gives to values of the corpus.

        Raises:
            ConfigError: one cannot name a split.
        """
        if "by" in renamed or any(not isinstance(name, str) for name in renamed.values()):
            raise ConfigError(
                "corpus.splits",
                expected="names by what the corpus calls its splits: {validation: dev}",
                got=repr(dict(renamed))[:100],
                hint="a rule for a corpus without splits is corpus.split_rule: "
                "{by: speaker, shares: {dev: 0.1, test: 0.1}}",
            )
        for value, name in renamed.items():
            check_split(name, f"corpus.splits: {value}", ConfigError)
        self._renamed = {str(value): name for value, name in renamed.items()}
        self._names: dict[str, str] = {}

    def name(self, value: str, where: str) -> str:
        """Return the name of the split that the corpus calls `value`.

        Raises:
            CorpusError: it cannot be one.
        """
        known = self._names.get(value)
        if known is not None:
            return known
        name = check_split(self._renamed.get(value, value), f"split in {where}", CorpusError)
        if len(self._names) >= _MOST:
            raise CorpusError(
                "splits of the corpus",
                expected=f"{_MOST} at most",
                got=f"one more in {where}",
                hint="is that column a split? corpus.ignore_columns leaves it out",
            )
        self._names[value] = name
        return name

    @property
    def unused(self) -> list[str]:
        """Values that the definition renames and that the corpus does not have."""
        return sorted(self._renamed.keys() - self._names.keys())


def check_role(names: object, role: str) -> list[str]:
    """Return a definition's splits to train on or to hold out, if they are names.

    Raises:
        ConfigError: they are none.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ConfigError(f"corpus.{role}", expected="a list of splits", got=repr(names))
    return [check_split(name, f"corpus.{role}", ConfigError) for name in names]


def check_roles(train: Sequence[str], held_out: Sequence[str]) -> None:
    """Refuse splits to train on and to hold out that are no names, or are the same.

    Raises:
        ConfigError: there are such.
    """
    check_role(train, "train")
    check_role(held_out, "held_out")
    if both := sorted(set(train) & set(held_out)):
        raise ConfigError(
            "corpus.train and corpus.held_out", expected="different splits", got=", ".join(both)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRule:
    """Assigns speakers, or utterances, to splits for good, by a hash of their names.

    A hash of the name alone decides, so that growth moves nobody; a split's share is met on
    average, not exactly, and a small corpus can have an empty split.

    Args:
        by: `speaker` keeps each speaker in one split; `hash` decides by utterance id.
        shares: of some splits, by their names.
        rest: the split of all others.
        seed: another seed, other splits.
    """

    by: str = "speaker"
    shares: Mapping[str, float] = field(default_factory=lambda: {"dev": 0.1, "test": 0.1})
    rest: str = "train"
    seed: int = 0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Build a rule from configuration.

        Raises:
            ConfigError: an unknown field, a value of another type or `by`, shares that are none, or
                a name that is none of a split.
        """
        rule = construct(cls, settings, "corpus.split_rule")
        if rule.by not in ("speaker", "hash"):
            raise ConfigError("corpus.split_rule.by", expected="speaker or hash", got=repr(rule.by))
        where = "corpus.split_rule.shares"
        if not isinstance(rule.shares, Mapping):
            raise ConfigError(where, expected="shares by split: {dev: 0.1}", got=repr(rule.shares))
        for name, share in rule.shares.items():
            check_split(name, where, ConfigError)
            check_type(share, float, f"{where}.{name}")
        shares = list(rule.shares.values())
        if rule.rest in rule.shares:
            raise ConfigError(where, expected=f"others than rest: {rule.rest}", got=rule.rest)
        if not (all(share >= 0 for share in shares) and sum(shares) <= 1 + 1e-9):
            raise ConfigError(
                where, expected="shares from 0 to 1 in all", got=" and ".join(map(str, shares))
            )
        check_split(rule.rest, "corpus.split_rule.rest", ConfigError)
        check_distinct(rule.names, "corpus.split_rule", ConfigError)
        return rule

    @property
    def names(self) -> list[str]:
        """The splits there are by this rule, though one may be empty."""
        return [self.rest, *(name for name, share in self.shares.items() if share)]

    @property
    def told(self) -> str:
        """What it does, for people: by what, and which share goes where."""
        by = "speaker" if self.by == "speaker" else "utterance id"
        shares = "".join(f"{name} {share:g}, " for name, share in self.shares.items() if share)
        return f"by a hash of the {by}: {shares}and {self.rest} for the rest"

    def split_of(self, *, utterance_id: str, speaker: str) -> str:
        """Return the split of an utterance.

        >>> rule = SplitRule(by="hash", shares={"dev": 0.5, "test": 0.5})
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
                hint="set corpus.split_rule.by=hash, or give speakers",
            )
        key = speaker if by_speaker else utterance_id
        draw = (_draw_again if by_speaker else _draw)(self.seed, key)
        below = 0.0
        # in the order of their names, whatever that of the definition is
        for name in sorted(self.shares, reverse=True):
            below += self.shares[name]
            if draw < below:
                return name
        return self.rest


def _draw(seed: int, key: str) -> float:
    """Return a number from 0 to below 1."""
    hashed = sha256(f"{seed}\n{key}".encode()).digest()
    return int.from_bytes(hashed[:8], "big") * 2.0**-64


_draw_again = lru_cache(1024)(_draw)  # speakers say more than one thing
