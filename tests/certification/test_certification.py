"""Stores against what a sample of their utterances gives when it is computed again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import soundfile

from featbank.base.manifest import read_manifest, write_manifest
from featbank.base.units import deduplicate, expand
from featbank.certification.certificate import Certificate, require_certified, write_certificate
from featbank.certification.certifying import Certifier
from featbank.certification.findings import Tolerances
from featbank.engine.extract import extract
from featbank.engine.recomputing import draw
from featbank.errors import ConfigError, StoreError, ValidationError
from featbank.feature_io import PackedStorage
from featbank.numerics import Computing
from featbank.store import StoreWriter, open_store
from featbank.store.format import SPLITS_NAME
from featbank.tokenizers.codebook import load_codebook
from featbank.tokenizers.codebook_task import CodebookTask
from featbank.tokenizers.fit import fit_codebook
from featbank.tokenizers.kmeans import KMeans
from featbank.tokenizers.sample import write_pins, write_sample
from featbank.tokenizers.token_stores import TokenStores
from featbank.tokenizers.tokenize import tokenize
from featbank.validation.stores import validate_stores
from tests.conftest import SPLITS
from tests.extracting import FBANK, demo_run, prepare_corpus
from tests.features.tiny_codecs import TINY_DAC
from tests.flipping import flip_in, fullest_shard

pytestmark = pytest.mark.usefixtures("one_thread")

STRICT = Tolerances(difference=0, flips=0)
ELSEWHERE = {"device": "cpu", "isa": "NEON", "threads": 1}
NUMBER = 12


class Project:
    """A corpus, the stores of one feature of it, and tokens of them."""

    def __init__(self, root: Path, dtype: str = "float32", **changes: Any) -> None:
        self.root, self.folder = root, root.parent
        self.manifests = prepare_corpus(root)
        self.features = self.folder / "features"
        self.settings: dict[str, Any] = {
            "storage": [PackedStorage("fbank", dtype)],
            **changes,
        }

    def keep(self, places: Sequence[int]) -> None:
        """Keep rows of each split by their places, the shortest first: encoders take their time."""
        for path in [self.manifests / f"{split}.jsonl" for split in SPLITS]:
            ordered = sorted(read_manifest(path), key=lambda row: row.num_samples)
            write_manifest(path, [ordered[place] for place in places])

    def extract(self, **changes: Any) -> None:
        extract(demo_run(self.root, **(self.settings | changes)), self.features)

    def certifier(
        self, stores: Path, tolerances: Tolerances = STRICT, number: int = NUMBER, **changes: Any
    ) -> Certifier:
        return Certifier(
            name=stores.name,
            stores=stores,
            sample=draw(self.manifests, number, seed=0),
            tolerances=tolerances,
            run=demo_run(
                self.root, **{"work": self.folder / "certify", **self.settings, **changes}
            ),
        )

    def certify(self, tolerances: Tolerances = STRICT, **changes: Any) -> Certificate:
        return self.certifier(self.features, tolerances, **changes).features()

    def tokenize(self, *, merge_repeats: bool) -> None:
        pins, sample = self.folder / "pins.txt", self.folder / "sample"
        write_pins(pins, [row.id for row in read_manifest(self.manifests / "train.jsonl")], how="")
        write_sample(features=[self.features / "fbank" / "train"], pins=pins, out=sample)
        self.fit(seed=0)
        tokenize(
            manifests=self.manifests, features=self.features / "fbank", out=self.tokens,
            stores=self.token_stores(merge_repeats),
        )  # fmt: skip

    def fit(self, *, seed: int, overwrite: bool = False) -> None:
        sample = self.folder / "sample"
        task = CodebookTask(sample=sample, out=self.codebook, seed=seed, overwrite=overwrite)
        fit_codebook(task, KMeans(num_clusters=8), self.folder / "work")

    def token_stores(self, merge_repeats: bool) -> TokenStores:
        return TokenStores(codebook=load_codebook(self.codebook), merge_repeats=merge_repeats)

    @property
    def codebook(self) -> Path:
        return self.folder / "codebook.safetensors"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    def certify_tokens(
        self, tolerances: Tolerances = STRICT, *, merge_repeats: bool = False, **changes: Any
    ) -> Certificate:
        return self.certifier(self.tokens, tolerances, **changes).tokens(
            self.token_stores(merge_repeats), self.features / "fbank"
        )

    def sampled(self, split: str) -> list[str]:
        return [row.id for row in draw(self.manifests, NUMBER, seed=0).rows[split]]


def rewrite(
    path: Path,
    changed: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    numerics: Mapping[str, Any] | None = None,
) -> None:
    """Write a store again, every checksum right, with some utterances or the class changed."""
    store = open_store(path)
    header = store.header
    (path.parent / SPLITS_NAME).unlink(missing_ok=True)  # it states the store that was there
    with StoreWriter(
        path, name=header.name, dtype=header.dtype, shape=header.shape, framing=header.framing,
        codebook_size=header.codebook_size, compression=header.compression,
        time_axis=header.time_axis,
        frame_rate=header.frame_rate, first_frame_center_s=header.first_frame_center_s,
        fingerprint=header.fingerprint, provenance=header.provenance,
        numerics=numerics or header.numerics[0], allow_nonfinite=True,
    ) as writer:  # fmt: skip
        for name in store.ids:
            change = changed.get(name, lambda values: values)
            writer.write(name, change(store[name].copy()), store.input_digest(name))


def add(amount: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return what adds to the fourth value of the third frame."""

    def change(values: np.ndarray) -> np.ndarray:
        values[2, 3] += np.asarray(amount, values.dtype)
        return values

    return change


