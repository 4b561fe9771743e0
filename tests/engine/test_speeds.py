"""Whatever reads a manifest takes a row at a speed for the same samples at the rate of that speed.

So all is held against a corpus whose files hold these samples and say that rate themselves.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from featbank.audio import scan_audio
from featbank.base.framing import Framing
from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.engine.extract import feature_job
from featbank.engine.forecast.decoding import DecodingTask, DecodingTimer
from featbank.engine.forecast.kinds import AudioKind, KindLeft
from featbank.engine.forecast.remaining import Remaining
from featbank.engine.recomputing import draw
from featbank.engine.tokenize_audio import FeatureTokens
from featbank.numerics import Computing
from featbank.stability.measuring import beginnings, measure_stability
from featbank.stability.units import measured_units
from featbank.store import open_store
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.token_stores import TokenStores
from featbank.tokenizers.tokenize import tokenize
from featbank.validation.stores import validate_stores
from tests.conftest import SPLITS
from tests.extracting import demo_run, run_extraction

pytestmark = pytest.mark.usefixtures("one_thread")

SPEEDS = [0.9, 1.0, 1.1]
STUB: dict[str, Any] = {
    "storage": [{"name": "one"}, {"name": "two"}, {"name": "codes", "dtype": "uint16"}],
    "trusted_modules": ["tests"],
}


def _prepare(root: Path, speeds: list[float]) -> dict[str, Any]:
    corpus = TableCorpus(
        name="demo", root=root, license="free", table="transcripts.tsv", speeds=speeds
    )
    return prepare(corpus, root.parent / "manifests", failures_path=root.parent / "p.jsonl")


def _rows(root: Path) -> dict[str, list[Utterance]]:
    return {one: read_manifest(root.parent / "manifests" / f"{one}.jsonl") for one in SPLITS}


@dataclass(frozen=True)
class Twins:
    """Roots of two corpora of the same ids: rows at speeds, and files of the rates of these."""

    sped: Path
    written: Path


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path) -> Twins:
    folder = tmp_path_factory.mktemp("speeds")
    twins = Twins(folder / "sped/corpus", folder / "written/corpus")
    shutil.copytree(demo_corpus, twins.sped)
    header, *lines = (demo_corpus / "transcripts.tsv").read_text().splitlines()
    kept = [line for split in SPLITS for line in [one for one in lines if split in one][:4]]
    (twins.sped / "transcripts.tsv").write_text("\n".join([header, *kept]))
    _prepare(twins.sped, SPEEDS)
    shutil.copytree(folder / "sped/manifests", folder / "written/manifests")
    for split, rows in _rows(twins.sped).items():
        written = [_written(row, twins.sped, twins.written) for row in rows]
        write_manifest(folder / f"written/manifests/{split}.jsonl", written)
    return twins


@pytest.fixture(scope="module")
def features(twins: Twins) -> Path:
    out = twins.sped.parent / "features"
    _extract(twins.sped, out)
    return out


@pytest.fixture
def tokens(twins: Twins, tmp_path: Path) -> TokenStores:
    fingerprint = feature_job(demo_run(twins.sped), tmp_path).specs["fbank"].fingerprint
    origin = {"fitted_on": {"feature": "fbank", "feature_fingerprint": fingerprint}}
    centroids = np.random.default_rng(0).normal(15, 4, (300, 20)).astype(np.float32)
    path = tmp_path / "codebook.safetensors"
    save_codebook(path, Codebook(centroids=centroids, provenance=origin))
    return TokenStores(codebook=load_codebook(path), merge_repeats=False)


def _written(row: Utterance, root: Path, out: Path) -> Utterance:
    samples, _ = soundfile.read(root / row.audio, dtype="int16")
    path = out / f"{row.id}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, row.played_rate, subtype="PCM_16")
    return replace(
        row, audio=f"{row.id}.wav", audio_digest=scan_audio(path).digest,
        sample_rate=row.played_rate, speed=1.0,
    )  # fmt: skip


def _extract(root: Path, out: Path, **changes: Any) -> Any:
    return run_extraction(root, out, num_workers=None, work=out.parent / "work", **changes)


def _stored(out: Path) -> dict[str, Any]:
    return {
        f"{name}/{one}": store[one]
        for name in sorted(path.name for path in out.iterdir())
        for store in (open_store(out / name / split) for split in SPLITS)
        for one in store.ids
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {**STUB, "extractor": {"_target_": "tests.device_stub.ExactStub"}},
        {**STUB, "extractor": {"_target_": "tests.device_stub.ExactStub", "max_s": 2.0}},
        {
            **STUB, "extractor": {"_target_": "tests.device_stub.ExactStub", "max_s": 3.0},
            "computing": Computing(batch_s=8, num_decoders=2),
        },
    ],
    ids=["alone", "stub", "long recordings", "batches"],
)  # fmt: skip
def test_features_at_a_speed_are_those_of_files_of_its_rate(
    changes: dict[str, Any], twins: Twins, tmp_path: Path
) -> None:
    stored = {}
    for name, root in (("sped", twins.sped), ("written", twins.written)):
        out = tmp_path / name / "out"
        run_extraction(root, out, work=out.parent / "work", **{"num_workers": None, **changes})
        stored[name] = _stored(out)
    assert len(stored["sped"]) == (4 * 3 + 4 + 4) * len(changes.get("storage", "1"))
    assert stored["sped"].keys() == stored["written"].keys()
    for one, values in stored["sped"].items():
        assert np.array_equal(values, stored["written"][one]), one
    numerics = [
        open_store(tmp_path / name / "out" / next((tmp_path / name / "out").iterdir()) / split)
        .header.numerics
        for name in stored for split in SPLITS
    ]  # fmt: skip
    assert numerics[:3] == numerics[3:]


def test_frames_at_a_speed_are_more_or_fewer_and_are_other_values(features: Path) -> None:
    store = open_store(features / "fbank/train")
    plain = [one for one in store.ids if not one.startswith("sp")]
    assert len(plain) == 4
    for one in plain:
        frames = len(store[one])
        assert len(store[f"sp0.9-{one}"]) == pytest.approx(frames / 0.9, abs=3)
        assert len(store[f"sp1.1-{one}"]) == pytest.approx(frames / 1.1, abs=3)
        both = len(store[f"sp1.1-{one}"])
        assert np.abs(store[one][:both] - store[f"sp1.1-{one}"]).mean() > 0.1


def test_speeds_that_are_added_compute_their_own_rows_and_no_others(
    twins: Twins, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(twins.sped, tmp_path / "corpus"))
    _prepare(root, [1.0])
    out = tmp_path / "out"
    assert _extract(root, out).tally.num_computed == 12
    before = _stored(out)
    _prepare(root, SPEEDS)
    assert _extract(root, out).tally.num_computed == 8
    after = _stored(out)
    assert {one: after[one].tobytes() for one in before} == {
        one: values.tobytes() for one, values in before.items()
    }
    # another speed under the same id is another input
    rows = _rows(root)["train"]
    changed = [replace(row, speed=1.2) if row.speed == 1.1 else row for row in rows]
    write_manifest(root.parent / "manifests/train.jsonl", changed)
    assert _extract(root, out).tally.num_computed == 4
    assert _problems(root, out) == {}


def _problems(root: Path, out: Path, advance: Callable[[float], None] = lambda _: None) -> Any:
    checked = validate_stores(
        out, root.parent / "manifests", name="features/fbank", advance=advance
    )
    return {one.kind: one.count for store in checked.stores for one in store.problems}


def test_a_check_knows_how_many_frames_and_seconds_a_speed_gives(
    twins: Twins, features: Path, tmp_path: Path
) -> None:
    seconds: list[float] = []
    assert _problems(twins.sped, features, advance=seconds.append) == {}
    rows = [row for rows in _rows(twins.sped).values() for row in rows]
    assert sum(seconds) == pytest.approx(sum(row.num_samples / row.played_rate for row in rows))
    # the same rows without their speeds are of other lengths, and other inputs
    shutil.copytree(twins.sped.parent / "manifests", tmp_path / "manifests")
    path = tmp_path / "manifests/train.jsonl"
    write_manifest(path, [replace(row, speed=1.0) for row in read_manifest(path)])
    assert _problems(tmp_path / "corpus", features) == {"wrong length": 8, "other audio": 8}


def test_a_forecast_is_of_the_audio_as_it_is_played(twins: Twins, tmp_path: Path) -> None:
    found = []
    for root in (twins.sped, twins.written):
        job = feature_job(demo_run(root), tmp_path / "out")
        plan = job.plan()
        left = Remaining(job, plan)
        assert left.longest
        told = [left.left_s, left.resampled_s, left.longest[1].duration_s]
        told += [rows.duration_s for rows in plan.rows.values()]
        told += [rows.num_frames for rows in plan.rows.values()]
        audio_s = sum(kind.audio_s for kind in left.audio.values())
        found.append([*told, audio_s, *(store.num_bytes for store in left.stores)])
        reach_s = sum(kind.reach_s for kind in left.audio.values())
        # where files are decoded from their start, it is at their own pace
        assert (
            0
            < reach_s
            <= sum(
                row.num_samples / row.sample_rate for rows in _rows(root).values() for row in rows
            )
        )
    assert found[0] == [pytest.approx(one) for one in found[1]]
    assert found[0][1] == pytest.approx(
        sum(row.duration_s for row in _rows(twins.sped)["train"] if row.speed != 1)
    )


def test_tokens_of_disturbed_audio_at_a_speed_are_those_of_files_of_its_rate(
    twins: Twins, tokens: TokenStores, tmp_path: Path
) -> None:
    found = []
    for root in (twins.sped, twins.written):
        kept = tmp_path / root.parent.name
        of_random = FeatureTokens(feature="fbank", stores=tokens)
        choice = measured_units("tokens/random", of_random, kept)
        run = demo_run(root, work=tmp_path / "work")
        sample = draw(root.parent / "manifests", 20, seed=0)
        assert any(row.played_rate != 16000 for rows in sample.rows.values() for row in rows)
        cut = beginnings(sample, 1.0)
        assert {row.duration_s for rows in cut.rows.values() for row in rows} == {1.0}
        found.append(measure_stability(run, choice, cut, corpus="").stores)
    assert found[0] == found[1]
    assert found[0]["units"]["shift"].num_utterances == 20


def test_labels_of_an_id_are_those_of_its_copies_at_other_speeds_too(
    twins: Twins, features: Path, tokens: TokenStores, tmp_path: Path
) -> None:
    manifests = twins.sped.parent / "manifests"
    seconds: list[float] = []
    tokenize(
        manifests=manifests, features=features / "fbank", out=tmp_path / "tokens", stores=tokens,
        advance=seconds.append,
    )  # fmt: skip
    rows = _rows(twins.sped)["train"]
    played = [row for rows in _rows(twins.sped).values() for row in rows]
    assert sum(seconds) == pytest.approx(sum(row.duration_s for row in played))
    labels = tmp_path / "labels.jsonl"
    lines = [
        json.dumps({"id": row.id, "labels": [[0.0, 99.0, "x"]]}) for row in rows if row.speed == 1
    ]
    labels.write_text("\n".join(lines))
    checked = validate_stores(tmp_path / "tokens", manifests, name="tokens/x", labels=labels)
    [found] = [store.labels for store in checked.stores if store.split == "train"]
    assert found is not None
    store = open_store(features / "fbank/train")
    assert {row.speed for row in rows} > {1}
    assert found.num_frames == sum(len(store[row.id]) for row in rows)
    assert found.num_unlabelled == 0


def test_the_decoding_of_rows_at_speeds_is_timed(twins: Twins) -> None:
    rows = [("train", row) for row in _rows(twins.sped)["train"] if row.speed == 0.9]
    framing = Framing(sample_rate=16000, window_length=400, hop_length=160)
    kind = AudioKind.of(rows[0][1])
    timed = DecodingTimer(str(twins.sped), framing)(
        DecodingTask(kinds={kind: rows}, num_threads=1, limit_s=60), lambda _: None
    )
    assert timed.kinds[kind].can_seek
    assert timed.real_time_factor({kind: KindLeft(audio_s=1.0)})


def test_who_asks_a_row_for_the_rate_of_its_file_opens_that_file(root: Path) -> None:
    """All others ask for `played_rate`, `duration_s` or `length_at`: none may forget the speed."""
    asking = {
        path.relative_to(root / "featbank").as_posix()
        for path in (root / "featbank").rglob("*.py")
        if re.search(r"\b(row|utterance)\.sample_rate\b", path.read_text(encoding="utf-8"))
    }
    assert asking == {
        "base/manifest.py",  # writes the row
        "engine/forecast/kinds.py",  # of how fast a file is decoded, and where in it
        "engine/reading.py",
        "report/clips.py",  # decodes the beginning of one
        "stability/measuring.py",  # which writes what it reads under the rate that it is played at
        "validation/profile.py",  # of the files of a version
        "withdrawal/redacted_manifests.py",  # sums up rows of a manifest, as who wrote it did
    }
