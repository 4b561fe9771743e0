"""Windows hold what a store holds, arranged as the forms of `featbank.sequences` would be."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from featbank.base.units import deduplicate
from featbank.dataset import (
    Delayed,
    EncodedTokens,
    Flattened,
    Mixture,
    MixtureSampler,
    Parallel,
    TokenWindows,
    WindowSampler,
)
from featbank.errors import ConfigError, StoreError
from featbank.sequences import UnitBpe, Vocabulary, undelay, unflatten
from featbank.store import Store, StoreWriter
from tests.dataset.token_stores import LENGTHS, NUM_UNITS, cut, stream_of, write_codes, write_units

PATTERNS: dict[str, Any] = {
    "flattened": Flattened(),
    "distinct": Flattened(distinct=True),
    "delayed": Delayed(pad=NUM_UNITS + 9),
    "parallel": Parallel(),
}
SPEECH = Vocabulary(
    text_size=1000,
    special=["<s>", "<audio>", "<pad>"],
    codebook_sizes=[NUM_UNITS] * 3,
    separator="<s>",
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Store]:
    """Codes by their number of codebooks; 0 for units."""
    path = tmp_path_factory.mktemp("stores")
    return {0: write_units(path / "units")} | {q: write_codes(path / str(q), q) for q in (1, 3)}


@pytest.fixture
def units(stores: dict[int, Store]) -> Store:
    return stores[0]


@pytest.fixture
def codes(stores: dict[int, Store]) -> Store:
    return stores[3]


@given(data=st.data())
def test_windows_are_the_whole_stream_cut(stores: dict[int, Store], data: Any) -> None:
    num_codebooks = data.draw(st.sampled_from([0, 1, 3]))
    name = data.draw(st.sampled_from(list(PATTERNS))) if num_codebooks else None
    length = data.draw(st.integers(1, 40) | st.just(1000))
    overlap = data.draw(st.integers(0, min(length - 1, 20)))
    top = NUM_UNITS * num_codebooks if name == "distinct" else NUM_UNITS
    begin = data.draw(st.none() | st.just(top + 3))
    padding = data.draw(st.none() | st.just(top + 4))
    store = stores[num_codebooks]
    assert len(store.shards) > 2
    stream = stream_of(store, name, separator=top, pad=NUM_UNITS + 9, begin=begin)
    expected = cut(stream, length, overlap, top if padding is None else padding)
    windows = TokenWindows(
        store,
        length,
        pattern=None if name is None else PATTERNS[name],
        begin=begin,
        padding=padding,
        overlap=overlap,
    )
    assert len(windows) == len(expected)
    assert windows.separator == top
    np.testing.assert_array_equal(windows[:], np.stack(expected))
    for index in (0, len(expected) - 1, len(expected) // 2, -1):
        np.testing.assert_array_equal(windows[index], expected[index])
    assert max(window.max() for window in expected) < windows.vocab_size


def test_a_window_of_codes_goes_back_to_the_codes(codes: Store) -> None:
    [flat] = TokenWindows(codes, 500, pattern=Flattened(distinct=True))
    [delayed] = TokenWindows(codes, 500, pattern="delayed")
    flat_parts = np.split(flat.numpy(), np.flatnonzero(flat == 3 * NUM_UNITS))
    # separators are whole columns; before each, and behind the one before it, is an utterance
    columns = np.flatnonzero((delayed == NUM_UNITS).all(axis=0))
    delayed_parts = np.split(delayed.numpy(), columns, axis=1)
    for number, utterance_id in enumerate(codes.ids):
        skipped = 1 if number else 0
        tokens = flat_parts[number][skipped:]
        np.testing.assert_array_equal(unflatten(tokens, 3, NUM_UNITS), codes[utterance_id])
        columns_of_it = delayed_parts[number][:, skipped:]
        found = undelay(columns_of_it, NUM_UNITS + 1)
        np.testing.assert_array_equal(found, codes[utterance_id])


def test_delays_of_ones_own(codes: Store) -> None:
    windows = TokenWindows(codes, 9, pattern=Delayed(delays=[4, 0, 1]))
    assert len(windows) == -(-(sum(LENGTHS) + len(LENGTHS) * 5) // 9)
    first = windows[0].tolist()
    assert first[0][:5] == [windows.numbers.pad] * 4 + [codes["u00"][0, 0]]
    assert first[1][:5] == codes["u00"][1, :5].tolist()
    with pytest.raises(Exception, match="delays: expected 3 of 0 or more"):
        TokenWindows(codes, 9, pattern=Delayed(delays=[0, 1]))


@pytest.mark.parametrize("name", ["flattened", "delayed", "parallel"])
def test_a_vocabulary_gives_ids_and_the_same_windows_are_encoded_to_them(
    codes: Store, name: str
) -> None:
    pattern = Delayed(pad="<pad>") if name == "delayed" else name
    windows = TokenWindows(codes, 20, pattern=pattern, overlap=1, vocabulary=SPEECH)
    assert (windows.separator, windows.vocab_size) == (1000, SPEECH.size)
    if name == "flattened":
        plain = TokenWindows(codes, 20, pattern=Flattened(distinct=True), overlap=1)[:]
        ids = torch.where(plain == plain.max(), 1000, plain + SPEECH.audio_offsets[0])
        assert torch.equal(windows[:], ids)
        return
    numbered = TokenWindows(codes, 20, pattern=name, overlap=1)
    pad = numbered.numbers.pad
    for index in range(len(windows)):
        ids = SPEECH.encode_audio(numbered[index], {} if pad is None else {pad: "<pad>"})
        assert torch.equal(windows[index], ids)


def test_a_window_of_units_is_encoded_as_it_is(units: Store) -> None:
    vocabulary = Vocabulary(text_size=1000, special=["<s>"], codebook_sizes=[NUM_UNITS])
    plain = TokenWindows(units, 16, overlap=1)
    windows = TokenWindows(units, 16, overlap=1, vocabulary=vocabulary)
    for index in range(len(plain)):
        ids = vocabulary.encode_audio(plain[index])
        assert torch.equal(ids, windows[index])
        assert vocabulary.encode_audio(plain[index].numpy()).tolist() == ids.tolist()
        assert torch.equal(vocabulary.decode_audio(ids), plain[index])


def test_units_in_a_vocabulary_and_the_end_of_a_text_model_between_them(units: Store) -> None:
    vocabulary = Vocabulary(text_size=1000, special=["<audio>"], codebook_sizes=[NUM_UNITS])
    windows = TokenWindows(units, 30, vocabulary=vocabulary, separator=2, begin="<audio>")
    stream = stream_of(units, None, separator=-2000, begin=-1)
    expected = np.where(stream == -2000, 2, np.where(stream == -1, 1000, stream + 1001))
    np.testing.assert_array_equal(windows[:].reshape(-1)[: len(expected)], expected)


BPE = UnitBpe.train([np.tile([1, 2, 3, 3, 4], 20)], num_units=NUM_UNITS, vocab_size=NUM_UNITS + 20)


@pytest.mark.parametrize("deduplicated", [False, True])
@pytest.mark.parametrize("encoder", [None, BPE])
def test_encoded_units_are_read_like_a_store_of_them(
    units: Store, tmp_path: Path, encoder: UnitBpe | None, deduplicated: bool
) -> None:
    if encoder is None and not deduplicated:
        with pytest.raises(ConfigError, match="an encoder, or deduplicated=True, got neither"):
            EncodedTokens(units)
        return
    size = NUM_UNITS if encoder is None else encoder.vocab_size
    with StoreWriter(tmp_path / "x", name="x", codebook_size=size, shard_bytes=120) as writer:
        for one in units.ids:
            tokens = deduplicate(units[one])[0] if deduplicated else units[one]
            writer.write(one, tokens if encoder is None else encoder.encode(tokens))
    encoded = EncodedTokens(units, encoder, deduplicated=deduplicated)
    ours = TokenWindows(encoded, 10, overlap=3)
    theirs = TokenWindows(tmp_path / "x", 10, overlap=3)
    assert torch.equal(ours[:], theirs[:])
    assert ours.vocab_size == size + 1
    again = pickle.loads(pickle.dumps(ours))  # noqa: S301 - what a spawned worker gets
    assert torch.equal(again[:], theirs[:])
    assert again.made_from() == ours.made_from() != TokenWindows(units, 10, overlap=3).made_from()
    assert sorted(WindowSampler(ours)) == [*range(len(ours))]


def test_spawned_workers_read_encoded_tokens(units: Store) -> None:
    windows = TokenWindows(EncodedTokens(units, BPE), 10)
    loader = DataLoader(windows, batch_size=4, num_workers=1, multiprocessing_context="spawn")
    assert torch.equal(torch.cat(list(loader)), windows[:])


def test_an_encoder_of_other_units_or_of_tokens_beyond_its_vocabulary_is_refused(
    units: Store, codes: Store
) -> None:
    class Wrong:
        num_units, vocab_size = NUM_UNITS, 3

        def encode(self, units: Any) -> Any:
            return units

    with pytest.raises(StoreError, match=r"utterance 'u00' in .*tokens: expected 0 to 2, got"):
        EncodedTokens(units, Wrong())
    Wrong.num_units = 7
    with pytest.raises(ConfigError, match=f"expected one of {NUM_UNITS} units, as .*, got one of"):
        EncodedTokens(units, Wrong())
    with pytest.raises(StoreError, match=r"expected one integer a frame to be encoded, got fr"):
        EncodedTokens(codes, BPE)


@pytest.mark.parametrize(
    "separator", [5, NUM_UNITS - 1, -1, -100, "<s>", 60.0, float("nan"), True, np.True_]
)
def test_a_separator_that_is_a_unit_or_no_number_is_refused(units: Store, separator: Any) -> None:
    for field in ("separator", "begin", "padding"):
        with pytest.raises(ConfigError, match=f"{field}: expected "):
            TokenWindows(units, 16, **{field: separator})


@pytest.mark.parametrize("kind", [int, np.int64, np.uint16, torch.tensor])
def test_a_separator_may_be_any_integer_beside_the_units(
    units: Store, kind: Callable[[int], Any]
) -> None:
    windows = TokenWindows(units, 16, separator=kind(NUM_UNITS + 5))
    assert (windows.separator, type(windows.separator)) == (NUM_UNITS + 5, int)
    assert windows.vocab_size == NUM_UNITS + 6


def test_numbers_of_codes_end_where_the_pattern_ends_them(codes: Store) -> None:
    taken = 2 * NUM_UNITS  # a code of the third codebook where each has numbers of its own
    assert TokenWindows(codes, 9, pattern="flattened", separator=taken).separator == taken
    with pytest.raises(ConfigError, match="separator: expected a number that is no unit: 150 or"):
        TokenWindows(codes, 9, pattern=Flattened(distinct=True), separator=taken)
    with pytest.raises(ConfigError, match="pad of delayed codes: expected a number that is no un"):
        TokenWindows(codes, 9, pattern=Delayed(pad=0))


def test_what_a_vocabulary_has_no_place_for_is_refused(units: Store, codes: Store) -> None:
    one = Vocabulary(text_size=9, special=["<s>", "<t>"], codebook_sizes=[NUM_UNITS])
    for separator, message in (
        (None, "separator in a vocabulary: expected '<s>' or '<t>', or an id below 11, got none"),
        ("<e>", "expected '<s>' or '<t>', or an id below 11, got <e>"),
        (11, "expected an id below 11: no audio, got 11"),
        (-1, "separator in a vocabulary: expected a number that is no unit"),
        (True, "separator in a vocabulary: expected an integer, got True"),
    ):
        with pytest.raises(ConfigError, match=message):
            TokenWindows(units, 9, vocabulary=one, separator=separator)
    with pytest.raises(ConfigError, match=r"codebook_sizes of the vocabulary: expected \[50, 50"):
        TokenWindows(codes, 9, pattern="parallel", vocabulary=one, separator="<s>")
    bare = Vocabulary(text_size=9, codebook_sizes=[NUM_UNITS])
    with pytest.raises(ConfigError, match=r"expected an id below 9, got none; Vocabulary\(special"):
        TokenWindows(units, 9, vocabulary=bare)
    other = Vocabulary(special=["<s>"], codebook_sizes=[NUM_UNITS + 1])
    with pytest.raises(ConfigError, match=r"expected \[50\], got \[51\]"):
        TokenWindows(units, 9, vocabulary=other, separator="<s>")
    with pytest.raises(
        ConfigError, match="pad of delayed codes in a vocabulary: expected '<s>' or"
    ):
        TokenWindows(codes, 9, pattern="delayed", vocabulary=SPEECH)


def test_a_store_that_does_not_state_its_codebook_is_held_against_what_somebody_says(
    tmp_path: Path,
) -> None:
    unstated = write_units(tmp_path / "x", codebook_size=None)
    with pytest.raises(ConfigError, match="separator: expected a number, got none, and the store"):
        TokenWindows(unstated, 16)
    for options in ({"separator": NUM_UNITS}, {"codebook_size": NUM_UNITS}):
        windows = TokenWindows(unstated, 16, **options)  # type: ignore[arg-type]
        stream = stream_of(unstated, None, separator=NUM_UNITS)
        assert windows[:].reshape(-1)[: len(stream)].tolist() == stream.tolist()
    small = Vocabulary(special=["<s>"], codebook_sizes=[3], separator="<s>")
    for options in ({"separator": 3}, {"codebook_size": 3}, {"vocabulary": small}):
        windows = TokenWindows(unstated, 16, **options)  # type: ignore[arg-type]
        with pytest.raises(StoreError, match=r"utterance 'u00' in .*: expected units below 3"):
            windows[0]


def test_codebooks_of_several_sizes_are_held_against_their_own(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "x", name="x", dtype="uint16", time_axis=-1) as writer:
        writer.write("a", np.array([[0, 1, 2], [7, 8, 9]]))
        writer.write("b", np.array([[3, 1, 2], [7, 8, 9]]))
    vocabulary = Vocabulary(special=["<s>"], codebook_sizes=[3, 10])
    windows = TokenWindows(tmp_path / "x", 4, pattern="parallel", vocabulary=vocabulary)
    assert windows[0].tolist() == [[1, 2, 3, 0], [11, 12, 13, 0]]
    with pytest.raises(
        StoreError, match=r"utterance 'b' in .*: expected units below 3 or 10, got 3"
    ):
        windows[1]


def test_the_order_of_windows_follows_from_their_numbers_whatever_they_were_asked_by(
    codes: Store,
) -> None:
    def made_from(pattern: Any) -> str:
        return TokenWindows(codes, 9, pattern=pattern).made_from()

    pad = NUM_UNITS + 1
    assert made_from("delayed") == made_from(Delayed(pad=np.int64(pad), delays=None))  # type: ignore[arg-type]
    assert made_from(Delayed(delays=[0, 1, 2])) == made_from(Delayed(delays=np.arange(3)))  # type: ignore[arg-type]
    assert len({*map(made_from, [*PATTERNS.values(), Delayed(), Delayed(delays=[1, 1, 1])])}) == 6


def test_a_codebook_size_against_the_header_is_refused(units: Store) -> None:
    with pytest.raises(
        ConfigError, match="codebook_size: expected 50, as the store states, got 60"
    ):
        TokenWindows(units, 16, codebook_size=60)


@pytest.mark.parametrize("number", [-1, 3.0, "3", None, True])
def test_lengths_that_are_no_integers_are_refused(units: Store, number: Any) -> None:
    with pytest.raises(ConfigError, match="window_length: expected an integer of 1 or more, got"):
        TokenWindows(units, number)
    with pytest.raises(ConfigError, match="overlap of windows: expected an integer of 0 or more"):
        TokenWindows(units, 16, overlap=number)
    if number is not None:
        with pytest.raises(ConfigError, match="codebook_size: expected an integer of 1 or more"):
            TokenWindows(units, 16, codebook_size=number)


def test_codes_need_a_pattern_and_units_take_none(units: Store, codes: Store) -> None:
    with pytest.raises(ConfigError, match=r'there are 3 codes a frame; say pattern="delayed"'):
        TokenWindows(codes, 16)
    with pytest.raises(ConfigError, match="expected one of flattened, delayed, parallel, or a"):
        TokenWindows(codes, 16, pattern="delay")
    with pytest.raises(ConfigError, match="pattern of codes: expected none, for there is one tok"):
        TokenWindows(units, 16, pattern="flattened")


def test_what_holds_no_tokens_is_refused(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "x", name="x") as writer:
        writer.write("a", np.zeros((2, 3), np.float32))
    with pytest.raises(StoreError, match=r"expected integers: one a frame, or one a codebook, got"):
        TokenWindows(tmp_path / "x", 16)


def test_splits_are_not_joined_unless_somebody_says_so(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("test", 5)):
        with StoreWriter(tmp_path / split, name="units", codebook_size=9) as writer:
            writer.write(split, np.arange(first, first + 3))
    with pytest.raises(ConfigError, match='got none, and there are test, train; say split="train"'):
        TokenWindows(tmp_path, 4)
    assert TokenWindows(tmp_path, 4, split="train")[:].tolist() == [[0, 1, 2, 9]]
    both = TokenWindows(tmp_path, 4, split=["train", "test"])
    assert both[:].tolist() == [[0, 1, 2, 9], [5, 6, 7, 9]]
    encoded = EncodedTokens(tmp_path, deduplicated=True, split="test")
    assert TokenWindows(encoded, 4)[:].tolist() == [[5, 6, 7, 9]]


def test_of_a_choice_that_merged_runs_the_units_are_read(tmp_path: Path) -> None:
    for name, values in (("units", [5, 6]), ("durations", [1, 9])):
        with StoreWriter(tmp_path / name / "train", name=name, codebook_size=10) as writer:
            writer.write("a", np.array(values))
    assert TokenWindows(tmp_path, 4)[:].tolist() == [[5, 6, 10, 10]]
    assert TokenWindows(tmp_path, 4, split="train")[:].tolist() == [[5, 6, 10, 10]]


def test_windows_by_id_say_what_works_and_that_works(units: Store) -> None:
    windows = TokenWindows(units, 7, overlap=2)
    with pytest.raises(
        TypeError, match=r"got 'u03'; windows.store\[id\] reads an utterance, windo"
    ):
        windows["u03"]  # type: ignore[index]
    stream = stream_of(units, None, separator=NUM_UNITS)
    ends = np.flatnonzero(stream == NUM_UNITS) + 1
    for row, one in enumerate(units.ids):
        start, stop = (ends[row - 1] if row else 0), ends[row]
        expected = [n for n in range(len(windows)) if n * 5 < stop and n * 5 + 7 > start]
        assert [*windows.containing(one)] == expected


def test_windows_take_integers_of_any_library_and_slices(units: Store) -> None:
    windows = TokenWindows(units, 7)
    for index in (np.int64(2), torch.tensor(2), np.uint8(2), 2 - len(windows)):
        assert torch.equal(windows[index], windows[2])
    assert torch.equal(windows[1:4], torch.stack([windows[1], windows[2], windows[3]]))
    assert torch.equal(windows[::-1][0], windows[-1])
    assert windows[3:3].shape == (0, 7)
    for index in (len(windows), -len(windows) - 1):
        with pytest.raises(IndexError, match="expected an index within"):
            windows[index]


def test_windows_are_mixed_by_their_tokens(units: Store, codes: Store) -> None:
    num_frames = sum(LENGTHS)
    windows = {
        "units": TokenWindows(units, 9, overlap=3),
        "flat": TokenWindows(codes, 9, pattern="flattened"),
        "delayed": TokenWindows(codes, 9, pattern="delayed", begin=NUM_UNITS + 5),
    }
    assert Mixture(windows).num_tokens() == {
        "units": num_frames + len(LENGTHS),
        "flat": 3 * num_frames + len(LENGTHS),
        "delayed": 3 * (num_frames + 4 * len(LENGTHS)),
    }
    state = MixtureSampler(Mixture(windows), by="tokens").state_dict()
    other = windows | {"units": TokenWindows(units, 9, overlap=2)}
    with pytest.raises(ConfigError, match="state of a sampler"):
        MixtureSampler(Mixture(other), by="tokens").load_state_dict(state)


def test_windows_pickle_as_the_path_of_their_store(codes: Store) -> None:
    windows = TokenWindows(codes, 9, pattern=Delayed())
    windows[0]
    pickled = pickle.dumps(windows)
    assert len(pickled) < 2500
    assert torch.equal(pickle.loads(pickled)[:], windows[:])  # noqa: S301
