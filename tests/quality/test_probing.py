"""The speaker probe is a ridge regression that repeats."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from featbank.quality.probing import _ridge, probe_speakers


def means_of(*, shift: float, number: int = 40) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    rng = np.random.default_rng(0)
    speakers = {f"u{n:02}": f"s{n % 4}" for n in range(number)}
    offsets = {f"s{n}": shift * rng.normal(size=6) for n in range(4)}
    return {one: offsets[who] + rng.normal(size=6) for one, who in speakers.items()}, speakers


def test_it_finds_voices_where_there_are_some_and_only_then() -> None:
    loud = probe_speakers(*means_of(shift=10), seed=0)
    mute = probe_speakers(*means_of(shift=0, number=400), seed=0)
    assert loud is not None
    assert mute is not None
    assert (loud.accuracy, loud.chance) == (1, 0.25)
    assert mute.accuracy == pytest.approx(mute.chance, abs=0.12)
    assert (loud.num_speakers, loud.num_fitted, loud.num_asked) == (4, 32, 8)


def test_it_repeats_whatever_the_order_of_the_utterances() -> None:
    means, speakers = means_of(shift=0.5)
    turned = dict(reversed(means.items()))
    assert probe_speakers(means, speakers, seed=0) == probe_speakers(turned, speakers, seed=0)


def test_it_is_the_regression_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    values, asked = rng.normal(size=(30, 50)), rng.normal(size=(20, 50))
    values[:, 3] = asked[:, 3] = 7  # no variance to divide by
    numbers = np.arange(30) % 3
    mean, std = values.mean(axis=0), np.where(values.std(axis=0) > 0, values.std(axis=0), 1)
    other = Ridge(alpha=1).fit((values - mean) / std, np.eye(3)[numbers])
    expected = other.predict((asked - mean) / std).argmax(axis=1)
    assert _ridge(values, numbers, asked, 3).tolist() == expected.tolist()


def test_one_speaker_or_one_utterance_each_tells_nothing() -> None:
    means, _ = means_of(shift=1)
    assert probe_speakers(means, dict.fromkeys(means, "s"), seed=0) is None
    assert probe_speakers(means, {one: one for one in means}, seed=0) is None
