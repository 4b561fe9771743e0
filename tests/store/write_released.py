"""Writes stores and what goes with them as a release does, for those after it to read.

    python -m tests.store.write_released tests/store/released/0.2.0

writes them with the featbank that is imported. What a release wrote stays as it is: a folder comes
with a release, and none is ever written again. The values are formulas, not random numbers, so
that nobody's generator decides them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from featbank.base.failures import Failure
from featbank.base.framing import Framing
from featbank.base.manifest import Utterance, write_manifest
from featbank.feature_io.cmvn_file import Cmvn, write_cmvn
from featbank.files.provenance import readable_json
from featbank.store import Store, StoreWriter, commit_together, open_store
from featbank.tokenizers.codebook_file import write_codebook

LENGTHS = {"anna/0001": 3, "anna/0002": 0, "bert/0001": 5, "bert/0002": 2}
"""Frames of each utterance, by its id: one has none."""

SPLITS = {"train": ("anna/0001", "anna/0002"), "dev": ("bert/0001", "bert/0002")}
COMPRESSED = "zstd"
"""The one store whose bytes are those of another library, whose versions may compress better."""

_GRID = Framing(sample_rate=16000, window_length=400, hop_length=160, snip_edges=False)
_MADE_BY = {
    "fingerprint": "00" * 32,
    "provenance": {"made by": "tests/store/write_released.py", "of": ["formulas"]},
    "numerics": {"device": "cpu", "num_threads": 1},
}
_FRAMES = {"framing": _GRID, "frame_rate": 100.0, "first_frame_center_s": 0.005}
_STORES: dict[str, dict[str, Any]] = {
    "bfloat16": {"dtype": "bfloat16", **_FRAMES},
    "int8_scaled": {"dtype": "int8_scaled", **_FRAMES},
    COMPRESSED: {"dtype": "float32", "compression": COMPRESSED, **_FRAMES},
    "vectors": {"dtype": "float32", "time_axis": None},
    "units": {"codebook_size": 500, "frame_rate": 50.0},
    "codes": {"codebook_size": 1024, "time_axis": -1, "frame_rate": 12.5},
}


def values_of(store: str, utterance_id: str) -> np.ndarray:
    """Return what is written of an utterance: floats around zero, or tokens."""
    place, num_frames = list(LENGTHS).index(utterance_id), LENGTHS[utterance_id]
    if store in ("units", "codes"):
        shape = (num_frames,) if store == "units" else (2, num_frames)
        steps = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
        return (steps * 7919 + place * 104_729) % _STORES[store]["codebook_size"]
    shape = (4,) if store == "vectors" else (num_frames, 4)
    steps = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    # thirds have no end in binary: narrower types must round them
    return (((steps * 7919 + place * 104_729) % 2001 - 1000) / 3).astype(np.float32)


def input_digest_of(utterance_id: str) -> bytes:
    """Return what stands for the audio of an utterance."""
    return sha256(utterance_id.encode()).digest()[:16]


def write_all(folder: Path) -> None:
    """Write everything below a folder."""
    for make in (_write_splits, _write_stores, _write_manifest, _write_codebooks, _write_cmvn):
        make(folder)
    expected = {name: _digests(open_store(folder / name)) for name in ("float16", *_STORES)}
    (folder / "expected.json").write_text(readable_json(expected), encoding="utf-8")


def _digests(store: Store) -> dict[str, str]:
    return {utterance_id: digest_of(store[utterance_id]) for utterance_id in store.ids}


def digest_of(values: np.ndarray) -> str:
    """Return a type, a shape and a digest of some values, as one text."""
    data = sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
    return f"{values.dtype.str} {list(values.shape)} {data}"


def _write_splits(folder: Path) -> None:
    """Write a store of two splits, published together; one utterance failed."""
    writers = []
    for split, ids in SPLITS.items():
        writer = StoreWriter(
            folder / "float16" / split, name="float16", dtype="float16", **_FRAMES, **_MADE_BY
        )
        _write_rows(writer, "float16", ids)
        if split == "dev":
            writer.fail(Failure(id="carl/0001", audio="carl.wav", error="no audio", kind="empty"))
        writers.append(writer)
    commit_together(writers)


def _write_stores(folder: Path) -> None:
    for name, options in _STORES.items():
        with StoreWriter(folder / name, name=name, **options, **_MADE_BY) as writer:
            _write_rows(writer, name, LENGTHS)


def _write_rows(writer: StoreWriter, name: str, ids: Iterable[str]) -> None:
    for utterance_id in ids:
        part = "second" if utterance_id.startswith("bert") and name == "bfloat16" else ""
        digest = input_digest_of(utterance_id)
        writer.write(utterance_id, values_of(name, utterance_id), digest, part)


def utterances() -> list[Utterance]:
    """Return the rows of the manifest: one plain, one with all that a row may say."""
    plain = Utterance(
        id="anna/0001",
        audio="anna/0001.flac",
        audio_digest="md5:" + "1a" * 16,
        sample_rate=16000,
        num_samples=480,
    )
    full = Utterance(
        id="bert/0001",
        audio="bert.tar!/0001.wav@512+1680",
        audio_digest="sha256:" + "2b" * 32,
        sample_rate=44100,
        num_samples=1680,
        start_sample=7,
        channel=1,
        speaker="bert",
        language="de",
        text="Grüß Gott, “Welt”",
        part="second",
        speed=0.9,
        license="CC-BY-4.0",
        consent="research",
    )
    return [plain, full]


def _write_manifest(folder: Path) -> None:
    write_manifest(folder / "train.jsonl", utterances())


def centroids(*shape: int) -> np.ndarray:
    """Return centroids of a shape."""
    return (np.arange(int(np.prod(shape)), dtype=np.float32) / 3).reshape(shape)


CODEBOOKS = {"kmeans.safetensors": (4, 2), "rvq.safetensors": (2, 4, 2)}


def _write_codebooks(folder: Path) -> None:
    for name, shape in CODEBOOKS.items():
        write_codebook(folder / name, centroids(*shape), {"fitted_on": {"seed": 0}})


def statistics() -> Cmvn:
    """Return means and variances of two speakers, and of all frames."""
    return Cmvn(
        speakers=("anna", "bert"),
        num_frames=np.array([10, 3, 7]),
        means=np.arange(12, dtype=np.float64).reshape(3, 4) / 3,
        variances=np.arange(12, dtype=np.float64).reshape(3, 4) / 7,
        provenance={"by": "speaker", "fingerprint": "00" * 32},
    )


def _write_cmvn(folder: Path) -> None:
    write_cmvn(folder / "cmvn.safetensors", statistics())


if __name__ == "__main__":
    [to] = sys.argv[1:]
    write_all(Path(to))
