"""A store that no read accepts is refused by all that judge one, though its digests agree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.files.provenance import digest, readable_json
from featbank.store import StoreWriter, open_store, read_header
from featbank.store.shard_file import digest_around
from featbank.store.verify import verify
from tests.store.trust import run


def forge(folder: Path, **fields: Any) -> None:
    """Change fields of a header as somebody who knows the format does: with its digest."""
    path = folder / "header.json"
    found = {**json.loads(path.read_text()), **fields}
    found.pop("digest")
    path.write_text(readable_json({**found, "digest": digest(found)}))


def forge_shard(folder: Path, act: Callable[[h5py.File], object]) -> None:
    """Change the only shard of a store, and have its header vouch for it."""
    [shard] = json.loads((folder / "header.json").read_text())["shards"]
    with h5py.File(folder / shard["name"], "r+") as file:
        act(file)
        values_bytes = file["values"].size * file["values"].dtype.itemsize
    descriptor = os.open(folder / shard["name"], os.O_RDONLY)
    shard["digest"] = digest_around(descriptor, shard["values_start"], values_bytes)
    shard["num_bytes"] = os.fstat(descriptor).st_size
    os.close(descriptor)
    forge(folder, shards=[shard])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with StoreWriter(
        tmp_path / "s", name="x", dtype="int16", frame_rate=50.0, codebook_size=100
    ) as writer:
        for number in range(6):
            writer.write(f"u{number}", np.full(3, number))
    return tmp_path / "s"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("frame_rate", one) for one in (0, -50.0, 1e308, 1e-300, True, "50")],
        *[("codebook_size", one) for one in (0, -1, 1 << 60, 1.5, True)],
        *[("first_frame_center_s", one) for one in (1e308, -1e300, "0")],
        *[("shape", one) for one in ([-1], [1] * 40, [1 << 40], [1.5], [True])],
        ("num_failures", -1),
        ("dtype", "float32"),  # of tokens
        ("time_axis", 5),
        ("compression", "lzma"),
        ("numerics", [3]),
        ("num_utterances", 7),
    ],
)
def test_a_header_with_a_senseless_number_is_refused(
    folder: Path, field: str, value: object
) -> None:
    forge(folder, **{field: value})
    with pytest.raises(StoreError):
        open_store(folder)
    assert len(verify(folder).damages) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_utterances", 0),
        ("num_frames", 1 << 40),
        ("num_bytes", 1 << 63),
        ("values_start", -1),
        ("max_abs_error", -1.0),
        ("sum_abs_error", -1.0),
        ("first_id", "u9"),
        ("last_id", "u0"),
    ],
)
def test_a_shard_with_a_senseless_number_is_refused(
    folder: Path, field: str, value: object
) -> None:
    header = json.loads((folder / "header.json").read_text())
    shards = [{**header["shards"][0], field: value}]
    counts = {one: shards[0][one] for one in ("num_utterances", "num_frames")}
    forge(folder, shards=shards, **counts)
    with pytest.raises(StoreError):
        _ = open_store(folder)["u3"]
    assert len(verify(folder).damages) == 1


@pytest.mark.parametrize(("field", "value"), [("num_failures", 7), ("failures_digest", "0" * 64)])
def test_a_header_unlike_its_failure_list_is_found(folder: Path, field: str, value: object) -> None:
    forge(folder, **{field: value})
    [damage] = verify(folder).damages
    assert damage.kind == "failure list"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 5000])
def test_a_number_that_is_none_is_refused(folder: Path, number: str) -> None:
    path = folder / "header.json"
    path.write_text(path.read_text().replace('"frame_rate": 50.0', f'"frame_rate": {number}'))
    with pytest.raises(StoreError, match=r"expected a JSON object"):
        open_store(folder)


@pytest.mark.parametrize("option", ["frame_rate", "first_frame_center_s", "codebook_size"])
@pytest.mark.parametrize("value", [-1e300, float("inf"), float("nan")])
def test_a_writer_refuses_what_no_reader_accepts(tmp_path: Path, option: str, value: float) -> None:
    with pytest.raises(StoreError, match=option):
        StoreWriter(tmp_path / "s", name="x", dtype="int16", **{option: value})
    assert list(tmp_path.iterdir()) == []


def _dead_index(file: h5py.File) -> None:
    slots = file["id_slots"][:]
    slots[slots != 0] ^= 1 << 40  # tags of other ids
    file["id_slots"][...] = slots


def _repeated_id(file: h5py.File) -> None:
    ids = bytes(file["id_bytes"][:])
    file["id_bytes"][...] = np.frombuffer(ids.replace(b"u3", b"u2"), np.uint8)


def _no_utf8(file: h5py.File) -> None:
    ids = bytes(file["id_bytes"][:])
    file["id_bytes"][...] = np.frombuffer(ids.replace(b"u3", b"u\xff"), np.uint8)


def _rows_backwards(file: h5py.File) -> None:
    starts = file["row_starts"][:]
    starts[[2, 3], 0] = starts[[3, 2], 0]
    file["row_starts"][...] = starts


SHARDS = {
    "dead index": (_dead_index, "the index of its ids"),
    "repeated id": (_repeated_id, "row 3's id after 'u2'"),
    "id that is no text": (_no_utf8, "row 3's id in UTF-8"),
    "rows backwards": (_rows_backwards, "frames of row 3 after those of row 2"),
    "another name": (lambda file: file.attrs.modify("name", np.bytes_(b"y")), "name 'x'"),
    "another fingerprint": (
        lambda file: file.attrs.create("fingerprint", np.bytes_(b"z")),
        "fingerprint ''",
    ),
    "other numerics": (
        lambda file: file.attrs.create("numerics", np.bytes_(b'{"isa":"z80"}')),
        "numerics",
    ),
}


@pytest.mark.parametrize("kind", SHARDS)
def test_a_shard_that_no_read_accepts_is_found(folder: Path, kind: str) -> None:
    act, message = SHARDS[kind]
    assert verify(folder).damages == []
    forge_shard(folder, act)
    [damage] = verify(folder).damages
    assert message in str(damage)


def test_an_id_that_two_parts_or_two_splits_have_is_found(tmp_path: Path) -> None:
    for split in ("dev", "train"):
        with StoreWriter(tmp_path / split, name="x") as writer:
            for one in ("a", split, "z"):
                writer.write(one, np.zeros((2, 3), np.float32), part=one if split == "dev" else "")
    damages = verify(tmp_path).damages
    assert sorted(one for damage in damages for one in damage.ids) == ["a", "z"]
    assert all("expected it once" in str(damage) for damage in damages)


def test_a_shard_that_no_header_lists_is_found(folder: Path) -> None:
    (folder / "0123456789abcdef.h5").write_bytes(b"")
    [damage] = verify(folder).damages
    assert "expected a header that lists it" in str(damage)


# What hangs or fills the memory where it is opened as a file ends the test by a timeout.
OPENED = """
import os, sys
from pathlib import Path
from featbank.errors import StoreError
from featbank.store import open_store

folder, name, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
path = next(folder.glob(name), folder / name)
path.unlink(missing_ok=True)
os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
refused = 0
for act in (lambda store: store["u0"], lambda store: store.failures):
    try:
        act(open_store(folder))
    except StoreError as error:
        refused += str(folder) in str(error)
try:
    damages = open_store(folder).verify()
except StoreError as error:
    damages = [error]
print(refused >= 1, bool(damages))
"""


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", ["header.json", "*.h5", "failures.jsonl"])
def test_what_is_no_file_is_refused_without_waiting(folder: Path, name: str, kind: str) -> None:
    assert run(OPENED, folder, name, kind) == "True True\n"


def test_a_store_that_was_opened_by_a_relative_path_survives_a_change_of_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    store, writer = open_store(folder.name), StoreWriter("t", name="x")
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert store["u3"].tolist() == [3, 3, 3]
    assert store.verify() == []
    with writer:
        writer.write("b", np.ones((2, 3), np.float32))
        writer.write("a", np.ones((2, 3), np.float32))
    assert read_header(folder.parent / "t").num_utterances == 2
    assert list(other.iterdir()) == []
