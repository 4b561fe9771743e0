"""Tokens of disturbed audio against those of the clean one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from featbank.base.framing import Framing
from featbank.base.manifest import read_manifest, write_manifest
from featbank.engine.extract import extract, feature_job
from featbank.engine.recomputing import DrawnSample, draw
from featbank.engine.run import Run
from featbank.engine.tokenize_audio import FeatureTokens
from featbank.errors import FeatbankError, ValidationError
from featbank.features.base import AudioBatch, Output
from featbank.stability.disturbances import disturb
from featbank.stability.flips import aligned, frames_between, unit_edit_distance
from featbank.stability.measuring import MeasuredTokens, beginnings, measure_stability
from featbank.stability.result import (
    FORMAT_VERSION,
    Stability,
    read_stabilities,
    read_stability,
    write_stability,
)
from featbank.stability.units import measured_units
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.token_stores import TokenStores
from tests.conftest import SPLITS
from tests.extracting import demo_run, prepare_corpus
from tests.two_features import FbankAndEnergy

pytestmark = pytest.mark.usefixtures("one_thread")


def test_noise_is_of_one_step_and_evenly_drawn() -> None:
    clean = np.zeros(30_000, np.float32)
    steps = disturb("noise", clean, 16000, seed=[0, "a"]) * 32768
    assert set(steps.tolist()) == {-1, 0, 1}
    assert np.bincount(steps.astype(int) + 1) == pytest.approx([10_000] * 3, abs=400)
    assert (disturb("noise", clean, 16000, seed=[0, "a"]) * 32768 == steps).all()
    assert (disturb("noise", clean, 16000, seed=[1, "a"]) * 32768 != steps).any()


def test_shift_is_of_ten_milliseconds_and_gain_of_minus_six_decibels() -> None:
    clean = np.arange(1000, dtype=np.float32) / 1000
    assert (disturb("shift", clean, 16000, seed=[]) == clean[160:]).all()
    ratio = disturb("gain", clean, 16000, seed=[])[1:] / clean[1:]
    assert 20 * np.log10(ratio) == pytest.approx(np.full(999, -6.0), abs=1e-4)


@pytest.mark.parametrize(
    ("hop", "sample_rate", "frames"),
    [
        (160, 16000, 1),  # a hop of 10 ms: the next frame, exactly
        (320, 16000, 0),  # half a hop: the frame before and the one after are as near
        (200, 44100, 1),  # 441 samples at 44.1 kHz are 160 at 16: 0.8 hops
        (400, 16000, 0),  # 0.4 hops
        (64, 16000, 2),  # 2.5 hops: the earlier of two
    ],
)
def test_shifted_frames_are_compared_with_the_nearest_in_time(
    hop: int, sample_rate: int, frames: int
) -> None:
    framing = Framing(sample_rate=16000, window_length=400, hop_length=hop)
    assert frames_between(framing, round(0.01 * sample_rate), sample_rate) == frames


def test_tokens_are_compared_where_both_have_frames() -> None:
    clean = np.array([1, 2, 3, 4, 5])
    for disturbed, later, kept in (
        ([1, 2, 9, 4, 9], 0, ([1, 2, 3, 4, 5], [1, 2, 9, 4, 9])),
        ([2, 3, 4], 1, ([2, 3, 4], [2, 3, 4])),
        ([2, 3, 4, 5, 6], 1, ([2, 3, 4, 5], [2, 3, 4, 5])),
        ([1], 5, ([], [])),
    ):
        found = aligned(clean, np.array(disturbed), later)
        assert tuple(one.tolist() for one in found) == kept


def test_unit_edit_distance_forgives_units_that_begin_elsewhere() -> None:
    clean = np.array([7, 7, 7, 3, 3, 3, 5, 5])
    assert unit_edit_distance(clean, np.array([7, 3, 3, 3, 3, 5, 5, 5])) == 0
    # 7 3 5 and 7 4 5 2: one substitution, one insertion, in 8 frames
    assert unit_edit_distance(clean, np.array([7, 7, 4, 4, 4, 5, 5, 2])) == 0.25


class Levels(FbankAndEnergy):
    """Three codes a frame, of 3000 levels each: the energies of three filters."""

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {"levels": Output((3,), codebook_size=3000)}

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        rows = self._fbank.compute_features(batch, split)
        return [
            {"id": row["id"], "levels": (row["fbank"][:, 5:8] * 100).clip(0, 2999).astype(np.int64)}
            for row in rows
        ]


class NotedFilters(FbankAndEnergy):
    """Notes the id of each utterance that it computes, in this process."""

    noted: ClassVar[list[str]] = []

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        self.noted.extend(batch.ids)
        return super().compute_features(batch, split)


class Project:
    """Three utterances of real speech, and a codebook of some of their own frames."""

    def __init__(self, folder: Path, demo_corpus: Path) -> None:
        self.folder, self.root = folder, folder / "corpus"
        shutil.copytree(demo_corpus, self.root)
        self.manifests = prepare_corpus(self.root)
        for split in SPLITS:
            path = self.manifests / f"{split}.jsonl"
            write_manifest(path, sorted(read_manifest(path), key=lambda row: row.num_samples)[:1])
        self.tokens = self.codebook(demo_run(self.root), "fbank", 500)

    def codebook(self, run: Run, feature: str, size: int) -> TokenStores:
        job = feature_job(run, self.folder)
        fingerprint, shape = job.specs[feature].fingerprint, job.specs[feature].shape
        rng = np.random.default_rng(0)
        origin = {"fitted_on": {"feature": feature, "feature_fingerprint": fingerprint}}
        centroids = rng.normal(5, 10, (size, *shape)).astype(np.float32)
        path = self.folder / f"{feature}-{size}.safetensors"
        save_codebook(path, Codebook(centroids=centroids, provenance=origin))
        return TokenStores(codebook=load_codebook(path), merge_repeats=False)

    def measure(
        self,
        stores: TokenStores | None = None,
        sample: DrawnSample | None = None,
        root: Path | None = None,
    ) -> Stability:
        run = demo_run(root or self.root, manifests=self.manifests, work=self.folder / "work")
        return self.measure_run(run, "fbank", stores or self.tokens, sample)

    def measure_run(
        self,
        run: Run,
        feature: str,
        stores: TokenStores,
        sample: DrawnSample | None = None,
        kept: str = "kept",
    ) -> Stability:
        tokens = FeatureTokens(feature=feature, stores=stores)
        choice = measured_units("tokens/fbank-random", tokens, self.folder / kept)
        return measure_stability(run, choice, sample or self.draw(), corpus="")

    def draw(self) -> DrawnSample:
        return draw(self.manifests, 3, seed=0)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path) -> Project:
    return Project(tmp_path_factory.mktemp("stability"), demo_corpus)


def test_units_of_real_speech_are_gauged(project: Project, tmp_path: Path) -> None:
    stability = project.measure()
    units = stability.stores["units"]
    assert list(units) == ["noise", "shift", "gain"]
    assert {one.num_utterances for one in units.values()} == {3}
    # a hop of 10 ms: the shifted frames see the very samples that the next ones see
    assert (units["shift"].flip_rate, units["shift"].unit_edit_distance) == (0, 0)
    assert units["shift"].num_frames == units["noise"].num_frames - 3
    assert 0 < units["noise"].flip_rate < units["gain"].flip_rate < 1
    assert 0 < units["gain"].unit_edit_distance < 1
    assert sum(map(len, stability.sample.values())) == 3
    assert list((project.folder / "work").iterdir()) == []
    assert stability.fingerprints == {"units": project.tokens.fingerprints["units"]}
    write_stability(stability, tmp_path / "a.json")
    assert read_stability(tmp_path / "a.json") == stability
    write_stability(project.measure(), tmp_path / "b.json")
    text = (tmp_path / "a.json").read_text()
    assert text == (tmp_path / "b.json").read_text()
    assert str(project.folder) not in text
    assert json.loads(text)["stores"]["units"]["gain"]["told"] == "-6 dB of gain"


def test_one_pass_of_an_encoder_serves_all_layers_and_sizes(project: Project) -> None:
    run = demo_run(
        project.root,
        manifests=project.manifests,
        work=project.folder / "work",
        extractor={"_target_": "tests.stability.test_stability.NotedFilters"},
        storage=[{"name": "fbank"}, {"name": "energy"}],
        trusted_modules=["tests"],
    )
    choices = [("fbank", 50), ("energy", 50), ("energy", 9)]
    tokens = {choice: project.codebook(run, *choice) for choice in choices}

    def measure(choice: tuple[str, int], kept: str) -> Stability:
        return project.measure_run(run, choice[0], tokens[choice], kept=kept)

    NotedFilters.noted.clear()
    found = {one: measure(one, kept="shared") for one in choices}
    assert len(NotedFilters.noted) == 3 * 4  # clean, and disturbed in three ways
    assert len({str(one.stores) for one in found.values()}) == 3
    for one in choices:
        assert measure(one, kept=f"{one[0]}-{one[1]}") == found[one]

    [damaged] = (project.folder / "shared/energy/noise").glob("*.h5")
    damaged.chmod(0o644)
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-8] + bytes(8))
    NotedFilters.noted.clear()
    assert measure(("energy", 9), kept="shared") == found["energy", 9]
    assert 0 < len(NotedFilters.noted) <= 3
    shutil.rmtree(project.folder / "shared/energy/clean")  # as a withdrawal leaves it
    assert measure(("energy", 9), kept="shared") == found["energy", 9]
    assert damaged.read_bytes() == content


def test_features_of_another_version_of_a_definition_are_not_kept(project: Project) -> None:
    (project.folder / "kept/of_before/clean").mkdir(parents=True)
    found = project.measure()
    assert [path.name for path in (project.folder / "kept").iterdir()] == ["fbank"]
    assert found == project.measure()


def test_utterance_that_the_shift_leaves_too_short_is_left_out(project: Project) -> None:
    sample = project.draw()
    [row] = sample.rows["dev"]
    # a window of 25 ms: cut by 10 ms it has no frame
    short = {**sample.rows, "dev": [replace(row, num_samples=row.sample_rate * 30 // 1000)]}
    units = project.measure(sample=replace(sample, rows=short)).stores["units"]
    assert {kind: one.num_utterances for kind, one in units.items()} == {
        "noise": 3,
        "shift": 2,
        "gain": 3,
    }


def test_codes_of_an_extractor_are_gauged_codebook_by_codebook(project: Project) -> None:
    run = demo_run(
        project.root,
        work=project.folder / "work",
        extractor={"_target_": "tests.stability.test_stability.Levels"},
        storage=[{"name": "levels", "dtype": "uint16"}],
        trusted_modules=["tests"],
    )
    choice = MeasuredTokens(name="features/levels", stores=["levels"], compute=extract)
    stability = measure_stability(run, choice, project.draw(), corpus="")
    levels = stability.stores["levels"]
    assert 1 > levels["gain"].flip_rate > levels["noise"].flip_rate > 0
    assert len(levels["gain"].codebooks) == 3
    assert len({one.flip_rate for one in levels["noise"].codebooks}) > 1
    mean = np.mean([one.flip_rate for one in levels["noise"].codebooks])
    assert levels["noise"].flip_rate == pytest.approx(mean)
    assert levels["shift"].flip_rate == 0


def test_stability_of_other_tokens_is_not_taken_for_theirs(project: Project) -> None:
    tokens = replace(project.tokens, merge_repeats=True)
    merged = tokens.fingerprints
    stability = project.measure(tokens)
    assert stability.stores == project.measure().stores  # frame by frame, however they are stored
    assert stability.of_store("units", project.tokens.fingerprints["units"]) is None
    assert stability.of_store("durations", merged["durations"]) is None
    assert stability.of_store("units", merged["units"]) == stability.stores["units"]


def test_only_the_beginning_of_a_long_utterance_is_disturbed(project: Project) -> None:
    sample = project.draw()
    rows = [row for split in SPLITS for row in beginnings(sample, 1.0).rows[split]]
    assert {row.duration_s for row in rows} == {1.0}
    assert beginnings(sample, 1000) == sample


def test_a_choice_without_tokens_has_nothing_to_flip(tmp_path: Path) -> None:
    nothing = Stability.of_nothing("features/fbank", 0, "d1")
    write_stability(nothing, tmp_path / "features" / "fbank.json")
    names = ["features/fbank", "features/mfcc"]
    assert read_stabilities(tmp_path, names, "d1") == {"features/fbank": nothing}
    assert read_stabilities(tmp_path, names, "of a corpus that has grown") == {}


def test_utterances_that_cannot_be_read_are_told(
    project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = project.root / project.draw().rows["dev"][0].audio
    away.rename(tmp_path / "away")
    try:
        units = project.measure().stores["units"]
    finally:
        (tmp_path / "away").rename(away)
    assert units["noise"].num_utterances == 2
    assert "1 of the 3 utterances drawn cannot be read and are left out; the first: " in caplog.text
    assert away.name in caplog.text


def test_a_sample_of_which_nothing_can_be_read_is_an_error(
    project: Project, tmp_path: Path
) -> None:
    with pytest.raises(FeatbankError, match="expected 3 utterances, got none that can be read"):
        project.measure(root=tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"featbank-stability"', '"featbank-check"', "featbank-stability version 1"),
        (f'"format_version": {FORMAT_VERSION}', '"format_version": 99', "99"),
        ("{", "", "expected a JSON object"),
        ('"stores": {}', '"stores": {"units": {"noise": {}}}', "codebooks"),
        ('"seed": 0', '"sead": 0', "sead"),
        ('"sample": {}', '"sample": []', "items"),
    ],
)
def test_a_damaged_result_is_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "a.json"
    write_stability(Stability.of_nothing("features/fbank", 0, ""), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValidationError, match=f"a.json: .*{said}.*run python stages/stability.py"):
        read_stability(path)
