"""A sound store passes; every kind of damage is found and named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from featbank.audio import load_audio, resampled_length, scan_audio
from featbank.base.failures import Failure, write_failures
from featbank.base.framing import Framing
from featbank.base.manifest import Utterance, write_manifest
from featbank.base.units import deduplicate
from featbank.errors import ManifestError, StoreError, ValidationError
from featbank.files.provenance import digest, file_sha256, readable_json, write_atomic
from featbank.report.gauges import entropy_bits
from featbank.report.metrics import length_curves, metrics, usage_curves
from featbank.store import StoreWriter, open_store, read_header
from featbank.store.header_file import header_digest
from featbank.validation.result import CheckResult, read_check, require_good, write_check
from featbank.validation.scan import BLOCK_VALUES, make_example
from featbank.validation.stores import length_histogram, validate_stores
from tests.conftest import SPLITS

FRAMING = Framing(sample_rate=8000, window_length=200, hop_length=80)
NUM_UNITS = 12
Rows = dict[str, Any]


def spectrogram(row: Utterance, root: Path) -> Any:
    """A (T, 40) log spectrogram of real speech, on the grid of `FRAMING`."""
    waveform = load_audio(
        root / row.audio,
        sample_rate=row.sample_rate,
        num_samples=row.num_samples,
        target_rate=FRAMING.sample_rate,
    )
    windows = np.lib.stride_tricks.sliding_window_view(waveform, FRAMING.window_length)
    frames = windows[:: FRAMING.hop_length] * np.hanning(FRAMING.window_length)
    return np.log(np.abs(np.fft.rfft(frames))[:, :40] + 1e-3).astype(np.float32)


class Project:
    """Manifests of real speech and the stores made from them."""

    def __init__(self, folder: Path, demo_corpus: Path) -> None:
        self.manifests = folder / "manifests"
        self.features = folder / "features"
        self.tokens = folder / "tokens"
        files = sorted(demo_corpus.glob("allison_en/*.flac"))
        self.rows = [_row(path, demo_corpus) for path in files[:6]]
        self.splits = {"train": self.rows[:4], "dev": self.rows[4:], "test": []}
        for split, rows in self.splits.items():
            write_manifest(self.manifests / f"{split}.jsonl", rows)
        self.values = {row.id: spectrogram(row, demo_corpus) for row in self.rows}
        self.units = {
            key: (value.argmax(axis=1) * NUM_UNITS // 40).astype(np.uint8)
            for key, value in self.values.items()
        }
        for split in self.splits:
            self.write_features(split)

    @property
    def first(self) -> Utterance:
        return self.rows[0]

    def write(self, path: Path, values: Rows, rows: list[Utterance], **header: Any) -> None:
        options: dict[str, Any] = {
            "name": path.parent.name,
            "frame_rate": FRAMING.frame_rate,
            "first_frame_center_s": FRAMING.first_frame_center_s,
            "framing": FRAMING,
            "fingerprint": "f" * 64,
            "shard_bytes": 100_000,
            "provenance": {"stores": [path.parent.name]},
            **header,
        }
        with StoreWriter(path, **options) as writer:
            for row in rows:
                digest = row.input_digest
                writer.write(row.id, values[row.id], input_digest=digest, part=row.part)

    def write_features(self, split: str, changed: Mapping[str, Any] | None = None) -> None:
        values = {**self.values, **(changed or {})}
        path = self.features / "spectrum" / split
        options = {"dtype": "float32", "shape": (40,), "allow_nonfinite": True}
        self.write(path, values, self.splits[split], **options)

    def write_tokens(
        self, *, merge: bool = False, units: Rows | None = None, durations: Rows | None = None
    ) -> None:
        names = ["durations", "units"] if merge else ["units"]
        provenance = {"codebook": {"num_clusters": NUM_UNITS, "sha256": "c"}, "stores": names}
        merged = {key: deduplicate(value) for key, value in self.units.items()}
        stored: dict[str, tuple[Rows, str]] = {"units": (self.units, "uint8")}
        if merge:
            stored = {
                "units": ({key: value[0] for key, value in merged.items()}, "uint8"),
                "durations": ({key: value[1] for key, value in merged.items()}, "uint32"),
            }
        changes = {"units": units or {}, "durations": durations or {}}
        grid = {"frame_rate": None, "first_frame_center_s": None} if merge else {}
        for name, (values, dtype) in stored.items():
            for split, rows in self.splits.items():
                self.write(
                    self.tokens / name / split,
                    {**values, **changes[name]},
                    rows,
                    dtype=dtype,
                    shape=(),
                    provenance=provenance,
                    **grid,
                )

    def check(self) -> CheckResult:
        return validate_stores(self.features, self.manifests, name="features/spectrum")

    def check_tokens(self) -> CheckResult:
        return validate_stores(self.tokens, self.manifests, name="tokens/spectrum-kmeans")

    def header(self, store: str) -> dict[str, Any]:
        return dict(json.loads((self.features.parent / store / "header.json").read_text()))

    def edit_store(self, store: str, **changes: Any) -> None:
        fields = {**self.header(store), **changes}
        del fields["digest"]
        fields["digest"] = digest(fields)
        write_atomic(self.features.parent / store / "header.json", readable_json(fields))

    def edit_header(self, split: str, **changes: Any) -> None:
        self.edit_store(f"features/spectrum/{split}", **changes)

    def edit_shard(self, number: int, **changes: Any) -> dict[str, Any]:
        """Change what the header of `train` lists of one shard, and the sums; return what was."""
        shards = self.header("features/spectrum/train")["shards"]
        before = dict(shards[number])
        shards[number] |= changes
        sums = ("num_utterances", "num_frames")
        totals = {name: sum(shard[name] for shard in shards) for name in sums}
        self.edit_header("train", shards=shards, **totals)
        return before

    def fail(self, split: str, *ids: str) -> None:
        """Add a failure list to a store, as extraction leaves one."""
        rows = [Failure(id=name, audio="x.flac", error="cut short") for name in ids]
        path = self.features / "spectrum" / split / "failures.jsonl"
        write_failures(path, rows)
        self.edit_header(split, num_failures=len(ids), failures_digest=file_sha256(path))


def _row(path: Path, root: Path) -> Utterance:
    scan = scan_audio(path)
    name = path.relative_to(root)
    return Utterance(
        id=name.with_suffix("").as_posix(),
        audio=name.as_posix(),
        audio_digest=scan.digest,
        sample_rate=scan.sample_rate,
        num_samples=scan.num_samples,
    )


@pytest.fixture
def project(tmp_path: Path, demo_corpus: Path) -> Project:
    return Project(tmp_path, demo_corpus)


def sentences(result: CheckResult, kind: str) -> list[str]:
    """The findings, which are all of one kind."""
    assert {problem.kind for problem in result.all_problems} == {kind}
    return [sentence for problem in result.all_problems for sentence in problem.sentences]


def findings(result: CheckResult) -> dict[str, list[str]]:
    """All sentences, by kind."""
    found: dict[str, list[str]] = {}
    for problem in result.all_problems:
        found.setdefault(problem.kind, []).extend(problem.sentences)
    return found


def test_a_sound_store_passes_and_is_measured(project: Project) -> None:
    result = project.check()
    assert result.all_problems == []
    require_good([result])
    train, dev, test = result.stores
    assert (train.num_utterances, dev.num_utterances, test.num_utterances) == (4, 2, 0)
    values = np.concatenate([project.values[row.id] for row in project.splits["train"]])
    assert train.num_frames == len(values)
    assert train.num_shards > 1
    assert (train.mean, train.std) == pytest.approx((values.mean(), values.std()), rel=1e-4)
    assert (train.minimum, train.maximum) == pytest.approx((values.min(), values.max()), rel=1e-5)
    assert train.audio_s == pytest.approx(sum(r.duration_s for r in project.splits["train"]))
    folder = project.features / "spectrum" / "train"
    assert train.num_bytes == sum(path.stat().st_size for path in folder.glob("*.h5"))
    assert (test.mean, test.example) == (None, None)


def test_progress_adds_up_to_the_audio_of_the_manifests(project: Project) -> None:
    done: list[float] = []
    validate_stores(project.features, project.manifests, name="x", advance=done.append)
    assert sum(done) == pytest.approx(sum(row.duration_s for row in project.rows))


def test_values_are_measured_the_same_whatever_the_block(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = project.check()
    assert BLOCK_VALUES > 1000
    monkeypatch.setattr("featbank.validation.scan.BLOCK_VALUES", 1000)
    assert project.check() == whole


def test_row_that_is_nowhere_is_named(project: Project) -> None:
    project.splits["train"] = project.rows[1:4]
    project.write_features("train")
    assert sentences(project.check(), "missing row") == [
        f"store features/spectrum/spectrum/train, utterance {project.first.id!r}: "
        "expected it in the store or in failures.jsonl, got neither"
    ]


def test_row_in_the_failure_list_is_not_missing(project: Project) -> None:
    project.splits["train"] = project.rows[1:4]
    project.write_features("train")
    project.fail("train", project.first.id)
    result = project.check()
    assert result.all_problems == []
    assert result.stores[0].num_failures == 1


def test_row_both_stored_and_failed_is_named(project: Project) -> None:
    project.fail("train", project.first.id)
    [sentence] = sentences(project.check(), "stored and failed")
    assert project.first.id in sentence


def test_row_that_the_manifest_does_not_know_is_named(project: Project) -> None:
    write_manifest(project.manifests / "train.jsonl", project.rows[1:4])
    [sentence] = sentences(project.check(), "extra row")
    assert project.first.id in sentence


def test_failure_that_the_manifest_does_not_know_is_named(project: Project) -> None:
    project.fail("train", "nobody")
    [sentence] = sentences(project.check(), "extra failure")
    assert "'nobody'" in sentence


def test_damaged_failure_list_is_named(project: Project) -> None:
    write_atomic(project.features / "spectrum" / "train" / "failures.jsonl", "{not json\n")
    assert "failures.jsonl" in sentences(project.check(), "damaged failure list")[0]


def test_failures_that_the_header_does_not_count_are_named(project: Project) -> None:
    project.edit_header("train", num_failures=3)
    assert sentences(project.check(), "wrong header") == [
        "store features/spectrum/spectrum/train, num_failures: expected 0, as listed, got 3"
    ]


def test_wrong_number_of_frames_is_named(project: Project) -> None:
    values = project.values[project.first.id]
    project.write_features("train", {project.first.id: values[:-1]})
    [sentence] = sentences(project.check(), "wrong length")
    samples = resampled_length(project.first.num_samples, project.first.sample_rate, 8000)
    assert sentence.endswith(
        f"expected {FRAMING.num_frames(samples)} frames, got {len(values) - 1}"
    )
    assert ".h5, utterance" in sentence


def test_row_of_other_audio_is_named(project: Project) -> None:
    other = replace(project.first, audio_digest="md5:" + "0" * 32)
    write_manifest(project.manifests / "train.jsonl", [other, *project.rows[1:4]])
    [sentence] = sentences(project.check(), "other audio")
    assert project.first.id in sentence
    assert other.input_digest.hex() in sentence
    assert project.first.input_digest.hex() in sentence


@pytest.mark.parametrize(
    ("value", "kind"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")]
)
def test_value_that_is_no_number_is_named(project: Project, value: float, kind: str) -> None:
    row = project.rows[1]
    values = project.values[row.id].copy()
    values[[3, 5], 7] = value
    project.write_features("train", {row.id: values})
    result = project.check()
    [sentence] = sentences(result, f"{kind} values")
    assert sentence.endswith(
        f"utterance {row.id!r}: expected finite values, got {kind} in 2 of {len(values)} frames"
    )
    assert result.stores[0].maximum is not None  # of the finite values
    write_check(result, project.manifests / "check.json")  # strict JSON has no NaN


def test_changed_byte_is_named_by_its_shard(project: Project) -> None:
    info = read_header(project.features / "spectrum" / "train").shards[0]
    path = project.features / "spectrum" / "train" / info.name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    kinds = {problem.kind: problem for problem in project.check().all_problems}
    [sentence] = kinds["changed bytes"].sentences
    assert info.name in sentence
    assert "expected all as written, got shard" in sentence


@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x")]
)
def test_lost_or_cut_shard_is_named_and_the_others_are_still_checked(
    project: Project, damage: Callable[[Path], None]
) -> None:
    folder = project.features / "spectrum" / "train"
    shards = read_header(folder).shards
    assert len(shards) > 1
    damage(folder / shards[0].name)
    result = project.check()
    kinds = {problem.kind: problem for problem in result.all_problems}
    assert shards[0].name in kinds["damaged shard"].examples[0]
    assert kinds["missing row"].count == shards[0].num_utterances
    assert result.stores[0].num_utterances == 4 - shards[0].num_utterances


def test_shard_that_no_header_lists_is_named(project: Project) -> None:
    write_atomic(project.features / "spectrum" / "train" / "0123456789abcdef.h5", b"")
    [sentence] = sentences(project.check(), "stray shard")
    assert "0123456789abcdef.h5" in sentence


def test_store_without_header_is_named_and_the_others_are_still_checked(project: Project) -> None:
    (project.features / "spectrum" / "train" / "header.json").unlink()
    result = project.check()
    [sentence] = sentences(result, "unreadable store")
    assert "features/spectrum/spectrum/train" in sentence
    assert "no header.json" in sentence
    assert result.stores[1].num_utterances == 2


@pytest.mark.parametrize(
    ("field", "value", "got"),
    [
        ("fingerprint", "0" * 64, "f" * 64),
        ("dtype", "float64", "float32"),
        ("shape", [41], "(40,)"),
        ("name", "cepstrum", "spectrum"),
    ],
)
def test_header_unlike_its_shards_is_named(
    project: Project, field: str, value: Any, got: str
) -> None:
    project.edit_header("dev", **{field: value})
    sentence = findings(project.check())["shard unlike its header"][0]
    assert f", {field}: expected" in sentence
    assert sentence.endswith(f", got {got}")


@pytest.mark.parametrize("field", ["num_utterances", "num_frames"])
def test_shard_that_holds_another_number_is_named(project: Project, field: str) -> None:
    real = read_header(project.features / "spectrum" / "train").shards[0]
    project.edit_shard(0, **{field: getattr(real, field) + 1})
    [sentence] = findings(project.check())["shard unlike its header"]
    told = f"expected {getattr(real, field) + 1}, got {getattr(real, field)}"
    assert sentence.endswith(f"{real.name}, {field}: {told}")


def test_shard_of_another_size_is_named(project: Project) -> None:
    size = read_header(project.features / "spectrum" / "train").shards[0].num_bytes
    before = project.edit_shard(0, num_bytes=size + 5)
    sentence = findings(project.check())["damaged shard"][0]
    assert before["name"] in sentence
    assert f"expected {size + 5} bytes, got {size} bytes" in sentence


def test_shard_that_begins_elsewhere_is_named(project: Project) -> None:
    before = project.edit_shard(0, first_id=project.rows[0].id + "0")
    [sentence] = sentences(project.check(), "shard unlike its header")
    assert sentence.endswith(f"first_id: expected {project.rows[0].id}0, got {before['first_id']}")


def test_splits_unlike_what_their_folder_states_are_named(project: Project) -> None:
    feature = project.features / "spectrum"
    headers = {split: header_digest(read_header(feature / split)) for split in SPLITS}
    fields = {
        "format": "featbank-splits",
        "format_version": 1,
        "splits": {**headers, "dev": "0" * 64, "more": "1" * 64},
    }
    (feature / "splits.json").write_text(json.dumps({**fields, "digest": digest(fields)}))
    absent, other = sentences(project.check(), "unlike its splits")
    assert "no more" in absent
    assert "spectrum/dev" in other
    assert project.check().stores[1].num_utterances  # which is looked at all the same


def test_rows_that_a_reader_cannot_find_are_named(project: Project) -> None:
    folder = project.features / "spectrum" / "train"
    info = read_header(folder).shards[0]
    with h5py.File(folder / info.name, "r+") as file:
        file["id_slots"][:] = 0
    found = findings(project.check())
    with pytest.raises(StoreError, match="expected digest"):  # and not "no such id"
        _ = info.first_id in open_store(folder)
    assert set(found) == {"changed bytes", "unreachable row"}
    expected = f"utterance {info.first_id!r}: expected a reader to find it"
    assert expected in found["unreachable row"][0]


def test_shard_of_another_part_is_named(project: Project) -> None:
    number = len(read_header(project.features / "spectrum" / "train").shards) - 1
    project.edit_shard(number, part="b")
    found = sentences(project.check(), "wrong part")
    assert found[0].endswith("expected '', got 'b'")


def test_sound_store_of_several_parts_passes(project: Project) -> None:
    rows = [replace(row, part="ab"[n % 2]) for n, row in enumerate(project.splits["train"])]
    project.splits["train"] = rows
    write_manifest(project.manifests / "train.jsonl", rows)
    project.write_features("train")
    assert project.check().all_problems == []


def test_row_that_is_there_twice_is_named(project: Project) -> None:
    shards = project.header("features/spectrum/train")["shards"]
    shards.append({**shards[0], "part": "b"})
    sums = ("num_utterances", "num_frames")
    totals = {name: sum(shard[name] for shard in shards) for name in sums}
    project.edit_header("train", shards=shards, **totals)
    found = findings(project.check())["repeated row"]
    assert len(found) == shards[0]["num_utterances"]
    assert found[0].endswith(f"expected it once, got also {shards[0]['name']}")


def test_rows_out_of_order_are_named(project: Project) -> None:
    # swapped ids of equal length, as another writer might leave them: a search misses them
    rows = project.splits["train"]
    a, b = (replace(rows[0], id=f"x/{name}") for name in "ab")
    write_manifest(project.manifests / "train.jsonl", [a, b])
    project.values |= {a.id: project.values[rows[0].id], b.id: project.values[rows[0].id]}
    project.splits["train"] = [a, b]
    path = project.features / "spectrum" / "train"
    project.write(path, project.values, [a, b], dtype="float32", shape=(40,), shard_bytes=1 << 20)
    shard = path / read_header(path).shards[0].name
    with h5py.File(shard, "r+") as file:
        file["id_bytes"][:] = np.frombuffer(b"x/bx/a", np.uint8)
    project.edit_shard(0, first_id="x/b", last_id="x/c")
    found = findings(project.check())
    assert set(found) == {"unsorted rows", "changed bytes", "shard unlike its header"}
    assert "'x/a': expected after 'x/b'" in found["unsorted rows"][0]


def test_header_of_another_name_is_named(project: Project) -> None:
    project.edit_header("dev", name="cepstrum")
    [sentence] = findings(project.check())["wrong header"]
    assert sentence.endswith("name: expected spectrum, got cepstrum")


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [("frame_rate", 100.0, 50.0), ("first_frame_center_s", 0.0125, 0.005)],
)
def test_frame_times_unlike_the_framing_are_named(
    project: Project, field: str, right: float, wrong: float
) -> None:
    for split in SPLITS:
        project.edit_header(split, **{field: wrong})
    found = sentences(project.check(), "wrong header")
    assert len(found) == 3
    assert found[0].endswith(f"{field}: expected {right}, got {wrong}")


def test_header_without_framing_is_named(project: Project) -> None:
    for split in SPLITS:
        project.edit_header(split, framing=None)
    assert len(sentences(project.check(), "no framing")) == 3


def test_option_without_stores_is_named(project: Project) -> None:
    result = validate_stores(project.features / "none", project.manifests, name="features/none")
    assert "got none" in sentences(result, "no store")[0]


def test_split_without_manifest_is_named(project: Project) -> None:
    (project.features / "spectrum" / "evaluation").mkdir()
    assert "'evaluation'" in sentences(project.check(), "unknown split")[0]


def test_missing_manifest_is_an_error(project: Project) -> None:
    stated = {"splits": {split: {} for split in SPLITS}}
    (project.manifests / "corpus.json").write_text(json.dumps(stated))
    (project.manifests / "dev.jsonl").unlink()
    with pytest.raises(ManifestError, match=r"those of train, dev, test, .*, got train, test; run"):
        project.check()


def test_many_findings_are_counted_and_few_are_told(tmp_path: Path) -> None:
    rows = [
        Utterance(id=f"{n:03}", audio="a", audio_digest="b", sample_rate=8000, num_samples=8000)
        for n in range(100)
    ]
    for split in ("train", "dev", "test"):
        write_manifest(tmp_path / f"{split}.jsonl", rows if split == "train" else [])
        with StoreWriter(
            tmp_path / "stores" / "x" / split, name="x", dtype="float32", framing=FRAMING,
            frame_rate=FRAMING.frame_rate, first_frame_center_s=FRAMING.first_frame_center_s,
            provenance={"stores": ["x"]},
        ):  # fmt: skip
            pass
    result = validate_stores(tmp_path / "stores", tmp_path, name="features/x")
    told = sentences(result, "missing row")
    assert len(told) == 11
    assert told[-1] == "and 90 more like these: missing row, 100 in all"
    with pytest.raises(ValidationError, match="100 problems") as error:
        require_good([result])
    assert told[0] in str(error.value)


def test_sound_tokens_pass_and_their_usage_is_counted(project: Project) -> None:
    project.write_tokens()
    result = project.check_tokens()
    assert result.all_problems == []
    units = np.concatenate([project.units[row.id] for row in project.splits["train"]])
    [usage] = result.stores[0].codebooks or ()
    assert usage.frames == tuple(np.bincount(units, minlength=NUM_UNITS))


def test_unit_outside_the_codebook_is_named(project: Project) -> None:
    units = project.units[project.first.id].copy()
    units[4] = NUM_UNITS
    project.write_tokens(units={project.first.id: units})
    [sentence] = sentences(project.check_tokens(), "unknown unit values")
    assert project.first.id in sentence
    assert "expected units from 0 to 11" in sentence


@pytest.mark.parametrize(
    "codebook",
    [None, 5, {}, *({"num_clusters": n} for n in (True, -1, 0, 10**12, 1.5, "12", None))],
)
def test_units_without_the_size_of_their_codebook_are_named(
    project: Project, codebook: object
) -> None:
    project.write_tokens()
    provenance = {"codebook": codebook, "stores": ["units"]}
    for split in SPLITS:
        project.edit_store(f"tokens/units/{split}", provenance=provenance)
    result = project.check_tokens()
    found = sentences(result, "no codebook")
    assert len(found) == 3
    assert "codebook.num_clusters" in found[0]
    write_check(result, project.manifests / "check.json")


def test_splits_made_from_different_things_are_named(project: Project) -> None:
    project.write_tokens()
    provenance = project.header("tokens/units/dev")["provenance"]
    other = {**provenance, "codebook": {"num_clusters": NUM_UNITS + 1, "sha256": "d"}}
    project.edit_store("tokens/units/dev", provenance=other)
    assert sentences(project.check_tokens(), "splits unlike each other") == [
        "tokens/spectrum-kmeans, units/dev, provenance.codebook.num_clusters: "
        "expected 12 as in train, got 13",
        "tokens/spectrum-kmeans, units/dev, provenance.codebook.sha256: "
        "expected 'c' as in train, got 'd'",
    ]


def test_splits_of_different_fingerprints_are_named(project: Project) -> None:
    project.write(
        project.features / "spectrum" / "dev",
        project.values,
        project.splits["dev"],
        dtype="float32",
        shape=(40,),
        fingerprint="0" * 64,
    )
    [sentence] = sentences(project.check(), "splits unlike each other")
    assert "spectrum/dev, fingerprint: expected 'fff" in sentence


def test_splits_may_come_from_different_machines(project: Project) -> None:
    project.edit_header("dev", numerics=[{"isa": "AVX2"}])
    assert project.check().all_problems == []


def test_feature_that_was_lost_is_named(project: Project) -> None:
    names = {"stores": ["energy", "spectrum"]}
    for split in SPLITS:
        project.edit_header(split, provenance=names)
    assert sentences(project.check(), "lost feature") == [
        "features/spectrum, feature 'energy': "
        "expected its stores, as the header of spectrum/train lists it, got none"
    ]


@pytest.mark.parametrize("listed", [None, "spectrum", ["other"], [5]])
def test_feature_that_no_header_lists_is_named(project: Project, listed: object) -> None:
    for split in SPLITS:
        project.edit_header(split, provenance={"stores": listed})
    [sentence] = findings(project.check())["unlisted feature"]
    assert "feature 'spectrum': expected a header that lists it" in sentence


def test_sound_merged_units_pass(project: Project) -> None:
    project.write_tokens(merge=True)
    result = project.check_tokens()
    assert result.all_problems == []
    assert [store.name for store in result.stores] == ["durations"] * 3 + ["units"] * 3
    counted = [store.codebooks for store in result.stores if store.codebooks is not None]
    project.write_tokens()
    shutil.rmtree(project.tokens / "durations")
    # merged or not, the same frames and the same runs
    assert counted == [store.codebooks for store in project.check_tokens().stores]


def test_durations_that_do_not_sum_to_the_frames_are_named(project: Project) -> None:
    durations = deduplicate(project.units[project.first.id])[1].copy()
    durations[0] += 2
    project.write_tokens(merge=True, durations={project.first.id: durations})
    [sentence] = sentences(project.check_tokens(), "wrong sum of durations")
    num_frames = len(project.units[project.first.id])
    assert sentence.endswith(f"expected {num_frames} frames, got {num_frames + 2}")


def test_unit_that_lasts_no_frame_is_named(project: Project) -> None:
    durations = deduplicate(project.units[project.first.id])[1].copy()
    durations[1] += durations[0]
    durations[0] = 0
    project.write_tokens(merge=True, durations={project.first.id: durations})
    assert "values from 1 on" in sentences(project.check_tokens(), "below 1 values")[0]


def test_merged_units_with_a_repeat_are_named(project: Project) -> None:
    units = deduplicate(project.units[project.first.id])[0].copy()
    units[1] = units[0]
    project.write_tokens(merge=True, units={project.first.id: units})
    assert "equal neighbours" in sentences(project.check_tokens(), "repeated units")[0]


def test_units_and_durations_of_different_lengths_are_named(project: Project) -> None:
    units = deduplicate(project.units[project.first.id])[0]
    project.write_tokens(merge=True, units={project.first.id: units[:-1]})
    [sentence] = sentences(project.check_tokens(), "units unlike durations")
    assert sentence.endswith(f"expected {len(units)} units, one a duration, got {len(units) - 1}")


def test_merged_units_without_durations_are_named(project: Project) -> None:
    project.write_tokens(merge=True)
    (project.tokens / "durations").rename(project.tokens / ".durations")
    found = findings(project.check_tokens())
    assert set(found) == {"lost feature", "no durations"}
    assert len(found["no durations"]) == 3


def test_durations_without_units_are_named(project: Project) -> None:
    project.write_tokens(merge=True)
    (project.tokens / "units").rename(project.tokens / ".units")
    found = findings(project.check_tokens())
    assert set(found) == {"lost feature", "no units"}
    assert "feature 'units'" in found["lost feature"][0]


def test_units_have_no_mean_for_their_numbers_are_names(project: Project) -> None:
    project.write_tokens(merge=True)
    durations, units = (
        next(store for store in project.check_tokens().stores if store.name == name)
        for name in ("durations", "units")
    )
    assert (units.mean, units.std, units.minimum) == (None, None, 0)
    assert durations.mean is not None


def test_example_is_the_utterance_of_the_smallest_digest(project: Project) -> None:
    rows = project.splits["train"] = project.rows[:5]
    write_manifest(project.manifests / "train.jsonl", rows)
    project.write_features("train")
    smallest = min(rows, key=lambda row: sha256(row.id.encode()).digest())
    assert smallest not in (rows[0], rows[-1])  # else the first or the last would do
    example = project.check().stores[0].example
    assert example is not None
    assert example.id == smallest.id


def test_check_survives_its_file_byte_for_byte(project: Project, tmp_path: Path) -> None:
    project.write_tokens(merge=True)
    project.fail("dev", "nobody")
    for name, result in (("a", project.check()), ("b", project.check_tokens())):
        write_check(result, tmp_path / f"{name}.json")
        content = (tmp_path / f"{name}.json").read_bytes()
        assert read_check(tmp_path / f"{name}.json") == result
        write_check(read_check(tmp_path / f"{name}.json"), tmp_path / f"{name}.json")
        assert (tmp_path / f"{name}.json").read_bytes() == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "nothing there"),
        ("[", "a JSON object"),
        ('{"format": "other"}', "featbank-check version 4"),
        ('{"format": "featbank-check", "format_version": 4}', "the fields of a check"),
    ],
)
def test_file_that_is_no_check_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "check.json").write_text(content)
    with pytest.raises(ValidationError, match=message):
        read_check(tmp_path / "check.json")


def test_example_averages_neighbours_and_keeps_every_so_many_tokens() -> None:
    values = np.arange(1000 * 3, dtype=np.float32).reshape(1000, 3)
    example = make_example("a", values)
    assert (len(example.columns), example.frames_per_column) == (200, 5)
    assert example.columns[0] == (6.0, 7.0, 8.0)
    tokens = make_example("a", np.arange(300, dtype=np.uint16))
    assert tokens.columns == tuple((float(n),) for n in range(300))
    long = make_example("a", np.arange(2500, dtype=np.uint16) // 3 % 9)
    assert (len(long.columns), long.frames_per_column) == (834, 3)
    assert long.columns[:10] == tuple((float(n % 9),) for n in range(10))


def test_example_averages_a_remainder_by_its_own_size() -> None:
    example = make_example("a", np.ones((401, 81), np.float32))
    assert (len(example.columns), len(example.columns[0])) == (134, 41)
    assert {cell for column in example.columns for cell in column} == {1.0}


def test_lengths_fall_into_bins_shared_by_the_splits() -> None:
    histogram = length_histogram({"train": [0.0, 19.9, 61.0], "dev": []})
    assert histogram.bin_s == 2
    assert [number for number, count in enumerate(histogram.counts["train"]) if count] == [0, 9, 30]
    assert sum(histogram.counts["dev"]) == 0
    curves = length_curves(histogram)
    assert [curves[split][9] for split in ("train", "dev")] == [
        {"seconds": 18, "utterances": 1}, {"seconds": 18, "utterances": 0},
    ]  # fmt: skip
    assert len(curves["dev"]) == 31


def test_metrics_are_small_and_nested_by_store(project: Project) -> None:
    project.write_tokens()
    results = [project.check(), project.check_tokens()]
    tree = metrics(results)
    assert tree["problems"] == 0
    assert tree["features"]["spectrum"]["spectrum"]["train"]["utterances"] == 4
    assert tree["tokens"]["spectrum-kmeans"]["units"]["train"]["perplexity"] > 1
    assert "mean" in tree["features"]["spectrum"]["spectrum"]["train"]
    assert not {"mean", "std"} & set(tree["tokens"]["spectrum-kmeans"]["units"]["train"])
    rows = usage_curves(results)["spectrum-kmeans"]
    assert [row["rank"] for row in rows] == list(range(1, NUM_UNITS + 1))
    shares = [row["share"] for row in rows]
    assert sum(shares) == pytest.approx(1)
    assert sorted(shares, reverse=True) == shares
    assert len(set(shares)) > 2


def test_evenly_used_codebook_has_its_size_as_perplexity() -> None:
    assert 2 ** entropy_bits([3] * 8 + [0]) == pytest.approx(8)


def test_validation_needs_neither_torch_nor_the_report() -> None:
    code = (
        "import sys, featbank.validation.stores, featbank.report.metrics; "
        "sys.exit(bool({'torch', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
