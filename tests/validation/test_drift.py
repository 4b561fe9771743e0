"""What drifted between two versions of a corpus is found, and what merely grew is not."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import yaml

from featbank.errors import ValidationError
from featbank.store import StoreWriter, open_store
from featbank.validation.drift import CorpusVersion, find_drift
from featbank.validation.drift_result import (
    Drift,
    DriftKind,
    require_no_drift,
    write_drift,
)
from featbank.validation.profile import SplitSizes
from featbank.validation.stores import validate_stores
from tests.conftest import ROOT
from tests.extracting import extract_corpus, prepare_corpus

CONF = yaml.safe_load((ROOT / "conf" / "validate.yaml").read_text())["drift"]
NUM_UNITS = 24
Wave = np.ndarray[Any, np.dtype[np.float64]]
Change = Callable[[Wave, int], tuple[Wave, int]]
Row = dict[str, str]


def softer_by_6_db(wave: Wave, rate: int) -> tuple[Wave, int]:
    return wave * 10 ** (-6 / 20), rate


def through_8_khz(wave: Wave, rate: int) -> tuple[Wave, int]:
    """Audio that went through 8 kHz, and says nothing of it."""
    there = soxr.resample(wave, rate, 8000)
    return soxr.resample(there, 8000, rate)[: len(wave)], rate


def three_times_at_32_khz(wave: Wave, rate: int) -> tuple[Wave, int]:
    """The same speech at twice its rate, three times in an utterance."""
    return np.tile(soxr.resample(wave, rate, 2 * rate), 3), 2 * rate


def as_it_is(wave: Wave, rate: int) -> tuple[Wave, int]:
    return wave, rate


class Corpora:
    """Versions of the demo corpus: its real audio, changed, with features and units of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._centroids: Any = None
        with open(ROOT / "corpora/demo/transcripts.tsv", encoding="utf-8") as file:
            self.rows: list[Row] = list(csv.DictReader(file, delimiter="\t"))

    def version(
        self, name: str, change: Change = as_it_is, rows: Iterable[Row] | None = None
    ) -> CorpusVersion:
        root = self._folder / name / "corpus"
        rows = [{**row, "split": "train"} for row in (self.rows if rows is None else rows)]
        for row in rows:
            wave, rate = soundfile.read(ROOT / "corpora/demo" / row["path"])
            path = root / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, *change(wave, rate))
        with open(root / "transcripts.tsv", "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        manifests = prepare_corpus(root)
        features, tokens = root.parent / "features", root.parent / "tokens"
        extract_corpus(root, features)
        self._tokenize(features / "fbank" / "train", tokens / "units" / "train")
        kinds = {"features/fbank": features, "tokens/fbank-k": tokens}
        checks = {
            name: validate_stores(folder, manifests, name=name) for name, folder in kinds.items()
        }
        assert [one.all_problems for one in checks.values()] == [[], []]
        return CorpusVersion.read(manifests, checks)

    def _tokenize(self, features: Path, tokens: Path) -> None:
        """Write the nearest of some frames of the first version, as units."""
        store = open_store(features)
        if self._centroids is None:
            frames = np.concatenate([store[one] for one in store.ids])
            self._centroids = frames[np.random.default_rng(0).permutation(len(frames))[:NUM_UNITS]]
        header = store.header
        with StoreWriter(
            tokens, name="units", dtype="uint8", shape=(), frame_rate=header.frame_rate,
            first_frame_center_s=header.first_frame_center_s, framing=header.framing,
            fingerprint="f" * 64,
            provenance={
                "codebook": {"num_clusters": NUM_UNITS, "sha256": "c"}, "stores": ["units"],
            },
        ) as writer:  # fmt: skip
            for one in store.ids:
                distances = np.square(store[one][:, None] - self._centroids).sum(axis=2)
                units = distances.argmin(axis=1).astype(np.uint8)
                writer.write(one, units, input_digest=store.input_digest(one))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Corpora:
    return Corpora(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="module")
def whole(corpora: Corpora) -> CorpusVersion:
    return corpora.version("whole")


def drift(older: CorpusVersion, newer: CorpusVersion) -> Drift:
    thresholds = {kind: CONF[kind] for kind in DriftKind}
    return find_drift(
        older, newer, corpus="demo", against="v1", thresholds=thresholds, chance=CONF["chance"]
    )


def found(drift: Drift) -> set[tuple[str, str]]:
    """What drifted: the kind of a measure, and whether of a split, of features or of units."""
    return {(measure.kind.value, measure.place.split("/")[0]) for measure in drift.findings}


def sentence(drift: Drift, kind: DriftKind) -> str:
    [measure] = [one for one in drift.findings if one.kind is kind]
    return str(measure)


def test_a_version_does_not_drift_from_itself(whole: CorpusVersion, tmp_path: Path) -> None:
    same = drift(whole, whole)
    assert {measure.kind for measure in same.measures} == set(DriftKind)
    assert {measure.distance for measure in same.measures} == {0.0}
    assert (same.notes, same.findings) == ((), [])
    require_no_drift(same)
    write_drift(same, tmp_path / "drift.json")
    written = json.loads((tmp_path / "drift.json").read_text())
    assert written["findings"] == []
    assert written["splits"] == {"train": {"older": 38, "newer": 38, "shared": 38}}
    assert len(written["measures"]) == len(same.measures)


def test_speech_that_is_6_db_softer_is_found_in_all_dimensions_alike(
    corpora: Corpora, whole: CorpusVersion, tmp_path: Path
) -> None:
    softer = drift(whole, corpora.version("softer", softer_by_6_db))
    assert found(softer) == {("means", "features"), ("units", "tokens")}
    # 6 dB are 1.38 of the natural logarithm of power; digital silence stays as it is
    told = sentence(softer, DriftKind.MEANS)
    assert "is mean -4.55; 20 of 20 dimensions (0 to 19) by -1.37 to -1.35" in told
    with pytest.raises(ValidationError, match="demo drifted from v1 in 2 of") as error:
        require_no_drift(softer)
    assert f"the farthest is {sentence(softer, DriftKind.UNITS)}" in str(error.value)
    write_drift(softer, tmp_path / "drift.json")
    assert told in json.loads((tmp_path / "drift.json").read_text())["findings"]


def test_speech_that_went_through_8_khz_is_found_in_the_upper_dimensions(
    corpora: Corpora, whole: CorpusVersion
) -> None:
    narrow = drift(whole, corpora.version("narrow", through_8_khz))
    features, units = ("means", "stds"), ("units", "new_units", "perplexity")
    assert found(narrow) == {
        *((kind, "features") for kind in features), *((kind, "tokens") for kind in units),
    }  # fmt: skip
    assert "5 of 20 dimensions (15 to 19) by -11.00 to" in sentence(narrow, DriftKind.MEANS)


def test_another_sample_rate_other_lengths_and_lost_texts_are_found(
    corpora: Corpora, whole: CorpusVersion
) -> None:
    rows = [{**row, "text": "", "language": "xx"} for row in corpora.rows]
    other = drift(whole, corpora.version("other", three_times_at_32_khz, rows))
    in_splits = {kind for kind, place in found(other) if place == "train"}
    assert in_splits == {"rates", "lengths", "texts", "languages"}
    assert "was 16000 Hz 100%, 32000 Hz 0%; is 16000 Hz 0%, 32000 Hz 100%" in sentence(
        other, DriftKind.RATES
    )
    assert "was median 3.3 s" in sentence(other, DriftKind.LENGTHS)
    assert "is median 9.8 s" in sentence(other, DriftKind.LENGTHS)


def test_a_corpus_that_grew_by_similar_utterances_did_not_drift(
    corpora: Corpora, whole: CorpusVersion
) -> None:
    few = corpora.version("few", rows=[row for n, row in enumerate(corpora.rows) if n % 4])
    grown = drift(few, whole)
    assert grown.splits["train"] == SplitSizes(older=28, newer=38, shared=28)
    assert any(measure.distance > 0.01 for measure in grown.measures)
    assert grown.findings == []


def test_what_cannot_be_held_against_anything_is_noted(whole: CorpusVersion) -> None:
    features, tokens = whole.checks["features/fbank"], whole.checks["tokens/fbank-k"]
    [store] = tokens.stores
    header = {**(store.header or {}), "fingerprint": "0" * 64, "provenance": {}}
    other = replace(tokens, stores=(replace(store, header=header),))
    newer = replace(whole, checks={"features/fbank": features, "tokens/fbank-k": other})
    refitted = drift(whole, newer)
    assert refitted.notes == (
        "tokens/fbank-k/units: its units are those of another codebook, and not held against each "
        "other",
    )
    assert not any(measure.kind is DriftKind.UNITS for measure in refitted.measures)
    assert drift(
        replace(whole, checks={}), replace(whole, checks={"features/fbank": features})
    ).notes == ("features/fbank: the older version has no check of it",)
    renamed = replace(features, stores=(replace(features.stores[0], split="dev"),))
    assert drift(whole, replace(whole, checks={"features/fbank": renamed})).notes == (
        "store features/fbank fbank/train: the older version alone has it",
        "store features/fbank fbank/dev: it is new",
    )


def test_an_older_check_without_dimensions_is_compared_as_a_whole(whole: CorpusVersion) -> None:
    features = whole.checks["features/fbank"]
    [store] = features.stores
    assert store.mean is not None
    before = replace(features, stores=(replace(store, dimensions=None, mean=store.mean + 2),))
    measures = drift(
        replace(whole, checks={"features/fbank": before}),
        replace(whole, checks={"features/fbank": features}),
    )
    assert found(measures) == {("means", "features")}
    assert "dimensions" not in sentence(measures, DriftKind.MEANS)


def test_shares_that_failed_are_found(whole: CorpusVersion) -> None:
    features = whole.checks["features/fbank"]
    stores = tuple(replace(one, num_failures=one.num_expected // 2) for one in features.stores)
    checks = {"features/fbank": replace(features, stores=stores)}
    broken = replace(whole, num_failed=38, checks=checks)
    measures = drift(whole, broken).findings
    assert [(one.place, one.distance, one.newer) for one in measures] == [
        ("all splits", 0.5, "50.00%"),
        ("features/fbank/fbank/train", 0.5, "50.00%"),
    ]
