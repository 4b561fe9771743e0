"""Stores and manifests without some utterances: what is not theirs stays byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from featbank.base.failures import Failure
from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.errors import StoreError
from featbank.files.provenance import readable_json, write_atomic
from featbank.store import StoreWriter, commit_together, open_store, open_verified
from featbank.store.format import FORMAT_VERSION
from featbank.store.verify import verify
from featbank.withdrawal.redacted_manifests import redact_manifests
from featbank.withdrawal.redacted_output import parts_of, redact_output
from tests.extracting import files
from tests.store.trust import make_rows

IDS = [f"s{number % 4}-{number:02d}" for number in range(40)]
THEIRS = {one for one in IDS if one.startswith("s1")} | {"s1-failed"}


def _output(folder: Path, **options: object) -> None:
    """Two splits of one feature, of several shards each; somebody is in all of them."""
    rows = dict(zip(sorted(IDS), make_rows(len(IDS)).values(), strict=True))
    writers = []
    for split in ("dev", "train"):
        writer = StoreWriter(folder / split, name="x", shard_bytes=2000, **options)  # type: ignore[arg-type]
        for number, (one, values) in enumerate(rows.items()):
            if (number % 5 == 0) == (split == "dev"):
                writer.write(one, values, input_digest=bytes(15) + bytes([number + 1]))
        writer.fail(Failure(id=f"s1-failed-{split}", audio="a.wav", error="it is empty"))
        writer.fail(Failure(id=f"s2-failed-{split}", audio="b.wav", error="it is empty"))
        writers.append(writer)
    commit_together(writers)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8_scaled"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_an_output_without_somebody_is_whole_and_the_rest_of_it_is_the_same(
    tmp_path: Path, dtype: str, compression: str | None
) -> None:
    output, work = tmp_path / "output", tmp_path / "work"
    _output(output, dtype=dtype, compression=compression)
    ids = THEIRS | {"s1-failed-dev", "s1-failed-train"}
    before = files(output)
    held = {
        name: "shard" if name.endswith(".h5") else "failures"
        for name, data in before.items()
        if name.endswith((".h5", ".jsonl")) and b"s1-" in data
    }
    parts = parts_of(before, held)
    changed = redact_output(before, parts, ids, lambda path: output / path, work)
    assert held.keys() <= changed.keys()
    made = tmp_path / "made"
    after = before | {name: path.read_bytes() for name, path in changed.items() if path}
    for name in after.keys() - {name for name, path in changed.items() if not path}:
        write_atomic(made / name, after[name])
    found = files(made)
    assert not [name for name, data in found.items() if b"s1-" in data]
    kept = {name for name in found if before.get(name) == found[name]}
    assert any(name.endswith(".h5") for name in kept)
    assert verify(made).damages == []
    old, new = open_store(output), open_verified(made)
    assert list(new) == [one for one in old if one not in ids]
    assert [one.id for one in new.failures] == ["s2-failed-dev", "s2-failed-train"]
    for one in new:
        assert np.array_equal(new[one], old[one])
        assert new.input_digest(one) == old.input_digest(one)
    assert new.header.fingerprint == old.header.fingerprint


def test_what_is_no_store_is_stuck_and_audio_goes_as_it_is() -> None:
    output = {"a.wav": "audio", "b/header.json": "text", "b/x.txt": "text", "": "check"}
    parts = parts_of(output, {"a.wav": "audio", "b/x.txt": "text", "": "check"})
    assert parts.audio == ("a.wav",)
    assert parts.stuck == ("b/x.txt", "")


def test_a_store_of_an_older_format_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "output"
    _output(output)
    header = output / "dev" / "header.json"
    older = f'"format_version": {FORMAT_VERSION - 1}'
    text = header.read_text().replace(f'"format_version": {FORMAT_VERSION}', older)
    header.write_text(text)
    names = files(output)
    shard = next(name for name in names if name.startswith("dev/") and name.endswith(".h5"))
    parts = parts_of(names, {shard: "shard"})
    with pytest.raises(StoreError, match="format_version"):
        redact_output(names, parts, THEIRS, lambda path: output / path, tmp_path / "work")


def test_manifests_without_somebody_count_anew_and_name_nobody(tmp_path: Path) -> None:
    before, behind = tmp_path / "before", tmp_path / "behind"
    before.mkdir()
    rows = [
        Utterance(
            id=one, audio=f"{one}.wav", audio_digest=f"sha256:{one}", sample_rate=16000,
            num_samples=16000, speaker=one[:2], text="words",
        )
        for one in sorted(IDS)
    ]  # fmt: skip
    for split, some in (("train", rows[::2]), ("test", rows[1::2])):
        write_manifest(before / f"{split}.jsonl", some)
    upsampled = {"count": 2, "examples": ["s1-01.wav", "s2-02.wav"], "means": "words"}
    summary = {
        "name": "c", "num_failures": 0, "num_clipped": 3, "sample_rates": {},
        "splits": {"test": {}, "train": {}}, "warnings": {"upsampled": upsampled},
    }  # fmt: skip
    write_atomic(before / "corpus.json", readable_json(summary))
    redact_manifests(before, THEIRS, behind)
    for split in ("train", "test"):
        lines = (before / f"{split}.jsonl").read_bytes().splitlines()
        kept = [line for line in lines if b'"s1' not in line]
        assert (behind / f"{split}.jsonl").read_bytes().splitlines() == kept
    said = json.loads((behind / "corpus.json").read_text())
    num_left = len(read_manifest(behind / "train.jsonl"))
    assert said["splits"]["train"]["utterances"] == num_left
    assert said["num_forgotten"] == 10
    assert said["num_clipped"] == 3
    assert said["warnings"]["upsampled"]["examples"] == ["s2-02.wav"]
    assert said["warnings"]["speakers_in_several_splits"]["count"] == 3
    assert not [name for name, data in files(behind).items() if b"s1" in data]
