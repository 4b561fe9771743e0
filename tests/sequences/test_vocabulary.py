from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from featbank.errors import FeatbankError
from featbank.sequences import Vocabulary

SPEECH = Vocabulary(
    text_size=100, special=["<audio>", "</audio>", "<pad>"], codebook_sizes=[8, 4], multiple=64
)


def test_blocks_lie_behind_each_other_without_a_gap() -> None:
    blocks = list(SPEECH)
    assert [name for name, _ in blocks] == [
        *("text", "<audio>", "</audio>", "<pad>", "audio 0", "audio 1"),
    ]
    ids = [number for _, block in blocks for number in block]
    assert ids == list(range(SPEECH.num_tokens)) == list(range(115))
    assert SPEECH.size == 128


def test_codes_of_each_codebook_have_ids_of_their_own() -> None:
    codes = np.array([[0, 7, 3], [0, 3, 1]], np.uint8)
    ids = SPEECH.encode_audio(codes)
    assert ids.tolist() == [[103, 110, 106], [111, 114, 112]]
    np.testing.assert_array_equal(SPEECH.decode_audio(ids), codes)
    assert SPEECH.codebook_of(np.array([0, 102, 103, 110, 111, 114, 115])).tolist() == [
        *(-1, -1, 0, 0, 1, 1, -1)
    ]


def test_a_separator_beside_the_codes_has_its_place() -> None:
    vocabulary = Vocabulary(
        text_size=100, special=["<s>", "<pad>"], codebook_sizes=[8, 4], separator="<s>"
    )
    codes = np.array([[0, 7, 8, 9], [0, 3, 4, 9]], np.uint8)
    beside = {9: "<pad>"}
    ids = vocabulary.encode_audio(codes, beside)
    assert ids.tolist() == [[102, 109, 100, 101], [110, 113, 100, 101]]
    np.testing.assert_array_equal(vocabulary.decode_audio(ids, beside), codes)
    # an id of the text does as well, such as its end of sequence
    assert vocabulary.encode_audio(codes[:, 3:], {9: 2}).tolist() == [[2], [2]]
    with pytest.raises(FeatbankError, match=r"codes of codebook 0: expected 0 to 7, got 9$"):
        vocabulary.encode_audio(codes)
    with pytest.raises(FeatbankError, match=r"got 8; if 8 is a separator, say Vocabulary\(sep"):
        SPEECH.encode_audio(codes[:, :3])
    with pytest.raises(FeatbankError, match="number of a special token: expected no code: 8 or m"):
        vocabulary.encode_audio(codes, {7: "<pad>"})
    for wrong in ({9: "<s>"}, {9: 102}, {9: -1}):
        with pytest.raises(FeatbankError, match="ids of special tokens: expected each its own, be"):
            vocabulary.encode_audio(codes, wrong)


def test_the_only_special_token_is_the_separator() -> None:
    one = Vocabulary(text_size=10, special=["<s>"], codebook_sizes=[8])
    assert one.separator == "<s>"
    assert one == Vocabulary(text_size=10, special=["<s>"], codebook_sizes=[8], separator="<s>")
    assert one.encode_audio(np.array([7, 8])).tolist() == [18, 10]
    for specials in ([], ["<s>", "<pad>"]):
        vocabulary = Vocabulary(text_size=10, special=specials, codebook_sizes=[8])
        assert vocabulary.separator is None
        with pytest.raises(FeatbankError, match="expected 0 to 7, got 8"):
            vocabulary.encode_audio(np.array([7, 8]))


def test_tensors_are_encoded_and_decoded_as_arrays_are() -> None:
    codes = torch.tensor([[0, 7, 3], [0, 3, 1]])
    ids = SPEECH.encode_audio(codes)
    assert isinstance(ids, torch.Tensor)
    assert ids.tolist() == SPEECH.encode_audio(codes.numpy()).tolist()
    assert torch.equal(SPEECH.decode_audio(ids), codes)
    assert torch.equal(SPEECH.codebook_of(ids), torch.tensor([[0] * 3, [1] * 3]))
    assert SPEECH.kind_of(torch.tensor([5, 101])).tolist() == ["text", "special"]


def test_units_are_codes_of_one_codebook() -> None:
    vocabulary = Vocabulary(codebook_sizes=[300])
    units = np.array([0, 299, 5], np.uint16)
    np.testing.assert_array_equal(vocabulary.decode_audio(vocabulary.encode_audio(units)), units)
    assert vocabulary.encode_audio(units[:0]).shape == (0,)


