"""Whatever is written comes back: any id, shape, dtype, axis, compression and order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from featbank.base.manifest import check_id
from featbank.errors import StoreError
from featbank.store import Store, StoreWriter, open_store
from tests.store.trust import Rows, files, make_rows, write

SEGMENTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=9
).filter(lambda segment: segment not in (".", ".."))
IDS = (
    st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)
    | st.integers(200, 5000).map(lambda length: "long/" + "語" * length)
    | st.sampled_from(["...", " ", "a b", "-", "a.h5", "header.json", "e\u0301", "é", "\u202ex"])
)
SHAPES = st.lists(st.integers(1, 3), max_size=2).map(tuple)
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
EXACT = ["float16", "float32", "float64", *INTEGERS]
FLOAT32 = {"allow_nan": False, "allow_infinity": False, "width": 32}

folders = pytest.fixture(lambda tmp_path_factory: lambda: tmp_path_factory.mktemp("t") / "s")
several = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def bits(array: np.ndarray) -> tuple[Any, ...]:
    """Return all that tells two arrays apart, NaN and -0.0 included."""
    return array.dtype.name, array.shape, array.tobytes()


@st.composite
def any_rows(draw: st.DrawFn, dtype: str, shape: tuple[int, ...], ids: int = 8) -> Rows:
    """Draw rows of any bit pattern of a dtype."""
    names = draw(st.lists(IDS, unique=True, max_size=ids))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = {}
    for name in names:
        size = (draw(st.integers(0, 5)), *shape)
        rows[name] = rng.integers(0, 256, (*size, np.dtype(dtype).itemsize), np.uint8)
        rows[name] = rows[name].reshape(-1).view(dtype).reshape(size)
    return rows


@several
@given(data=st.data(), dtype=st.sampled_from(EXACT), shape=SHAPES)
def test_any_bits_come_back_as_they_were(
    folders: Any, data: Any, dtype: str, shape: tuple[int, ...]
) -> None:
    rows = data.draw(any_rows(dtype, shape))
    options = {"dtype": dtype, "shape": shape, "shard_bytes": 300, "allow_nonfinite": True}
    store = write(folders(), rows, **options)
    for name in data.draw(st.permutations(list(rows))):
        assert bits(store[name]) == bits(rows[name])
    assert list(store.ids) == sorted(rows)
    assert (store.dtype, store.shape, len(store)) == (np.dtype(dtype), shape, len(rows))
    assert store.num_frames_total == sum(map(len, rows.values()))
    assert list(store.frame_counts) == [len(rows[name]) for name in store.ids]
    assert store.verify() == []


@several
@given(
    utterance_id=st.text(max_size=30) | IDS | st.binary(max_size=9).map(lambda b: b.decode("l1"))
)
def test_an_id_is_kept_to_the_letter_or_refused(folders: Any, utterance_id: str) -> None:
    path = folders()
    try:
        check_id(utterance_id)
        good = True
    except Exception:  # noqa: BLE001 - that it is refused is all that counts here
        good = False
    with StoreWriter(path, name="x", dtype="uint8") as writer:
        writer.write("a-first", np.zeros(1, np.uint8))
        if good and utterance_id != "a-first":
            writer.write(utterance_id, np.full(2, 7, np.uint8))
        else:
            with pytest.raises(StoreError):
                writer.write(utterance_id, np.full(2, 7, np.uint8))
        writer.write("z-last", np.zeros(3, np.uint8))  # a refusal harms no other row
    store = open_store(path)
    assert list(store.ids) == sorted({"a-first", "z-last"} | ({utterance_id} if good else set()))
    assert list(path.parent.iterdir()) == [path]
    if good:
        assert utterance_id in store
        assert store[utterance_id].tolist() == [7, 7]


def test_a_refused_duplicate_leaves_the_first_as_it_was(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="x", dtype="uint8") as writer:
        for number, name in enumerate(["b", "a", "c"]):
            writer.write(name, np.full(3, number, np.uint8))
        for name in ("a", "b", "c"):
            with pytest.raises(StoreError, match="expected one write, got a second one"):
                writer.write(name, np.full(5, 9, np.uint8))
    store = open_store(tmp_path / "s")
    assert [store[name].tolist() for name in "abc"] == [[1] * 3, [0] * 3, [2] * 3]


def test_a_tensor_of_bfloat16_comes_back_bit_for_bit(tmp_path: Path) -> None:
    tensor = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    store = write(tmp_path / "s", {"a": tensor}, dtype="bfloat16")
    np.testing.assert_array_equal(store["a"], tensor.float().numpy())
    assert store.header.max_abs_error == 0


@several
@given(
    values=arrays.arrays(
        np.float32,
        st.one_of(*(st.tuples(st.integers(0, 6), *map(st.just, s)) for s in [(), (3,), (2, 2)])),
        elements=st.floats(**FLOAT32) | st.floats(-8, 8, width=32) | st.just(0.0),
    )
)
def test_scaled_int8_errs_by_half_a_step_of_its_dimension(folders: Any, values: np.ndarray) -> None:
    values = np.clip(values, -3.4e38, 3.4e38)  # the last few before infinity are refused
    # another utterance with other values must not matter: the scale is the utterance's own
    rows = {"a": values, "b": np.full((2, *values.shape[1:]), 3e38, np.float32)}
    store = write(folders(), rows, dtype="int8_scaled")
    found = store["a"]
    assert (found.dtype, found.shape) == (np.float32, values.shape)
    peaks = np.abs(values).max(0, initial=0).astype(np.float64)
    errors = np.abs(found.astype(np.float64) - values.astype(np.float64))
    # the scale itself is a float32: one part in 10 million, and 127 of it below the normal ones
    assert (errors <= peaks / 254 * (1 + 1e-5) + 127 * 2.0**-150).all()
    for left in range(len(values) + 1):
        np.testing.assert_array_equal(store.read("a", left), found[left:])
    assert store.verify() == []


@several
@given(data=st.data(), codebooks=st.integers(1, 4))
def test_codes_come_back_with_time_last(folders: Any, data: Any, codebooks: int) -> None:
    rows = {name: values.T for name, values in data.draw(any_rows("uint16", (codebooks,))).items()}
    store = write(folders(), rows, dtype="uint16", time_axis=-1, shape=(codebooks,))
    for name, codes in rows.items():
        assert bits(np.ascontiguousarray(store[name])) == bits(np.ascontiguousarray(codes))
        assert store.num_frames(name) == codes.shape[1]
        left = data.draw(st.integers(0, codes.shape[1]))
        right = data.draw(st.integers(left, codes.shape[1]))
        np.testing.assert_array_equal(store.read(name, left, right), codes[:, left:right])


@pytest.mark.parametrize("compression", ["zstd", "blosc"])
@several
@given(data=st.data(), dtype=st.sampled_from(["float32", "uint16", "bfloat16", "int8_scaled"]))
def test_a_compressed_store_reads_like_a_plain_one(
    folders: Any, compression: str, data: Any, dtype: str
) -> None:
    pytest.importorskip("hdf5plugin")
    exact = dtype if dtype == "uint16" else "float32"
    rows = {
        name: values if exact == "uint16" else np.nan_to_num(values, posinf=0, neginf=0) % 100
        for name, values in data.draw(any_rows(exact, (3,))).items()
    }
    options = {"dtype": dtype, "shape": (3,), "shard_bytes": 300}
    plain = write(folders(), rows, **options)
    packed = write(folders(), rows, compression=compression, **options)
    assert packed.header.compression == compression
    assert list(packed.ids) == list(plain.ids)
    for name, values in rows.items():
        assert bits(packed[name]) == bits(plain[name])
        left = data.draw(st.integers(0, len(values)))
        np.testing.assert_array_equal(packed.read(name, left), plain.read(name, left))
    assert packed.verify() == []


@pytest.mark.parametrize("compression", ["zstd", "blosc"])
def test_compression_saves_what_it_can(tmp_path: Path, compression: str) -> None:
    pytest.importorskip("hdf5plugin")
    rows = {"a": np.zeros((20000, 8), np.float32)}
    store = write(tmp_path / "s", rows, compression=compression)
    assert sum(map(len, files(tmp_path / "s").values())) < 64000
    np.testing.assert_array_equal(store["a"], rows["a"])


STORAGE: list[dict[str, Any]] = [
    {},
    {"dtype": "bfloat16"},
    {"dtype": "int8_scaled"},
    {"time_axis": -1},
    {"compression": "zstd"},
    {"compression": "blosc"},
    {"shard_bytes": 1},
]


@pytest.mark.parametrize("options", STORAGE, ids=str)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_order_of_writes_gives_the_same_bytes(
    folders: Any, options: dict[str, Any], data: Any
) -> None:
    if "compression" in options:
        pytest.importorskip("hdf5plugin")
    rows = make_rows(30)
    if options.get("time_axis"):
        rows = {name: values.T for name, values in rows.items()}
    first, second = folders(), folders()
    storage = {"shard_bytes": 800, **options}  # several shards of the narrowest dtype
    write(first, rows, **storage)
    # nearly in order, as an extraction with two workers gives them, or in any order
    names = list(rows)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(names) - 2))
        names[at], names[at + 1] = names[at + 1], names[at]
    else:
        names = data.draw(st.permutations(names))
    write(second, {name: rows[name] for name in names}, **storage)
    assert files(first) == files(second)
    assert len(files(first)) > 3


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, Store]:
    rows = make_rows(50)
    return rows, write(tmp_path_factory.mktemp("plain") / "s", rows)


@several
@given(data=st.data())
def test_any_slices_in_any_order_are_numpys(plain: tuple[Rows, Store], data: Any) -> None:
    rows, store = plain
    for _ in range(data.draw(st.integers(1, 9))):
        name = data.draw(st.sampled_from(list(rows)))
        left = data.draw(st.integers(-2, 22))
        right = data.draw(st.none() | st.integers(-2, 22))
        values = rows[name]
        read = store.read(name, left, right)
        assert bits(read) == bits(values[left:right])
        assert not read.flags.writeable
        stop = len(values) if right is None else right
        if 0 <= left <= stop <= len(values):
            assert bits(store.read(name, left, right, strict=True)) == bits(read)
        else:
            with pytest.raises(StoreError, match=f"'{name}' .*expected offsets within its"):
                store.read(name, left_offset_frames=left, right_offset_frames=right, strict=True)


@several
@given(data=st.data(), padding=st.sampled_from([0, -1.5, np.nan]))
def test_a_batch_is_padded_as_by_hand(plain: tuple[Rows, Store], data: Any, padding: float) -> None:
    rows, store = plain
    names = data.draw(st.lists(st.sampled_from(list(rows)), min_size=1, max_size=9))
    padded, lengths = store.read_batch(names, padding_value=padding)
    assert lengths.dtype == np.int64
    assert lengths.tolist() == [len(rows[name]) for name in names]
    expected = np.full((len(names), max(lengths), 8), padding, np.float32)
    for number, name in enumerate(names):
        expected[number, : len(rows[name])] = rows[name]
    assert bits(padded) == bits(expected)
    padded[:] = 1  # it is the caller's own


def test_the_ids_are_a_sequence_that_reads_as_it_goes(plain: tuple[Rows, Store]) -> None:
    rows, store = plain
    ids, expected = store.ids, sorted(rows)
    assert len(ids) == len(expected)
    assert [ids[number] for number in range(-50, 50)] == expected * 2
    assert list(ids[3:40:7]) == expected[3:40:7]
    assert list(ids[::-1]) == expected[::-1]
    assert ("u0003" in ids, "nobody" in ids) == (True, False)
    for outside in (50, -51):
        with pytest.raises(IndexError):
            ids[outside]


def test_the_shards_together_are_the_store(plain: tuple[Rows, Store]) -> None:
    rows, store = plain
    assert len(store.shards) > 3
    found: Rows = {}
    for number, info in enumerate(store.shards):
        shard = store.open_shard(number)
        assert (len(shard), shard.num_frames) == (info.num_utterances, info.num_frames)
        starts = shard.frame_starts
        assert (starts.dtype, len(starts), starts[0], starts[-1]) == (
            np.int64,
            len(shard) + 1,
            0,
            shard.num_frames,
        )
        for row in range(len(shard)):
            found[shard.id(row)] = shard.values(range(int(starts[row]), int(starts[row + 1])))
    assert list(found) == list(store.ids)
    assert all(bits(found[name]) == bits(values) for name, values in rows.items())


def test_what_a_header_says_is_json_that_anybody_can_parse(plain: tuple[Rows, Store]) -> None:
    _, store = plain
    text = (store.storage_path / "header.json").read_text(encoding="utf-8")
    fields = json.loads(text, parse_constant=pytest.fail)
    assert fields["format"] == "featbank-store"
