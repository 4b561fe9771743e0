"""Held-out features against the centroids of their codebook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.metrics import pairwise_distances_argmin_min

from featbank.base.framing import Framing
from featbank.base.manifest import Utterance, write_manifest
from featbank.errors import CodebookError
from featbank.files.provenance import canonical_json
from featbank.report.metrics import metrics
from featbank.report.page import render_report
from featbank.store import StoreWriter
from featbank.tokenizers.adopt import ImportedCodebook, adopt_codebook, import_codebook
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.codebook_file import write_codebook
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.validation import held_out as measuring
from featbank.validation.held_out import HeldOut, squared_distances
from featbank.validation.inertia import HeldOutInertia, SplitInertia
from featbank.validation.result import CheckResult, read_check, write_check
from featbank.validation.stores import validate_stores
from tests.conftest import SPLITS
from tests.flipping import flip_in, fullest_shard

FRAMING = Framing(sample_rate=8000, window_length=800, hop_length=800)
SIZES = {"train": 3, "dev": 4, "test": 0}
CORPUS: dict[str, Any] = {
    "name": "tiny",
    "license": "CC0-1.0",
    "num_failures": 0,
    "splits": {split: {"utterances": 2, "hours": 0, "speakers": 1} for split in SPLITS},
}


class Project:
    """Features of three splits and a codebook fitted on them, for tokens that are not looked at."""

    splits: Sequence[str] = ("dev", "test")

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        self.values: dict[str, Any] = {}
        self.rows: dict[str, list[Utterance]] = {}
        for split, number in SIZES.items():
            self.rows[split] = [
                Utterance(
                    id=f"{split}-{n}", audio="a", audio_digest="md5:0", sample_rate=8000,
                    num_samples=800 * (20 + n),
                )
                for n in range(number)
            ]  # fmt: skip
            write_manifest(folder / f"{split}.jsonl", self.rows[split])
            path = folder / "features" / "cepstrum" / split
            with StoreWriter(
                path, name="cepstrum", dtype="float32", shape=(5,), framing=FRAMING,
                fingerprint="f" * 64,
            ) as writer:  # fmt: skip
                for n, row in enumerate(self.rows[split]):
                    self.values[row.id] = rng.normal(size=(20 + n, 5)).astype(np.float32)
                    writer.write(row.id, self.values[row.id])
        self.centroids = rng.normal(size=(8, 5)).astype(np.float32)
        self.save()

    def save(self, *, fingerprint: str = "f" * 64, **provenance: Any) -> None:
        fitted_on = {"feature": "cepstrum", "feature_fingerprint": fingerprint}
        origin = {"fitted_on": fitted_on, "mean_squared_distances": [4.0, 2.5], **provenance}
        path = self.folder / "codebook.safetensors"
        save_codebook(path, Codebook(centroids=self.centroids, provenance=origin))

    def measure(self, *, num_utterances: int = 50, features: Path | None = None) -> HeldOutInertia:
        return self.held_out(num_utterances, features or self.folder / "features").measure(
            self.rows
        )

    def held_out(self, num_utterances: int, features: Path | None) -> HeldOut:
        return HeldOut(
            codebook=self.folder / "codebook.safetensors",
            features=features,
            splits=self.splits,
            num_utterances=num_utterances,
            seed=0,
        )

    def check(self, features: Path | None) -> CheckResult:
        return validate_stores(
            self.folder / "none", self.folder, name="tokens/x-y",
            held_out=self.held_out(50, features),
        )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_distances_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    frames, centroids = rng.normal(size=(300, 12)), rng.normal(size=(40, 12))
    monkeypatch.setattr(measuring, "_BLOCK_DISTANCES", 1000)  # 25 frames at a time
    _, nearest = pairwise_distances_argmin_min(frames, centroids)
    np.testing.assert_allclose(squared_distances(frames, centroids[None]), nearest**2, rtol=1e-9)


def test_inertia_of_each_held_out_split_stands_beside_that_of_the_fit(project: Project) -> None:
    frames = np.concatenate([project.values[row.id] for row in project.rows["dev"]])
    gaps = frames[:, None].astype(np.float64) - project.centroids
    expected = np.square(gaps).sum(axis=2).min(axis=1).mean()
    found = project.measure()
    assert (found.absent, found.fitted, list(found.splits)) == ("", 2.5, ["dev"])
    assert found.lacking == {"test": "no frame of it is stored"}
    dev = found.splits["dev"]
    assert (dev.num_utterances, dev.num_frames) == (4, len(frames))
    assert dev.mean_squared_distance == pytest.approx(expected, rel=1e-5)


def test_residual_codebooks_are_measured_together(project: Project) -> None:
    rng = np.random.default_rng(1)
    project.centroids = rng.normal(size=(3, 8, 5)).astype(np.float32)
    project.save()
    frames = np.concatenate([project.values[row.id] for row in project.rows["dev"]])
    codebook = Codebook(centroids=project.centroids)
    left = frames - codebook.decode(codebook.assign(frames))
    found = project.measure().splits["dev"].mean_squared_distance
    assert found == pytest.approx(np.square(left).sum(axis=1).mean(), rel=1e-4)


def test_sample_is_of_a_stated_size_and_the_same_each_time(project: Project) -> None:
    first, second = project.measure(num_utterances=2), project.measure(num_utterances=2)
    assert first == second
    assert first.splits["dev"].num_utterances == 2


def test_inertia_is_in_metrics_report_and_check(project: Project, tmp_path: Path) -> None:
    result = project.check(project.folder / "features")
    dev = project.measure().splits["dev"].mean_squared_distance
    assert metrics([result])["tokens"]["x-y"]["inertia"] == {"fit": 2.5, "dev": dev}
    assert "Mean squared distance" in render_report([result], CORPUS)
    write_check(result, tmp_path / "check.json")
    assert read_check(tmp_path / "check.json") == result


def test_imported_codebook_is_held_against_no_fit(project: Project) -> None:
    features, out = project.folder / "features", project.folder / "codebook.safetensors"
    np.save(project.folder / "km.npy", project.centroids)
    imported = import_codebook(project.folder / "km.npy", project.folder / "km.safetensors")
    named = ImportedCodebook(path=project.folder / "km.safetensors", sha256=imported.digest)
    sample = features / "cepstrum" / "train"
    adopt_codebook(CodebookTask(sample=sample, out=out, seed=0, overwrite=True), named)
    result = project.check(features)
    assert result.inertia is not None
    assert (result.inertia.absent, result.inertia.fitted) == ("", None)
    assert list(metrics([result])["tokens"]["x-y"]["inertia"]) == ["dev"]
    page = render_report([result], CORPUS)
    assert '<th class="text" scope="row">fit</th>' not in page
    [dev] = [line for line in page.splitlines() if ">4</td>" in line and ">dev<" in line]
    assert dev.endswith("<td>-</td></tr>")
    assert "An imported codebook was fitted elsewhere, and is held against no fit." in page


def test_tokens_whose_features_are_not_stored_have_none_and_the_report_says_so(
    project: Project,
) -> None:
    result = project.check(None)
    assert "tokens" not in metrics([result])
    page = render_report([result], CORPUS)
    assert "tokens/x-y: not measured, for the features are not stored" in page


def test_a_held_out_split_that_the_corpus_lacks_is_in_the_check_and_on_the_report(
    project: Project, tmp_path: Path
) -> None:
    project.splits = ("valid", "dev")
    result = project.check(project.folder / "features")
    assert result.inertia is not None
    assert (result.inertia.absent, list(result.inertia.splits)) == ("", ["dev"])
    assert result.inertia.lacking == {"valid": "the corpus has no such split"}
    write_check(result, tmp_path / "check.json")
    assert read_check(tmp_path / "check.json") == result
    row = (
        '<th class="text" scope="row">valid</th><td colspan="4">not measured, for the corpus has no'
    )
    assert row in render_report([result], CORPUS)


def test_a_corpus_with_no_held_out_split_is_told_and_never_taken_for_a_measured_one(
    project: Project,
) -> None:
    project.splits = ("valid", "test-other")
    page = render_report([project.check(project.folder / "features")], CORPUS)
    assert "not measured, for the corpus has no split that its definition holds out" in page
    assert page.count("the corpus has no such split") == 2
    project.splits = ()
    page = render_report([project.check(project.folder / "features")], CORPUS)
    assert "not measured, for the corpus&#39;s definition holds no split out" in page


def test_features_that_are_gone_are_told(project: Project) -> None:
    found = project.measure(features=project.folder / "elsewhere")
    assert found.absent == "the feature store is missing or damaged"


def test_features_that_are_damaged_are_not_measured(project: Project) -> None:
    shard, _ = fullest_shard(project.folder / "features" / "cepstrum" / "dev")
    flip_in(shard, "values")
    assert project.measure() == HeldOutInertia(
        absent="the feature store is missing or damaged", fitted=2.5
    )


def test_features_of_another_kind_are_not_measured(project: Project) -> None:
    project.save(fingerprint="0" * 64)
    found = project.measure()
    assert found.absent == "the features are not those that the codebook is for"
    assert found.splits == {}


def test_codebook_that_cannot_be_read_is_told(project: Project) -> None:
    path = project.folder / "codebook.safetensors"
    path.unlink()
    assert project.measure().absent == "the codebook cannot be read"
    path.write_bytes(b"x")
    assert project.measure().absent == "the codebook cannot be read"


def test_codebook_of_another_format_is_not_measured(project: Project) -> None:
    path = project.folder / "codebook.safetensors"
    with safe_open(path, framework="numpy") as file:
        sealed = json.loads(file.metadata()["featbank-codebook"])
    sealed["format_version"] = 5
    save_file({"centroids": project.centroids}, path, {"featbank-codebook": canonical_json(sealed)})
    with pytest.raises(CodebookError, match="expected format version 4, got 5"):
        load_codebook(path)
    assert project.measure() == HeldOutInertia(absent="the codebook cannot be read")


def test_codebook_with_a_centroid_that_is_no_number_is_told(project: Project) -> None:
    path = project.folder / "codebook.safetensors"
    project.centroids[3, 1] = np.nan
    write_codebook(path, project.centroids, load_codebook(path).provenance)
    assert project.measure() == HeldOutInertia(absent="the codebook cannot be read")


def test_frame_that_is_no_number_is_left_out(project: Project) -> None:
    path = project.folder / "features" / "cepstrum" / "test"
    project.rows["test"] = [project.rows["dev"][0]]
    values = np.zeros((3, 5), np.float32)
    values[1, 2] = np.nan
    with StoreWriter(
        path,
        name="cepstrum",
        dtype="float32",
        shape=(5,),
        fingerprint="f" * 64,
        allow_nonfinite=True,
    ) as writer:
        writer.write(project.rows["test"][0].id, values)
    nearest = float(np.square(project.centroids.astype(np.float64)).sum(axis=1).min())
    assert project.measure().splits["test"] == SplitInertia(
        num_utterances=1, num_frames=2, mean_squared_distance=float(f"{nearest:.6g}")
    )