def test_sizes_may_be_integers_of_numpy() -> None:
    vocabulary = Vocabulary(
        text_size=np.int64(100),  # type: ignore[arg-type]
        special=SPEECH.special,
        codebook_sizes=np.array([8, 4], np.uint8),  # type: ignore[arg-type]
        multiple=np.uint8(64),  # type: ignore[arg-type]
    )
    assert vocabulary == SPEECH
    assert json.dumps(vocabulary.to_json()) == json.dumps(SPEECH.to_json())
    wide = Vocabulary(codebook_sizes=np.array([200, 200], np.uint8))  # type: ignore[arg-type]
    assert (wide.audio_offsets, wide.size) == ((0, 200), 400)


def test_a_vocabulary_without_audio_has_no_floats() -> None:
    text = Vocabulary(text_size=3)
    none = np.empty((0, 5), np.uint16)
    assert text.encode_audio(none).dtype == text.decode_audio(none).dtype == np.int64
    assert text.codebook_of(np.arange(4)).tolist() == [-1] * 4
    with pytest.raises(FeatbankError, match="expected none, got <audio>"):
        text.special_id("<audio>")


def test_kinds_follow_from_ids() -> None:
    kinds = SPEECH.kind_of(np.array([0, 99, 100, 102, 103, 114]))
    assert kinds.tolist() == ["text", "text", "special", "special", "audio", "audio"]


def test_a_vocabulary_survives_json() -> None:
    assert Vocabulary.from_json(json.loads(json.dumps(SPEECH.to_json()))) == SPEECH
    assert hash(SPEECH) == hash(Vocabulary.from_json(SPEECH.to_json()))
    with_separator = Vocabulary(special=["<s>"], codebook_sizes=[3], separator="<s>")
    assert Vocabulary.from_json(with_separator.to_json()) == with_separator
    # as it was written before there was a separator
    del (before := SPEECH.to_json())["separator"]
    assert Vocabulary.from_json(before) == SPEECH
    with pytest.raises(FeatbankError, match="got multiple, text_size"):
        Vocabulary.from_json({"text_size": 1, "multiple": 1})


def test_lists_of_codes_are_encoded_as_arrays_are() -> None:
    codes = [[0, 7, 3], [0, 3, 1]]
    ids = SPEECH.encode_audio(codes)
    np.testing.assert_array_equal(ids, SPEECH.encode_audio(np.array(codes)))
    assert SPEECH.decode_audio(ids.tolist()).tolist() == codes


@pytest.mark.parametrize(
    "fields",
    [
        {"text_size": -1},
        {"codebook_sizes": [0]},
        {"multiple": 0},
        {"text_size": 1.5},
        {"text_size": "3"},
        {"codebook_sizes": 3},
        {"special": ["<a>", "<a>"]},
        {"special": "<a>"},
        {"special": [1, 2]},
        {"special": {"<a>", "<b>"}},
        {"special": ["<a>"], "separator": "<b>"},
        {"separator": "<b>"},
    ],
)
def test_impossible_vocabularies_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FeatbankError, match="expected"):
        Vocabulary(**fields)


def test_ids_that_are_not_there_are_refused() -> None:
    with pytest.raises(FeatbankError, match="codebook 1: expected 0 to 3, got 4"):
        SPEECH.encode_audio(np.array([[0], [4]]))
    with pytest.raises(FeatbankError, match="ids of codebook 1: expected 111 to 114, got 110"):
        SPEECH.decode_audio(np.array([[103], [110]]))
    # an int64 holds none of these
    with pytest.raises(FeatbankError, match=r"ids of codebook 0: .*, got 18446744073709551615"):
        SPEECH.decode_audio(np.array([[2**64 - 1], [111]], np.uint64))
    with pytest.raises(FeatbankError, match=r"codes of codebook 0: .*, got 18446744073709551615"):
        SPEECH.encode_audio(np.array([[2**64 - 1], [0]], np.uint64))
    with pytest.raises(FeatbankError, match=r"ids of codebook 0: .*, got -9223372036854775808"):
        SPEECH.decode_audio(np.array([[-(2**63)], [111]]))
    for dtype in (float, bool):
        for ask in (SPEECH.kind_of, SPEECH.codebook_of):
            with pytest.raises(FeatbankError, match="expected integers, got"):
                ask(np.ones(2, dtype))
    with pytest.raises(FeatbankError, match="integers of 2 codebooks"):
        SPEECH.encode_audio(np.array([0, 1]))
    with pytest.raises(FeatbankError, match="expected 0 to 114, got 115"):
        SPEECH.kind_of(np.array([115]))
    with pytest.raises(FeatbankError, match="expected <audio> or </audio> or <pad>, got <eos>"):
        SPEECH.special_id("<eos>")