@pytest.fixture
def corpus(demo_corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_corpus, tmp_path / "corpus"))


@pytest.fixture
def project(corpus: Path) -> Project:
    project = Project(corpus)
    project.extract()
    return project


def test_a_sample_is_drawn_from_all_splits_in_turn(corpus: Path) -> None:
    manifests = prepare_corpus(corpus)
    rows = {split: read_manifest(manifests / f"{split}.jsonl") for split in SPLITS}
    sample = draw(manifests, NUMBER, seed=0).rows
    assert {split: len(found) for split, found in sample.items()} == dict.fromkeys(SPLITS, 4)
    assert all(row in rows[split] for split in SPLITS for row in sample[split])
    assert draw(manifests, NUMBER, seed=0).rows == sample != draw(manifests, NUMBER, seed=1).rows
    everything = draw(manifests, 1000, seed=0).rows
    assert {split: sorted(row.id for row in found) for split, found in everything.items()} == {
        split: [row.id for row in found] for split, found in rows.items()
    }
    removed = sample["dev"][0]
    write_manifest(manifests / "dev.jsonl", [row for row in rows["dev"] if row != removed])
    assert draw(manifests, NUMBER, seed=0).rows["dev"][:3] == sample["dev"][1:]


def test_an_empty_split_leaves_its_share_to_the_others(corpus: Path) -> None:
    manifests = prepare_corpus(corpus)
    write_manifest(manifests / "dev.jsonl", [])
    sample = draw(manifests, NUMBER, seed=0).rows
    assert (len(sample["train"]), len(sample["dev"]), len(sample["test"])) == (6, 0, 6)


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8_scaled"])
def test_what_was_stored_is_computed_again_bit_for_bit(
    dtype: str, compression: str | None, corpus: Path, tmp_path: Path
) -> None:
    storage = PackedStorage("fbank", dtype, compression=compression)
    project = Project(corpus, storage=[storage])
    project.extract()
    certificate = project.certify()
    [store] = certificate.stores
    assert certificate.problems == []
    assert (store.num_equal, store.differences) == (NUMBER, ())
    assert store.deviation is not None
    assert (store.deviation.max_abs, store.deviation.mean_abs) == (0, 0)
    assert store.deviation.std > 1
    assert store.stored_numerics == store.numerics
    assert str(store) == "fbank: 12 utterances with equal bits"
    assert not list((tmp_path / "certify").iterdir())
    require_certified([certificate])


