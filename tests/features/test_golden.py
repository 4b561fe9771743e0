from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from featbank.features import EXTRACTORS
from featbank.features.pooled import Pooled
from featbank.features.several import Several
from tests.features.golden_values import FOLDER, TOLERANCE, golden_values, goldens, main

GOLDENS = dict(goldens())


@pytest.mark.parametrize("name", GOLDENS)
def test_values_are_those_of_the_extractors_version(name: str) -> None:
    kept = GOLDENS[name]
    extractor = kept.make()
    found = golden_values(extractor)
    kind = type(extractor).__name__
    advice = (
        f"{kind} gives other values than version {kept.version} did. If that is meant, bump "
        f"{kind}.version, so that stores are computed anew, and write the golden values again: "
        f"python -m tests.features.golden_values {name}"
    )
    assert found["version"] == kept.version, f"{kind}.version was bumped: {advice}"
    assert set(found["values"]) == set(kept.values), advice
    for feature, values in kept.values.items():
        assert np.allclose(found["values"][feature], values, atol=TOLERANCE, rtol=TOLERANCE), advice


@pytest.mark.usefixtures("one_thread")
def test_values_of_what_is_named_are_written_anew_and_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["mel", "spectrogram"], tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"mel", "spectrogram"}
    written, kept = ((folder / "mel.json").read_text() for folder in (tmp_path, FOLDER))
    assert list(json.loads(written)["values"]) == list(json.loads(kept)["values"])
    assert written.count("\n") == kept.count("\n")
    with pytest.raises(SystemExit):
        main(["mel", "loudness"], tmp_path)
    assert "mel, spectrogram" in capsys.readouterr().err


def test_every_extractor_has_golden_values_but_those_that_stand_around_others() -> None:
    every = {EXTRACTORS.find(name).load() for name in EXTRACTORS.table}
    assert {type(kept.make()) for kept in GOLDENS.values()} == every - {Several, Pooled}
