"""Flat streams for language models, read back as nanoGPT and Megatron read them."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.errors import ConfigError
from featbank.export import export_megatron, export_nanogpt
from featbank.sequences import deduplicate, flatten
from featbank.store import Store, StoreWriter
from tests.export.conftest import NUM_CODEBOOKS, NUM_UNITS, SPLITS, Demo


def tokens_of(store: Store, one: str) -> list[int]:
    values = store[one]
    return (values if values.ndim == 1 else flatten(values, NUM_UNITS)).tolist()


def read_indexed(prefix: Path) -> tuple[list[list[int]], list[int]]:
    """Read a dataset of Megatron from the description of its format, not from what wrote it."""
    index = Path(f"{prefix}.idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    assert struct.unpack_from("<Q", index, 9) == (1,)
    dtype = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}[index[17]]
    num_sequences, num_bounds = struct.unpack_from("<QQ", index, 18)
    place = 34
    lengths = np.frombuffer(index, "<i4", num_sequences, place)
    place += 4 * num_sequences
    pointers = np.frombuffer(index, "<i8", num_sequences, place)
    place += 8 * num_sequences
    bounds = np.frombuffer(index, "<i8", num_bounds, place)
    assert place + 8 * num_bounds == len(index)
    tokens = Path(f"{prefix}.bin").read_bytes()
    sequences = [
        np.frombuffer(tokens, dtype, length, pointer).tolist()
        for length, pointer in zip(lengths, pointers, strict=True)
    ]
    assert sum(lengths) * np.dtype(dtype).itemsize == len(tokens)
    return sequences, bounds.tolist()


@pytest.mark.parametrize(
    ("name", "end"), [("units", NUM_UNITS), ("codes", NUM_UNITS * NUM_CODEBOOKS)]
)
def test_nanogpt_has_every_utterance_with_an_end_behind_it(
    demo: Demo, tmp_path: Path, name: str, end: int
) -> None:
    out = tmp_path / "out"
    export_nanogpt(demo.folder / name, out)
    for split, file in (("train", "train.bin"), ("dev", "val.bin"), ("test", "test.bin")):
        store = demo.store(name, split)
        expected = [token for one in demo.ids(split) for token in (*tokens_of(store, one), end)]
        assert np.fromfile(out / file, np.uint16).tolist() == expected
    # as nanoGPT's train.py does
    with open(out / "meta.pkl", "rb") as file_of_meta:
        assert pickle.load(file_of_meta) == {"vocab_size": end + 1}  # noqa: S301 - our own
    meta = json.loads((out / "meta.json").read_text())
    assert (meta["vocab_size"], meta["end"], meta["dtype"]) == (end + 1, end, "uint16")


@pytest.mark.parametrize(
    ("name", "end"), [("units", NUM_UNITS), ("codes", NUM_UNITS * NUM_CODEBOOKS)]
)
def test_megatron_has_a_document_an_utterance(
    demo: Demo, tmp_path: Path, name: str, end: int
) -> None:
    export_megatron(demo.folder / name, tmp_path / "out")
    for split in SPLITS:
        store, ids = demo.store(name, split), demo.ids(split)
        sequences, bounds = read_indexed(tmp_path / "out" / f"{split}_{name}_document")
        assert sequences == [[*tokens_of(store, one), end] for one in ids]
        assert bounds == list(range(len(ids) + 1))


def test_repeats_are_left_out_where_that_is_asked_for(demo: Demo, tmp_path: Path) -> None:
    export_megatron(demo.folder / "units", tmp_path / "out", deduplicate=True)
    sequences, _ = read_indexed(tmp_path / "out" / "dev_units_document")
    store = demo.store("units", "dev")
    for one, sequence in zip(demo.ids("dev"), sequences, strict=True):
        assert sequence == [*deduplicate(store[one])[0].tolist(), NUM_UNITS]


@pytest.mark.parametrize(
    ("size", "nanogpt", "megatron"),
    [
        (65498, "uint16", "uint16"),
        (65499, "uint16", "int32"),
        (65535, "uint16", "int32"),
        (65536, "uint32", "int32"),
    ],
)
def test_the_dtype_holds_the_end_and_is_the_one_that_is_read(
    tmp_path: Path, size: int, nanogpt: str, megatron: str
) -> None:
    with StoreWriter(tmp_path / "train", name="units", codebook_size=size) as writer:
        writer.write("a", np.array([0, size - 1]))
    export_nanogpt(tmp_path / "train", tmp_path / "nanogpt")
    assert np.fromfile(tmp_path / "nanogpt" / "train.bin", nanogpt).tolist() == [0, size - 1, size]
    export_megatron(tmp_path / "train", tmp_path / "megatron")
    assert read_indexed(tmp_path / "megatron" / "train_units_document")[0] == [[0, size - 1, size]]
    found = json.loads((tmp_path / "megatron" / "meta.json").read_text())["dtype"]
    assert found == megatron


def test_streams_of_other_things_are_refused(demo: Demo, tmp_path: Path) -> None:
    def refused(*stores: Any) -> str:
        with pytest.raises(ConfigError) as error:
            export_megatron(stores, tmp_path / "out")
        return str(error.value)

    assert "expected units (T,) or codes (Q, T), got float32 (T, 8)" in refused(
        demo.folder / "fbank"
    )
    assert "expected one store" in refused(demo.folder / "units", demo.folder / "codes")
    with StoreWriter(tmp_path / "one", name="units", codebook_size=9, time_axis=None) as writer:
        writer.write("a", np.array([0, 3]))
    assert "expected units (T,) or codes (Q, T), got uint8 (2)" in refused(tmp_path / "one")
    with StoreWriter(tmp_path / "unknown", name="units", dtype="uint16") as writer:
        writer.write("a", np.array([0, 3]))
    assert "expected a store that states its codebook_size" in refused(tmp_path / "unknown")
