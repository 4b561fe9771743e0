"""Warn of audio that is upsampled: its features hold nothing above half of its own rate."""

from __future__ import annotations

import logging
from pathlib import Path

from featbank.errors import ConfigError
from featbank.files.json_files import read_json

_log = logging.getLogger(__name__)


def warn_of_upsampling(manifests: Path, sample_rate: int) -> None:
    """Warn where utterances are sampled below the rate that features are computed at.

    Args:
        manifests: folder of them, whose `corpus.json` counts the utterances by their rates; nothing
            is said where it is of a featbank that did not count them, or not there.
        sample_rate: of the extractor, in Hz.

    Raises:
        ConfigError: `corpus.json` is damaged.
    """
    path = manifests / "corpus.json"
    if not path.exists():
        return
    rates = read_json(path, what="corpus summary", error=ConfigError).get("sample_rates", {})
    try:
        below = {
            int(rate): int(counted["utterances"])
            for rate, counted in rates.items()
            if int(rate) < sample_rate
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"corpus summary {path}: sample_rates",
            expected="utterances by rate",
            got=repr(rates)[:100],
            hint="run python stages/prepare.py again",
        ) from error
    if below:
        _log.warning(
            "%d utterances are sampled at %s Hz, below the %d Hz of the extractor: they are "
            "upsampled, and hold nothing above half their rate",
            sum(below.values()), ", ".join(map(str, sorted(below))), sample_rate,
        )  # fmt: skip
