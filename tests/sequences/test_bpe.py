from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from featbank.errors import FeatbankError
from featbank.sequences import UnitBpe

NUM_UNITS = 300


def sequences(count: int = 40) -> list[np.ndarray]:
    """Draw units of a chain that likes some successors, as speech does."""
    generator = np.random.default_rng(0)
    successors = generator.integers(0, NUM_UNITS, (NUM_UNITS, 3))
    found = []
    for _ in range(count):
        units = [int(generator.integers(NUM_UNITS))]
        while len(units) < 200:
            units.append(int(successors[units[-1], generator.integers(3)]))
        found.append(np.array(units, np.uint16))
    return found


@pytest.fixture(scope="module")
def bpe() -> UnitBpe:
    return UnitBpe.train(sequences(), num_units=NUM_UNITS, vocab_size=600)


def test_encoding_is_shorter_and_loses_nothing(bpe: UnitBpe) -> None:
    assert (bpe.num_units, bpe.vocab_size) == (NUM_UNITS, 600)
    unseen = np.random.default_rng(1).integers(0, NUM_UNITS, 500).astype(np.uint16)
    for units in [*sequences(), unseen, unseen[:0]]:
        tokens = bpe.encode(units)
        np.testing.assert_array_equal(bpe.decode(tokens), units)
        assert bpe.durations(tokens).sum() == len(units)
    seen = sequences()[0]
    assert len(bpe.encode(seen)) < 0.7 * len(seen)


def test_every_unit_is_a_token_even_if_none_was_seen() -> None:
    bpe = UnitBpe.train([np.array([1, 1])], num_units=70_000, vocab_size=70_001)
    every = np.arange(70_000)
    np.testing.assert_array_equal(bpe.encode(every), every)


def test_training_gives_the_same_merges_each_time(bpe: UnitBpe, tmp_path: Path) -> None:
    again = UnitBpe.train(iter(sequences()), num_units=NUM_UNITS, vocab_size=600)
    bpe.save(tmp_path / "a.json")
    again.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_what_was_saved_encodes_the_same(bpe: UnitBpe, tmp_path: Path) -> None:
    bpe.save(tmp_path / "bpe.json")
    loaded = UnitBpe.load(tmp_path / "bpe.json")
    assert loaded.num_units == NUM_UNITS
    for units in sequences(3):
        np.testing.assert_array_equal(loaded.encode(units), bpe.encode(units))


def test_no_merge_crosses_utterances() -> None:
    apart = UnitBpe.train([np.array([0, 1])] * 50, num_units=2, vocab_size=10)
    assert apart.vocab_size == 3  # 0, 1 and 01, never 10


@pytest.mark.parametrize("longest", [2, 3, 4])
def test_tokens_are_as_long_as_asked_and_no_longer(longest: int) -> None:
    units = np.random.default_rng(0).integers(0, 5, (20, 300))
    bpe = UnitBpe.train(units, num_units=5, vocab_size=200, max_token_length=longest)
    lengths = bpe.durations(np.arange(bpe.vocab_size))
    assert set(lengths.tolist()) == set(range(1, longest + 1))


@pytest.mark.parametrize("longest", [1, 0])
def test_tokens_no_longer_than_a_unit_are_refused(longest: int) -> None:
    with pytest.raises(FeatbankError, match=f"max_token_length: expected 2 or more.*{longest}$"):
        UnitBpe.train([np.array([0, 1])], num_units=2, vocab_size=9, max_token_length=longest)


def test_what_is_out_of_range_is_refused(bpe: UnitBpe, tmp_path: Path) -> None:
    with pytest.raises(FeatbankError, match="units: expected 0 to 299, got 300"):
        bpe.encode(np.array([300]))
    with pytest.raises(FeatbankError, match="tokens: expected 0 to 599, got -1"):
        bpe.decode(np.array([-1]))
    with pytest.raises(FeatbankError, match=r"expected \(T,\) integers, got \(2, 2\)"):
        bpe.encode(np.zeros((2, 2), int))
    with pytest.raises(FeatbankError, match="expected 1 to the vocabulary's size, 5"):
        UnitBpe.train([], num_units=6, vocab_size=5)
    with pytest.raises(FeatbankError, match="a file of UnitBpe"):
        UnitBpe.load(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(FeatbankError, match="a file of UnitBpe"):
        UnitBpe.load(tmp_path / "broken.json")


def test_a_tokenizer_of_text_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, trainers

    text = Tokenizer(models.BPE())
    text.train_from_iterator(["some words"], trainers.BpeTrainer(show_progress=False))
    text.save(str(tmp_path / "text.json"))
    with pytest.raises(FeatbankError, match="a tokenizer of something else"):
        UnitBpe.load(tmp_path / "text.json")


@pytest.mark.parametrize("numbers", [[], [0, 2], [1, 2]])
def test_a_tokenizer_with_gaps_is_refused(numbers: list[int], tmp_path: Path) -> None:
    UnitBpe.train([], num_units=2, vocab_size=2).save(tmp_path / "bpe.json")
    fields = json.loads((tmp_path / "bpe.json").read_text())
    # fewer numbers than units leave the others out
    fields["model"]["vocab"] = dict(zip(fields["model"]["vocab"], numbers, strict=False))
    (tmp_path / "bpe.json").write_text(json.dumps(fields))
    with pytest.raises(FeatbankError, match="a tokenizer of something else"):
        UnitBpe.load(tmp_path / "bpe.json")
