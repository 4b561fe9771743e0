"""Splits by a hash."""

from __future__ import annotations

from collections import Counter

import pytest

from featbank.corpora.splits import SplitRule
from featbank.errors import ConfigError, CorpusError


def test_a_split_does_not_change_between_versions() -> None:
    rule = SplitRule(by="hash", shares={"test": 0.3, "dev": 0.3}, seed=7)
    splits = [rule.split_of(utterance_id=f"u{index}", speaker="") for index in range(8)]
    assert splits == ["train", "train", "train", "train", "train", "test", "dev", "dev"]


def test_shares_are_met_on_average() -> None:
    rule = SplitRule(by="hash", shares={"dev": 0.1, "test": 0.2})
    counts = Counter(rule.split_of(utterance_id=f"{index}", speaker="") for index in range(20_000))
    assert counts["dev"] == pytest.approx(2000, rel=0.1)
    assert counts["test"] == pytest.approx(4000, rel=0.1)


def test_a_speaker_stays_in_one_split() -> None:
    rule = SplitRule(shares={"dev": 0.3, "test": 0.3})
    for speaker in map(str, range(20)):
        found = {rule.split_of(utterance_id=f"u{index}", speaker=speaker) for index in range(20)}
        assert len(found) == 1


def test_another_seed_gives_other_splits() -> None:
    first, second = (
        [
            SplitRule(by="hash", seed=seed).split_of(utterance_id=str(i), speaker="")
            for i in range(99)
        ]
        for seed in (0, 1)
    )
    assert first != second


def test_a_split_by_speaker_needs_speakers() -> None:
    with pytest.raises(
        CorpusError, match=r"'u': expected a speaker .*, got none; set corpus.split_rule.by"
    ):
        SplitRule().split_of(utterance_id="u", speaker="")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "chance"}, "split_rule.by: expected speaker or hash, got 'chance'"),
        (
            {"shares": {"dev": 0.6, "test": 0.6}},
            "shares: expected shares from 0 to 1 in all, got 0.6",
        ),
        ({"shares": {"dev": -0.1}}, "shares: expected shares"),
        ({"shares": {"dev": "half"}}, "shares.dev: expected float, got str 'half'"),
        ({"shares": ["dev"]}, "shares: expected shares by split"),
        ({"shares": {"train": 0.5}}, "shares: expected others than rest"),
        ({"shares": {"../dev": 0.5}}, "shares: expected letters, digits"),
        (
            {"shares": {"Train": 0.5}},
            "differ in more than the case of letters, got Train and train",
        ),
        ({"rest": "failures"}, "rest: expected a name without a meaning of its own"),
        ({"valid": 0.1}, "split_rule: valid: expected one of by, shares, rest, seed, got an opt"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SplitRule.of(settings)
