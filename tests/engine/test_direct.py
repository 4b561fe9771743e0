"""Samples and tokens straight from audio: the same bytes as on the way over feature stores."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.manifest import read_manifest
from featbank.engine.extract import extract
from featbank.engine.run import Run
from featbank.engine.sample_audio import PinnedFeature, sample_audio
from featbank.engine.tasks import Tally
from featbank.engine.tokenize_audio import FeatureTokens, tokenize_audio
from featbank.errors import (
    CodebookError,
    ConfigError,
    CorpusError,
    FailureBudgetError,
)
from featbank.feature_io import PackedStorage
from featbank.features.base import Output
from featbank.numerics import thread_count
from featbank.runners.local import LocalRunner
from featbank.store import open_store
from featbank.tokenizers.codebook import Codebook, load_codebook
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.tokenizers.fit import fit_codebook
from featbank.tokenizers.kmeans import KMeans
from featbank.tokenizers.sample import write_pins, write_sample
from featbank.tokenizers.token_stores import TokenStores
from featbank.tokenizers.tokenize import tokenize
from tests.conftest import ROOT
from tests.engine.in_turn import InTurn
from tests.extracting import demo_run, files, prepare_corpus
from tests.flipping import flip_in, fullest_shard
from tests.two_features import FbankAndEnergy

pytestmark = pytest.mark.usefixtures("one_thread")

MFCC = {"_target_": "featbank.features.signal.kaldi.Mfcc", "deltas": 1}
KMEANS = KMeans(num_clusters=20)


class Project:
    """A corpus with its manifests and pinned ids, and both ways from it to tokens."""

    def __init__(self, root: Path, dtype: str) -> None:
        self.root, self.folder = root, root.parent
        self.manifests = prepare_corpus(root)
        self.pins = self.folder / "pins.txt"
        rows = read_manifest(self.manifests / "train.jsonl")
        write_pins(self.pins, [row.id for row in rows[::2]], how="every other one")
        self.storage = [PackedStorage("mfcc", dtype, shard_bytes=60_000)]

    def copied(self, to: Path) -> Project:
        """Copy all there is, the stores with it, to a folder."""
        shutil.copytree(self.folder, to, dirs_exist_ok=True)
        other = copy(self)
        other.root, other.folder = to / self.root.name, to
        other.manifests, other.pins = to / self.manifests.name, to / self.pins.name
        return other

    def run(self, **changes: Any) -> Run:
        return demo_run(self.root, **{"extractor": MFCC, "storage": self.storage, **changes})

    @property
    def pinned(self) -> PinnedFeature:
        return PinnedFeature(feature="mfcc", pins=self.pins, splits=["train"])

    def stores(self, **changes: Any) -> TokenStores:
        codebook = load_codebook(self.folder / "codebook.safetensors")
        return TokenStores(codebook=codebook, **changes)

    def two_steps(
        self, merge_repeats: bool = False, kmeans: KMeans = KMEANS, **changes: Any
    ) -> Path:
        features = self.folder / "features"
        extract(self.run(**changes), features)
        sample = self.folder / "sample"
        write_sample(features=[features / "mfcc" / "train"], pins=self.pins, out=sample)
        codebook = self.folder / "codebook.safetensors"
        task = CodebookTask(sample=sample, out=codebook, seed=0)
        fit_codebook(task, kmeans, self.folder / "work")
        out = self.folder / "tokens"
        tokenize(
            manifests=self.manifests, features=features / "mfcc", out=out,
            stores=self.stores(merge_repeats=merge_repeats),
        )  # fmt: skip
        return out

    def direct(
        self, merge_repeats: bool = False, feature: str = "mfcc", **changes: Any
    ) -> tuple[Path, Tally]:
        out = self.folder / "direct"
        tokens = FeatureTokens(feature=feature, stores=self.stores(merge_repeats=merge_repeats))
        return out, tokenize_audio(self.run(**changes), out, tokens).tally


@pytest.fixture
def project(demo_corpus: Path, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(demo_corpus, tmp_path / "corpus")), "float16")


@pytest.fixture(scope="module")
def _two_steps(demo_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = shutil.copytree(demo_corpus, tmp_path_factory.mktemp("direct") / "corpus")
    made = Project(Path(root), "float16")
    with thread_count(1):
        made.two_steps()
    return made


@pytest.fixture
def stepped(_two_steps: Project, tmp_path: Path) -> Project:
    """A project whose features, sample, codebook and tokens were made in two steps."""
    return _two_steps.copied(tmp_path)


@pytest.mark.parametrize(
    ("dtype", "merge_repeats"),
    # that repeats are merged has nothing to do with what units are made of
    [("float32", False), ("float16", True), ("bfloat16", False), ("int8_scaled", True)],
)
def test_tokens_straight_from_audio_are_those_of_two_steps(
    dtype: str, merge_repeats: bool, demo_corpus: Path, tmp_path: Path
) -> None:
    project = Project(Path(shutil.copytree(demo_corpus, tmp_path / "corpus")), dtype)
    expected = project.two_steps(merge_repeats)
    out, tally = project.direct(merge_repeats)
    assert files(out) == files(expected)
    assert tally.num_computed == 38
    assert not list((tmp_path / "work").iterdir())


def test_codes_of_residual_codebooks_are_those_of_two_steps(project: Project) -> None:
    expected = project.two_steps(kmeans=KMeans(num_clusters=10, num_codebooks=3))
    out, _ = project.direct()
    assert files(out) == files(expected)
    store = open_store(out / "units" / "train")
    assert (store.shape, store.header.time_axis, store.header.codebook_size) == ((3,), -1, 10)
    assert store[store.ids[0]].shape == (3, store.num_frames(store.ids[0]))


@pytest.mark.parametrize("merge_repeats", [False, True])
def test_tasks_of_seconds_that_are_joined_give_the_same_tokens_and_sample(
    project: Project, merge_repeats: bool
) -> None:
    expected = project.two_steps(merge_repeats)
    runner = InTurn()
    out, tally = project.direct(merge_repeats, runner=runner, task_s=4.0)
    assert files(out) == files(expected)
    assert (tally.num_computed, tally.num_copied) == (38, 0)
    sampled = project.folder / "sampled"
    sample_audio(project.run(runner=runner, task_s=4.0), sampled, project.pinned)
    assert files(sampled) == files(project.folder / "sample")
    interim = [task for one in runner.workloads for task in one.tasks if task.is_interim]
    assert len({tuple(task.names) for task in interim}) == 2  # of tokens, and of the sample


def test_many_workers_write_the_same_tokens(stepped: Project) -> None:
    expected = stepped.folder / "tokens"
    out, _ = stepped.direct(runner=LocalRunner(num_workers=2))
    assert files(out) == files(expected)


def test_no_features_are_ever_on_disk(stepped: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(stepped.folder / "features")
    largest = 0
    assign = Codebook.assign_pieces

    def watch(self: Codebook, pieces: Any) -> Any:
        nonlocal largest
        written = (stepped.folder / "work").rglob("*.h5*"), stepped.folder.rglob("direct/**/*.h5*")
        largest = max([largest, *(path.stat().st_size for some in written for path in some)])
        return assign(self, pieces)

    monkeypatch.setattr(Codebook, "assign_pieces", watch)
    stepped.direct()
    # 145 s of 26 values of 2 bytes, 100 a second, are 754 kB; their units are 14.5 kB
    assert 0 < largest < 20_000


def test_failures_are_those_of_two_steps(project: Project) -> None:
    (project.root / "june_fr" / "vm-toreply.flac").unlink()
    expected = project.two_steps(max_failures=1)
    with pytest.raises(FailureBudgetError, match="1 of 38 utterances failed"):
        project.direct()
    out, _ = project.direct(max_failures=1)
    assert files(out) == files(expected)
    assert len(list(out.rglob("failures.jsonl"))) == 1


def test_a_grown_corpus_computes_only_what_is_new(project: Project) -> None:
    table = project.root / "transcripts.tsv"
    text = table.read_text()
    kept = [line for line in text.splitlines(keepends=True) if "vm-toreply" not in line]
    table.write_text("".join(kept))
    prepare_corpus(project.root)
    project.two_steps()
    project.direct()
    table.write_text(text)
    prepare_corpus(project.root)
    expected = project.two_steps()
    out, tally = project.direct()
    assert (tally.num_computed, tally.num_computed + tally.num_copied + tally.num_kept) == (1, 38)
    assert files(out) == files(expected)


def _stop_at(number: int, patch: pytest.MonkeyPatch) -> None:
    """Let the run be interrupted at some utterance."""
    assign, calls = Codebook.assign_pieces, 0

    def stop(self: Codebook, pieces: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise KeyboardInterrupt
        return assign(self, pieces)

    patch.setattr(Codebook, "assign_pieces", stop)


def test_a_stopped_run_goes_on(stepped: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = stepped.folder / "tokens"
    with monkeypatch.context() as patch:
        _stop_at(20, patch)
        with pytest.raises(KeyboardInterrupt):
            stepped.direct()
    out, tally = stepped.direct()
    assert tally.num_kept > 0
    assert tally.num_computed == 38 - tally.num_kept
    assert files(out) == files(expected)


def test_damaged_units_of_a_stopped_run_are_computed_again(
    stepped: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = stepped.folder / "tokens"
    with monkeypatch.context() as patch:
        _stop_at(20, patch)
        with pytest.raises(KeyboardInterrupt):
            stepped.direct()
    for path in (stepped.folder / "work").rglob("*.h5"):
        flip_in(path, "values")
    out, tally = stepped.direct()
    assert tally.num_kept == 0
    assert files(out) == files(expected)


@pytest.mark.parametrize("dataset", ["values", "id_bytes"])
def test_damaged_units_of_an_earlier_store_are_computed_again(
    dataset: str, stepped: Project
) -> None:
    expected = stepped.folder / "tokens"
    out, _ = stepped.direct()
    shard, _ = fullest_shard(out / "units" / "train")
    flip_in(shard, dataset)
    _, tally = stepped.direct()
    assert tally.num_computed > 0
    assert files(out) == files(expected)


def test_a_codebook_of_other_features_is_refused(stepped: Project) -> None:
    with pytest.raises(CodebookError, match="fitted on features made in another way"):
        stepped.direct(extractor={**MFCC, "num_ceps": 12})
    with pytest.raises(ConfigError, match="feature to tokenize: expected mfcc, got fbank"):
        stepped.direct(feature="fbank")


class Pairs(FbankAndEnergy):
    """A matrix a frame."""

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {"pairs": Output((2, 10))}


def test_a_sample_straight_from_audio_is_that_of_a_feature_store(stepped: Project) -> None:
    out = stepped.folder / "direct-sample"
    run = stepped.run(work=stepped.folder / "sampling")
    done = sample_audio(run, out, stepped.pinned)
    assert done.num_utterances == done.tally.num_computed == len(open_store(out))
    assert files(out) == files(stepped.folder / "sample")
    assert not list((stepped.folder / "sampling").iterdir())
    write_pins(stepped.folder / "gone.txt", ["nobody"], how="by hand")
    with pytest.raises(CorpusError, match="1 missing, the first 'nobody'"):
        sample_audio(run, out, replace(stepped.pinned, pins=stepped.folder / "gone.txt"))


@pytest.mark.parametrize(
    ("storage", "refused"),
    [
        ([{"name": "pairs", "dtype": "uint8"}], "expected features, whose values are floats"),
        ([{"name": "pairs"}], r"expected a vector a frame, got shape \(2, 10\)"),
    ],
)
def test_what_no_codebook_is_fitted_on_is_refused_before_it_is_computed(
    storage: list[dict[str, str]], refused: str, project: Project
) -> None:
    before = files(project.folder / "manifests")
    run = project.run(
        extractor={"_target_": "tests.engine.test_direct.Pairs"},
        storage=storage,
        trusted_modules=["tests"],
    )
    with pytest.raises(ConfigError, match=refused):
        sample_audio(run, project.folder / "sample", replace(project.pinned, feature="pairs"))
    assert not list(run.work.rglob("*.h5"))
    assert files(project.folder / "manifests") == before


def test_features_that_a_stopped_sample_left_do_not_stop_the_next_one(project: Project) -> None:
    work = project.folder / "stages"
    left = work / "sample-demo-demo-mfcc" / "features"
    extract(project.run(), left)  # of another definition
    paths = {"root": project.folder / "data", "manifests": project.manifests}
    command = [
        sys.executable, ROOT / "stages" / "sample.py", "source=audio", "feature=mfcc",
        "runner=inline", f"corpus.root={project.root}", f"pins={project.pins}",
        f"runtime.work={work}", *(f"paths.{name}={path}" for name, path in paths.items()),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(left.parent.iterdir())


@pytest.mark.parametrize("cuts", [[], [1], [16384], [16383, 16385], [100, 200, 40000]])
def test_units_do_not_depend_on_where_an_utterance_is_cut(cuts: list[int]) -> None:
    rng = np.random.default_rng(0)
    codebook = Codebook(centroids=rng.normal(size=(50, 8)).astype(np.float32))
    features = rng.normal(size=(50_000, 8)).astype(np.float32)
    pieces = np.split(features, cuts)
    assert codebook.assign_pieces(pieces).tobytes() == codebook.assign(features).tobytes()
    distances = ((features[:500, None] - codebook.centroids) ** 2).sum(2)
    np.testing.assert_array_equal(codebook.assign(features)[:500], distances.argmin(1))
