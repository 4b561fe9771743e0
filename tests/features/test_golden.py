from __future__ import annotations

import json
import pkgutil
from importlib import import_module

import numpy as np
import pytest

import featbank.features
from featbank.features.base import Extractor, UtteranceExtractor
from tests.features.golden_values import EXTRACTORS, FOLDER, TOLERANCE, golden_values


@pytest.mark.parametrize("name", EXTRACTORS)
def test_values_are_those_of_the_extractors_version(name: str) -> None:
    extractor = EXTRACTORS[name]()
    kept = json.loads((FOLDER / f"{name}.json").read_text())
    found = golden_values(extractor)
    kind = type(extractor).__name__
    advice = (
        f"{kind} gives other values than version {kept['version']} did. If that is meant, bump "
        f"{kind}.version, so that stores are computed anew, and write the golden values again: "
        "python -m tests.features.golden_values"
    )
    assert found["version"] == kept["version"], f"{kind}.version was bumped: {advice}"
    assert set(found["values"]) == set(kept["values"]), advice
    for feature, values in kept["values"].items():
        assert np.allclose(found["values"][feature], values, atol=TOLERANCE, rtol=TOLERANCE), advice


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
