"""A codec from audio to codes, to a report, and back to audio, as typed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import yaml

from featbank.store import open_store
from tests.features.tiny_codecs import TINY_DAC
from tests.pipeline.conftest import Project

pytestmark = pytest.mark.slow

OPTION = {
    "name": "tiny_dac",
    # windows shorter than some utterances of the corpus
    "extractor": {**TINY_DAC, "max_window_s": 2.0, "context_s": 0.2},
    "storage": [{"name": "dac", "dtype": "uint8"}],
}


def test_a_codec_runs_from_audio_to_report_and_back_to_audio(own_prepared: Project) -> None:
    project = own_prepared
    (project.path / "conf/feature/tiny_dac.yaml").write_text(yaml.safe_dump(OPTION))
    project.choose(["tiny_dac"])
    project.run("python stages/extract.py")
    store = open_store(project.path / "data/features/demo/tiny_dac/dac")
    utterance = "allison_en/vm-next"
    codes = store[utterance]
    waveform, _ = soundfile.read(project.path / f"corpora/demo/{utterance}.flac")
    assert codes.shape == (3, -(-len(waveform) // 320))
    assert (store.header.time_axis, store.header.codebook_size) == (-1, 16)
    assert len(np.unique(codes)) > 3
    with open_store(store.path / "train") as train:
        assert "transformers" in train.provenance["versions"]

    said = project.run("python stages/stability.py")
    assert "features/tiny_dac/dac, gain: " in said
    assert "0 problems" in project.run("python stages/validate.py")
    page = (project.path / "reports/demo/report.html").read_text(encoding="utf-8")
    assert "features/tiny_dac/dac" in page
    metrics = json.loads((project.path / "reports/demo/metrics.json").read_text())
    dac = metrics["features"]["tiny_dac"]["dac"]
    assert dac["train"]["frame_rate"] == 50.0
    assert set(dac["stability"]) == {"noise", "shift", "gain"}
    assert all(0 < one["flip_rate"] < 1 for one in dac["stability"].values())

    project.run(f"python stages/decode.py id={utterance} out=out/a.wav")
    decoded, sample_rate = soundfile.read(project.path / "out/a.wav")
    assert sample_rate == 16000
    assert decoded.shape == (320 * codes.shape[1] - 8,)  # the decoder's strides of 5 drop some
    assert decoded.std() > 0

    sample = "python stages/sample.py feature=tiny_dac corpus=demo source=audio"
    assert "tiny_dac: expected features, whose values are floats, got uint8 codes" in project.run(
        sample, status=1
    )
