from __future__ import annotations

import json
import pkgutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import featbank.features
from featbank.features.base import Extractor, UtteranceExtractor
from tests.features.golden_values import EXTRACTORS, FOLDER, TOLERANCE, golden_values, main


@pytest.mark.parametrize("name", EXTRACTORS)
def test_values_are_those_of_the_extractors_version(name: str) -> None:
    extractor = EXTRACTORS[name]()
    kept = json.loads((FOLDER / f"{name}.json").read_text())
    found = golden_values(extractor)
    kind = type(extractor).__name__
    advice = (
        f"{kind} gives other values than version {kept['version']} did. If that is meant, bump "
        f"{kind}.version, so that stores are computed anew, and write the golden values again: "
        f"python -m tests.features.golden_values {name}"
    )
    assert found["version"] == kept["version"], f"{kind}.version was bumped: {advice}"
    assert set(found["values"]) == set(kept["values"]), advice
    for feature, values in kept["values"].items():
        assert np.allclose(found["values"][feature], values, atol=TOLERANCE, rtol=TOLERANCE), advice


@pytest.mark.usefixtures("one_thread")
def test_values_of_what_is_named_are_written_anew_and_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["energy", "spectrogram"], tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"energy", "spectrogram"}
    written, kept = ((folder / "energy.json").read_text() for folder in (tmp_path, FOLDER))
    assert list(json.loads(written)["values"]) == list(json.loads(kept)["values"])
    assert written.count("\n") == kept.count("\n")
    with pytest.raises(SystemExit):
        main(["energy", "loudness"], tmp_path)
    assert "mel, spectrogram, energy" in capsys.readouterr().err


def test_every_extractor_class_has_golden_values() -> None:
    def leaves(kind: type[Extractor]) -> set[type[Extractor]]:
        children = [
            child
            for child in kind.__subclasses__()
            if child.__module__.startswith("featbank.features.")
        ]
        return set().union(*map(leaves, children)) if children else {kind}

    for module in pkgutil.iter_modules(featbank.features.__path__, "featbank.features."):
        import_module(module.name)
    assert leaves(UtteranceExtractor) == {type(EXTRACTORS[name]()) for name in EXTRACTORS}