def test_the_same_stores_give_the_same_certificate(project: Project, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_certificate(project.certify(), tmp_path / name)
    text = (tmp_path / "one").read_text()
    assert text == (tmp_path / "other").read_text()
    assert str(tmp_path) not in text
    fields = json.loads(text)
    assert (fields["passes"], fields["name"]) == (True, "features")
    assert sum(map(len, fields["sample"].values())) == NUMBER
    header = json.loads((project.features / "fbank" / "dev" / "header.json").read_text())
    assert fields["stores"][0]["headers"]["fbank/dev"] == header["digest"]
    assert fields["stores"][0]["fingerprints"] == {"fbank": header["fingerprint"]}


def test_a_wrong_value_under_right_checksums_is_found_by_computing_alone(project: Project) -> None:
    name = project.sampled("dev")[1]
    rewrite(project.features / "fbank" / "dev", {name: add(0.5)})
    checked = validate_stores(project.features, project.manifests, name="features/fbank")
    assert checked.all_problems == []
    certificate = project.certify(Tolerances(difference=1, flips=1))
    [store] = certificate.stores
    assert store.num_equal == NUMBER - 1
    [found] = store.differences
    assert (found.id, found.split, found.same_class) == (name, "dev", True)
    assert (found.num_other_frames, found.max_abs) == (1, pytest.approx(0.5, rel=1e-6))
    with pytest.raises(
        ValidationError,
        match=rf"features/fbank, dev, utterance '{name}': expected equal bits.*1 of \d+ frames",
    ):
        require_certified([certificate])


def test_a_damaged_row_is_called_damaged_and_not_another_result(project: Project) -> None:
    shard, _ = fullest_shard(project.features / "fbank" / "train")
    with h5py.File(shard, "r+") as file:  # of every row
        file["values"][...] += 1
    certificate = project.certify(Tolerances(difference=1, flips=1))
    [store] = certificate.stores
    assert store.differences == ()
    [problem] = store.problems
    drawn = set(project.sampled("train")) & set(open_store(shard.parent).ids)
    assert (problem.kind, problem.count) == ("damaged row", len(drawn))
    with pytest.raises(ValidationError, match=rf"expected the values .* got others in {shard}"):
        require_certified([certificate])
    flip_in(shard, "input_digests")
    with pytest.raises(StoreError, match=rf"shard {shard}: expected digest"):
        project.certify()


@pytest.mark.parametrize(("share", "passes"), [(0.9, True), (1.1, False)])
def test_between_numerics_classes_values_may_differ_up_to_the_tolerance(
    share: float, passes: bool, project: Project
) -> None:
    name = project.sampled("dev")[0]
    [before] = project.certify().stores
    assert before.deviation is not None
    amount = share * 0.01 * before.deviation.std
    rewrite(project.features / "fbank" / "dev", {name: add(amount)}, ELSEWHERE)
    certificate = project.certify(Tolerances(difference=0.01, flips=0))
    [store] = certificate.stores
    [found] = store.differences
    assert not found.same_class
    assert found.max_abs == pytest.approx(amount, rel=1e-3)
    assert ELSEWHERE in store.stored_numerics
    assert ELSEWHERE not in store.numerics
    assert "isa NEON, now" in str(store)
    assert [problem.kind for problem in certificate.problems] == (
        [] if passes else ["beyond tolerance"]
    )
    if not passes:
        with pytest.raises(ValidationError, match=f"'{name}': expected values within"):
            require_certified([certificate])


def test_a_store_of_another_number_of_threads_is_measured(corpus: Path) -> None:
    project = Project(corpus)
    project.extract(computing=Computing(num_threads=2))
    certificate = project.certify(Tolerances(difference=0.01, flips=0), number=38)
    [store] = certificate.stores
    assert certificate.problems == []
    assert not any(one.same_class for one in store.differences)
    assert [one["threads"] for one in (*store.stored_numerics, *store.numerics)] == [2, 1]
    assert "threads 2, now 1" in str(store)
    assert project.certify(computing=Computing(num_threads=2)).stores[0].num_equal == NUMBER


@pytest.mark.parametrize("dtype", ["float16", "int8_scaled"])
def test_a_value_rounded_to_the_other_side_is_no_difference_between_classes(
    dtype: str, corpus: Path
) -> None:
    project = Project(corpus, dtype)
    project.extract()
    path = project.features / "fbank" / "dev"
    name = project.sampled("dev")[0]
    values = open_store(path)[name]
    # int8: 0.03 is a step of 8 / 254; float16: values from 8 to 16 are 1 / 128 apart
    step = np.float16(1 / 128) if dtype == "float16" else np.abs(values[:, 3]).max() / 127
    row = int(np.argmax((np.abs(values[:, 3]) > 8) & (np.abs(values[:, 3]) < 12)))

    def shift(steps: int) -> Callable[[np.ndarray], np.ndarray]:
        def change(values: np.ndarray) -> np.ndarray:
            values[row, 3] -= steps * step
            return values

        return change

    # far less than a step: the value is not one that another machine would round otherwise
    tolerances = Tolerances(difference=1e-4, flips=0)
    rewrite(path, {name: shift(1)}, ELSEWHERE)
    [store] = project.certify(tolerances).stores
    assert store.problems == ()
    assert name in {found.id for found in store.differences}
    rewrite(path, {name: shift(3)}, ELSEWHERE)
    problems = project.certify(tolerances).problems
    assert [(problem.kind, problem.count) for problem in problems] == [("beyond tolerance", 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extractor": {**FBANK, "num_mel_bins": 23}}, "num_mel_bins 23, got num_mel_bins 20;"),
        ({"extractor": {**FBANK, "preemphasis": 0.9}}, "preemphasis 0.9, got preemphasis 0.97;"),
        (
            {"storage": [PackedStorage("fbank", "float16")]},
            "dtype float16, got dtype float32;",
        ),
    ],
)
def test_a_changed_definition_certifies_nothing(
    changes: dict[str, Any], message: str, project: Project
) -> None:
    with pytest.raises(ValidationError, match=f"has changed since it was made.*{message}"):
        project.certify(**changes, runner=None)  # which no computing would survive


def test_audio_that_is_gone_is_named(project: Project) -> None:
    name = project.sampled("test")[0]
    [row] = [row for row in read_manifest(project.manifests / "test.jsonl") if row.id == name]
    (project.root / row.audio).unlink()
    certificate = project.certify()
    assert certificate.stores[0].num_equal == NUMBER - 1
    [problem] = certificate.problems
    [sentence] = problem.sentences
    assert f"test, utterance '{name}': expected values, got a failure" in sentence
    assert "got No such file" in sentence


def test_audio_that_is_another_by_now_is_not_computed_as_before(project: Project) -> None:
    name = project.sampled("test")[0]
    [row] = [row for row in read_manifest(project.manifests / "test.jsonl") if row.id == name]
    soundfile.write(project.root / row.audio, np.full(row.num_samples, 0.1), row.sample_rate)
    [problem] = project.certify().problems
    [sentence] = problem.sentences
    assert f"test, utterance '{name}': expected values, got a failure" in sentence
    assert "has changed since the manifest was made" in sentence


def test_what_a_prepared_corpus_replaced_is_told_from_what_was_stored(project: Project) -> None:
    name = project.sampled("test")[0]
    [row] = [row for row in read_manifest(project.manifests / "test.jsonl") if row.id == name]
    soundfile.write(project.root / row.audio, np.full(row.num_samples, 0.1), row.sample_rate)
    prepare_corpus(project.root)
    [problem] = project.certify().problems
    assert problem.kind == "other audio"
    assert name in problem.sentences[0]


def test_what_failed_then_may_fail_again_but_not_succeed(corpus: Path) -> None:
    project = Project(corpus)
    name = project.sampled("dev")[0]
    [row] = [row for row in read_manifest(project.manifests / "dev.jsonl") if row.id == name]
    (corpus / row.audio).rename(corpus / "aside")
    project.extract(max_failures=1)
    certificate = project.certify()
    assert certificate.problems == []
    assert (certificate.stores[0].num_equal, certificate.stores[0].num_failed) == (NUMBER - 1, 1)
    (corpus / "aside").rename(corpus / row.audio)
    [problem] = project.certify().problems
    assert f"'{name}': expected a failure, got values" in problem.sentences[0]


@pytest.mark.parametrize("values", [np.nan, np.inf])
def test_a_stored_value_that_is_not_finite_is_never_within_tolerance(
    values: float, project: Project
) -> None:
    name = project.sampled("dev")[0]
    rewrite(project.features / "fbank" / "dev", {name: add(values)}, ELSEWHERE)
    [problem] = project.certify(Tolerances(difference=1, flips=1)).problems
    assert (problem.kind, problem.count) == ("not comparable", 1)


@pytest.mark.slow
def test_a_long_recording_is_computed_in_its_windows(corpus: Path) -> None:
    encoder = {
        "_target_": "featbank.features.encoders.ssl.SslEncoder",
        "bundle": "WAV2VEC2_BASE",
        "layers": {"low": 1, "high": 2},
        "weights": "random",
        "max_window_s": 2.0,
        "context_s": 0.5,
    }
    storage = [PackedStorage("low", "int8_scaled"), PackedStorage("high", "float16")]
    project = Project(corpus, extractor=encoder, storage=storage)
    project.keep([0, -1])
    assert max(row.duration_s for row in read_manifest(project.manifests / "train.jsonl")) > 4
    project.extract()
    certificate = project.certify()
    assert certificate.problems == []
    assert [(one.name, one.num_equal) for one in certificate.stores] == [("low", 6), ("high", 6)]
    told = r"expected weights [0-9a-f]{12}, got weights [0-9a-f]{12}"
    with pytest.raises(ValidationError, match=told):
        project.certify(extractor={**encoder, "seed": 1}, runner=None)


@pytest.mark.parametrize("merge_repeats", [False, True])
def test_tokens_come_out_again_straight_from_audio(merge_repeats: bool, project: Project) -> None:
    project.tokenize(merge_repeats=merge_repeats)
    certificate = project.certify_tokens(merge_repeats=merge_repeats)
    [store] = certificate.stores
    assert certificate.problems == []
    assert (store.num_equal, store.flip_rate, store.deviation) == (NUMBER, 0, None)
    assert set(store.fingerprints) == ({"units", "durations"} if merge_repeats else {"units"})
    frames = open_store(project.features / "fbank")
    names = [name for split in SPLITS for name in project.sampled(split)]
    assert store.num_frames == sum(frames.num_frames(name) for name in names)


def _flip(project: Project, names: list[str], num_frames: int, numerics: Any = None) -> None:
    """Give the first frames of some utterances of dev another unit."""
    paths = [project.tokens / name / "dev" for name in ("units", "durations")]
    merged = paths[1].is_dir()
    old = [open_store(path) for path in paths[: 1 + merged]]

    def flipped(name: str) -> tuple[np.ndarray, ...]:
        units = expand(*(store[name] for store in old)) if merged else old[0][name].copy()
        units[:num_frames] = (units[:num_frames] + 1) % 8
        return deduplicate(units) if merged else (units,)

    new = {name: flipped(name) for name in names}
    for number in range(len(old)):
        rewrite(
            paths[number],
            {name: lambda _, name=name, number=number: new[name][number] for name in names},
            numerics,
        )


@pytest.mark.parametrize("merge_repeats", [False, True])
def test_flipped_units_are_counted_frame_by_frame(merge_repeats: bool, project: Project) -> None:
    project.tokenize(merge_repeats=merge_repeats)
    names = project.sampled("dev")[:2]
    _flip(project, names, 7)
    certificate = project.certify_tokens(
        Tolerances(difference=1, flips=1), merge_repeats=merge_repeats
    )
    [store] = certificate.stores
    assert store.flip_rate == 14 / store.num_frames
    assert [(one.id, one.num_other_frames) for one in store.differences] == [
        (name, 7) for name in names
    ]
    with pytest.raises(ValidationError, match=r"2 utterances .* not what is stored") as caught:
        require_certified([certificate])
    assert all(f"'{name}': expected equal bits" in str(caught.value) for name in names)


@pytest.mark.parametrize("merge_repeats", [False, True])
def test_between_numerics_classes_units_may_flip_up_to_the_tolerance(
    merge_repeats: bool, project: Project
) -> None:
    project.tokenize(merge_repeats=merge_repeats)
    names = project.sampled("dev")[:2]
    _flip(project, names, 7, ELSEWHERE)
    [store] = project.certify_tokens(merge_repeats=merge_repeats).stores
    rate = store.flip_rate
    assert rate == 14 / store.num_frames
    assert [problem.kind for problem in store.problems] == ["beyond tolerance"]
    assert all(name in store.problems[0].sentences[n] for n, name in enumerate(names))
    for share, passes in ((1.0, True), (0.99, False)):
        tolerances = Tolerances(difference=0, flips=share * rate)
        certificate = project.certify_tokens(tolerances, merge_repeats=merge_repeats)
        assert (certificate.problems == []) is passes


def test_codes_flip_by_the_frame_and_none_is_nearer_than_another(corpus: Path) -> None:
    storage = [PackedStorage("dac", "uint8")]
    project = Project(corpus, extractor=TINY_DAC, storage=storage)
    project.keep(range(NUMBER // len(SPLITS)))
    project.extract()
    [name] = project.sampled("dev")[:1]

    def flip(codes: np.ndarray) -> np.ndarray:
        codes[:2, :3] = 15 - codes[:2, :3]  # two codebooks of three frames
        return codes

    rewrite(project.features / "dac" / "dev", {name: flip}, ELSEWHERE)
    [store] = project.certify().stores
    assert [str(one) for one in store.differences] == [
        f"3 of {store.differences[0].num_frames} frames other"
    ]
    assert store.deviation is None
    assert [problem.kind for problem in store.problems] == ["beyond tolerance"]
    assert project.certify(Tolerances(difference=0, flips=store.flip_rate)).problems == []


def test_several_encoders_of_random_weights_are_certified(corpus: Path) -> None:
    extractors = [{**TINY_DAC, "name": "first"}, {**TINY_DAC, "name": "second", "seed": 1}]
    several = {"_target_": "featbank.features.several.Several", "extractors": extractors}
    storage = [PackedStorage(name, "uint8") for name in ("first", "second")]
    project = Project(corpus, extractor=several, storage=storage)
    project.keep(range(NUMBER // len(SPLITS)))
    project.extract()
    certificate = project.certify()
    assert certificate.problems == []
    assert {one.name: one.num_equal for one in certificate.stores} == {
        "first": NUMBER,
        "second": NUMBER,
    }
    another = {**several, "extractors": [extractors[0], {**extractors[1], "seed": 2}]}
    with pytest.raises(ValidationError, match=r"the definition .* has changed"):
        project.certify(extractor=another, runner=None)


def test_the_class_of_the_features_is_one_of_the_tokens(corpus: Path) -> None:
    project = Project(corpus)
    project.extract(computing=Computing(num_threads=2))
    project.tokenize(merge_repeats=False)
    _flip(project, project.sampled("dev")[:1], 7)
    lenient = Tolerances(difference=0, flips=1)
    [store] = project.certify_tokens(lenient).stores
    assert store.problems == ()
    assert [one["threads"] for one in store.stored_numerics] == [1, 2]
    shutil.rmtree(project.features)
    [problem] = project.certify_tokens(lenient).problems
    assert problem.kind == "other bits"


def test_units_without_their_durations_are_not_comparable(project: Project) -> None:
    project.tokenize(merge_repeats=True)
    name = project.sampled("dev")[0]
    rewrite(project.tokens / "durations" / "dev", {name: lambda values: values[:-1]})
    [problem] = project.certify_tokens(merge_repeats=True).problems
    assert problem.kind == "not comparable"
    assert name in problem.sentences[0]


def test_tokens_of_another_definition_certify_nothing(project: Project) -> None:
    project.tokenize(merge_repeats=False)
    with pytest.raises(ValidationError, match=r"features of store .* expected num_mel_bins 23"):
        project.certify_tokens(extractor={**FBANK, "num_mel_bins": 23}, runner=None)
    project.fit(seed=1, overwrite=True)
    with pytest.raises(ValidationError, match=r"tokens of store .* expected codebook [0-9a-f]{12}"):
        project.certify_tokens(runner=None)
    certifier = project.certifier(project.tokens)
    with pytest.raises(ConfigError, match="feature to tokenize: expected fbank, got mfcc"):
        certifier.tokens(project.token_stores(merge_repeats=False), project.features / "mfcc")


def test_other_versions_are_named_with_what_differs(project: Project) -> None:
    name = project.sampled("dev")[0]
    rewrite(project.features / "fbank" / "dev", {name: add(0.5)})
    certificate = project.certify()
    [store] = certificate.stores
    older = replace(store, stored_versions={**store.versions, "soxr": "0.1"})
    with pytest.raises(ValidationError, match=r"made with other versions \(soxr 0\.1, now"):
        require_certified([replace(certificate, stores=(older,))])
    assert "made elsewhere: soxr 0.1, now" in str(older)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_tolerance_is_a_share(value: float) -> None:
    with pytest.raises(ConfigError, match="max_flips: expected a share from 0 to 1"):
        Tolerances(difference=0, flips=value)
