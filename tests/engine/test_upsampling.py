"""Extraction says when audio is sampled below the rate of its extractor."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from featbank.engine.upsampling import warn_of_upsampling
from featbank.errors import ConfigError
from tests.extracting import prepare_corpus, run_extraction


def test_audio_below_the_rate_of_the_extractor_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
    for name, rate in (("a", 8000), ("b", 16_000), ("c", 11_025), ("d", 44_100)):
        soundfile.write(root / f"{name}.wav", noise, rate)
    rows = "".join(f"{name}.wav\ttrain\n" for name in "abcd")
    (root / "transcripts.tsv").write_text(f"path\tsplit\n{rows}")
    prepare_corpus(root)
    with caplog.at_level(logging.WARNING):
        run_extraction(root, tmp_path / "out", num_workers=None)
    assert "2 utterances are sampled at 8000, 11025 Hz, below the 16000 Hz of" in caplog.text
    caplog.clear()
    warn_of_upsampling(tmp_path / "manifests", 8000)
    assert caplog.text == ""


def test_a_summary_without_rates_is_silent_and_a_damaged_one_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_upsampling(tmp_path, 16_000)
    (tmp_path / "corpus.json").write_text("{}")
    warn_of_upsampling(tmp_path, 16_000)
    assert caplog.text == ""
    for rates in ([], {"x": {"utterances": 1}}, {"8000": 1}, {"8000": {}}, "8000", None):
        (tmp_path / "corpus.json").write_text(json.dumps({"sample_rates": rates}))
        with pytest.raises(ConfigError, match=r"sample_rates: expected utterances by rate"):
            warn_of_upsampling(tmp_path, 16_000)
