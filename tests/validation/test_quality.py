"""The quality of stores, measured on the demo corpus, whose phones are labelled."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.label_forms import open_labels
from featbank.base.manifest import Utterance, read_manifest
from featbank.base.units import deduplicate
from featbank.quality.result import StoreQuality
from featbank.store import Store, StoreWriter
from featbank.validation.quality import AbxPlan, NgramPlan, ProbePlan, QualityPlan
from featbank.validation.result import read_check, write_check
from featbank.validation.stores import validate_stores
from tests.conftest import ROOT, SPLITS
from tests.extracting import extract_corpus, prepare_corpus

GOLDEN = json.loads((ROOT / "tests" / "quality" / "abx_golden.json").read_text())
"""Of the held-out MFCCs, by fastabx; `tests/quality/test_abx.py` says how."""

MFCC = {"_target_": "featbank.features.Mfcc", "deltas": 2, "waveform_scale": 1.0}
PLAN = QualityPlan(
    trained=["train"],
    held_out=["dev", "test"],
    seed=0,
    abx=AbxPlan(speakers=99, utterances=99, segments=9999, by_context=False, silences=["sil"]),
    ngram=NgramPlan(utterances=99, order=3),
    probe=ProbePlan(speakers=99, utterances=99),
)

SMALL = replace(PLAN, abx=replace(PLAN.abx, speakers=3, utterances=2, segments=2))


@dataclass(frozen=True)
class Measured:
    """The demo corpus with MFCCs, and units of them: as many steps of the first cepstrum."""

    root: Path
    rows: dict[str, list[Utterance]]

    @property
    def labels(self) -> Any:
        return open_labels(ROOT / "corpora" / "demo" / "phones.jsonl")

    def measure(self, *names: str, plan: QualityPlan) -> tuple[StoreQuality, ...]:
        return plan.measure([self.root / name for name in names], self.rows, self.labels)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("quality")
    corpus = Path(shutil.copytree(ROOT / "corpora" / "demo", folder / "corpus"))
    manifests = prepare_corpus(corpus)
    extract_corpus(corpus, folder / "stores", extractor=MFCC, storage=[{"name": "mfcc"}])
    rows = {split: read_manifest(manifests / f"{split}.jsonl") for split in SPLITS}
    for split in SPLITS:
        stored = Store(folder / "stores" / "mfcc" / split)
        units = {key: _stepped(stored[key]) for key in sorted(stored.ids)}
        merged = {key: deduplicate(one) for key, one in units.items()}
        for place, name, values, dtype in (
            ("whole", "units", units, "uint8"),
            ("merged", "units", {key: one[0] for key, one in merged.items()}, "uint8"),
            ("merged", "durations", {key: one[1] for key, one in merged.items()}, "uint32"),
        ):
            with StoreWriter(
                folder / "stores" / place / name / split, name=name, dtype=dtype, shape=(),
                framing=stored.header.framing, fingerprint="f" * 64,
                provenance={"codebook": {"num_clusters": 8}},
                frame_rate=stored.frame_rate if place == "whole" else None,
            ) as writer:  # fmt: skip
                for key, one in values.items():
                    writer.write(key, one)
    return Measured(root=folder / "stores", rows=rows)


def _stepped(frames: np.ndarray) -> np.ndarray:
    return np.digitize(frames[:, 0], np.linspace(-90, -40, 7)).astype(np.uint8)


@pytest.mark.parametrize("by_context", [False, True])
def test_the_abx_of_the_demo_is_that_of_fastabx(demo: Measured, by_context: bool) -> None:
    plan = replace(PLAN, abx=replace(PLAN.abx, by_context=by_context))
    [found] = demo.measure("mfcc", plan=plan)
    assert found.abx is not None
    for speakers, score in (("within", found.abx.within), ("across", found.abx.across)):
        golden = GOLDEN[f"demo mfcc {speakers} {'context' if by_context else 'any'}"]
        assert score is not None
        # a processor of another kind gives other last bits, which may turn a comparison
        assert score.error_rate == pytest.approx(golden["error_rate"], abs=5e-4)
        assert score.num_cells == golden["num_cells"]


def test_units_are_measured_alike_whether_their_repeats_are_merged_or_not(demo: Measured) -> None:
    whole, merged = demo.measure("whole/units", "merged/durations", "merged/units", plan=SMALL)
    assert whole == merged
    assert whole.absent == {}
    assert whole.ngram is not None
    assert whole.ngram.bitrate < whole.ngram.bitrate_of_frames
    assert whole.speakers is not None
    assert (whole.speakers.num_speakers, whole.speakers.num_fitted) == (4, 31)


def test_a_measure_repeats_and_a_check_keeps_it(demo: Measured, tmp_path: Path) -> None:
    checks = [
        validate_stores(
            demo.root / "whole", demo.root.parent / "manifests", name="tokens/whole",
            labels=ROOT / "corpora" / "demo" / "phones.jsonl", quality=SMALL,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert checks[0] == checks[1]
    write_check(checks[0], tmp_path / "check.json")
    assert read_check(tmp_path / "check.json") == checks[0]
    [found] = checks[0].quality or ()
    assert found.abx is not None
    assert found.abx.num_left_out > 0
    assert validate_stores(
        demo.root / "whole", demo.root.parent / "manifests", name="tokens/whole"
    ).quality is None  # fmt: skip


def test_what_cannot_be_measured_says_why(demo: Measured) -> None:
    def absent(
        *, place: str = "mfcc", plan: QualityPlan = SMALL, labels: Any = demo.labels, **speaker: str
    ) -> dict[str, str]:
        rows = {
            split: [replace(row, **speaker) for row in some] for split, some in demo.rows.items()
        }
        [found] = plan.measure([demo.root / place], rows, labels)
        return dict(found.absent)

    no_units = {"ngram": "the values are no units"}
    off = replace(
        PLAN,
        abx=replace(PLAN.abx, utterances=0),
        ngram=replace(PLAN.ngram, utterances=0),
        probe=replace(PLAN.probe, utterances=0),
    )
    assert absent() == no_units
    assert absent(labels=None) == {"abx": "the corpus has no labels", **no_units}
    assert absent(place="whole/units", plan=off) == dict.fromkeys(
        ("abx", "ngram", "speakers"), "it is turned off"
    )
    assert absent(plan=replace(SMALL, held_out=[]))["abx"] == (
        "the drawn utterances have no phones to compare"
    )
    assert absent(place="whole/units", plan=replace(SMALL, trained=["unheard"])) == {
        "ngram": "units are needed in the splits to train on and in those held out"
    }
    assert absent(speaker="")["speakers"] == "no two speakers have two utterances each"
    # one voice alone can be compared with itself
    assert absent(speaker="she") == {
        "speakers": "no two speakers have two utterances each", **no_units
    }  # fmt: skip
    lost = "a store is missing or damaged"
    assert absent(place="nothing") == {"abx": lost, "ngram": lost, "speakers": lost}


def test_an_utterance_with_values_that_are_none_is_left_out(demo: Measured, tmp_path: Path) -> None:
    sound = np.ones(2, np.float32)
    values = {"a": sound, "b": sound * np.nan, "c": sound, "d": sound}
    with StoreWriter(
        tmp_path / "odd" / "train", name="odd", dtype="float32", shape=(2,), time_axis=None,
        fingerprint="f" * 64, allow_nonfinite=True,
    ) as writer:  # fmt: skip
        for key, one in values.items():
            writer.write(key, one)
    row = demo.rows["train"][0]
    speakers = zip(values, "xxyy", strict=True)
    rows = {"train": [replace(row, id=key, speaker=speaker) for key, speaker in speakers]}
    [found] = PLAN.measure([tmp_path / "odd"], rows, demo.labels)
    assert found.absent == {
        "abx": "there are no frames in time",
        "ngram": "the values are no units",
        "speakers": "no two speakers have two utterances each",  # x has one left
    }
