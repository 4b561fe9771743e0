"""The sample of a codebook: of one corpus, or of several that are joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.store import StoreWriter, open_store
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.tokenizers.drawing import draw_frames
from featbank.tokenizers.fit import fit_codebook
from featbank.tokenizers.fit_sample import JoinedSample, open_sample
from featbank.tokenizers.kmeans import KMeans

LENGTHS = {"demo": {"a": 20, "b": 30}, "small": {"a": 10}}


def write(folder: Path, lengths: dict[str, int], seed: int, fingerprint: str = "f") -> None:
    values = np.random.default_rng(seed)
    with StoreWriter(
        folder, name="toy", dtype="float32", shape=(3,), fingerprint=fingerprint
    ) as writer:
        for name, length in lengths.items():
            writer.write(name, values.normal(size=(length, 3)).astype(np.float32))


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    for seed, (corpus, lengths) in enumerate(LENGTHS.items()):
        write(tmp_path / corpus, lengths, seed)
    return tmp_path


def test_a_joined_sample_has_the_utterances_of_all_corpora(sample: Path) -> None:
    joined = open_sample(sample, ["small", "demo"])
    assert isinstance(joined, JoinedSample)
    assert joined.ids == ("demo/a", "demo/b", "small/a")
    assert (len(joined), joined.num_frames_total, joined.frame_counts.tolist()) == (
        3, 60, [20, 30, 10],
    )  # fmt: skip
    for name in joined.ids:
        corpus, _, one = name.partition("/")
        np.testing.assert_array_equal(joined[name], open_store(sample / corpus)[one])
    every = np.concatenate([joined[name] for name in joined.ids])
    drawn = draw_frames(joined, 60, seed=0)
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, every))


def test_a_sample_of_one_corpus_is_its_store_and_draws_the_same_frames(sample: Path) -> None:
    write(sample / "alone" / "demo", LENGTHS["demo"], seed=0)
    alone = open_sample(sample / "alone", ["demo"])
    assert list(alone.ids) == ["a", "b"]
    stored = open_sample(sample / "demo")
    np.testing.assert_array_equal(draw_frames(alone, 9, seed=0), draw_frames(stored, 9, seed=0))


@pytest.mark.parametrize("corpora", [["demo"], ["demo", "small", "other"]])
def test_a_sample_of_other_corpora_than_its_definition_joins_is_refused(
    corpora: list[str], sample: Path
) -> None:
    with pytest.raises(StoreError, match=r"a store for each corpus .*, got demo, small"):
        open_sample(sample, corpora)


def test_samples_of_features_made_in_another_way_are_not_joined(sample: Path) -> None:
    write(sample / "other", {"a": 4}, seed=3, fingerprint="g")
    with pytest.raises(StoreError, match="made in another way"):
        open_sample(sample)


def test_a_codebook_says_which_corpora_it_is_fitted_on(sample: Path, tmp_path: Path) -> None:
    task = CodebookTask(
        sample=sample, out=tmp_path / "c.safetensors", seed=0, corpora=["demo", "small"]
    )
    codebook = fit_codebook(task, KMeans(num_clusters=4), tmp_path / "work")
    fitted_on = codebook.provenance["fitted_on"]
    assert (fitted_on["corpora"], fitted_on["num_frames"]) == (["demo", "small"], 60)
