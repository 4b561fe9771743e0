"""An utterance has one digest in every batch that holds it, and another one once it changes."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from featbank.recipes.caching.batch_columns import select
from featbank.recipes.caching.utterance_digest import digest_of_item, identify

PaddedData = namedtuple("PaddedData", ["data", "lengths"])  # as speechbrain's

WAVEFORMS = {
    "a": torch.tensor([0.5, -1.0, 2.0, 0.0]),
    "b": torch.tensor([3.0]),
    "c": torch.tensor([4.0, 0.0, 0.0]),  # ends as if it were padded
    "d": torch.tensor([4.0, 0.0]),
    "e": torch.zeros(7),
}
TEXTS = {"a": "x", "b": "y", "c": "z", "d": "z", "e": "w"}


def padded(ids: str, value: float) -> tuple[torch.Tensor, torch.Tensor]:
    waveforms = [WAVEFORMS[one] for one in ids]
    longest = max(map(len, waveforms))
    filled = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True, padding_value=value)
    return filled, torch.tensor([len(one) / longest for one in waveforms])


def pair(ids: str, value: float) -> Any:
    return {
        "id": list(ids),
        "text": [TEXTS[one] for one in ids],
        "sig": PaddedData(*padded(ids, value)),
    }


def shares(ids: str, value: float) -> Any:
    return (tuple(ids), *padded(ids, value))


def counts(ids: str, value: float) -> Any:
    lengths = [len(WAVEFORMS[one]) for one in ids]
    return [list(ids), padded(ids, value)[0].numpy(), np.array(lengths)]


def an_object(ids: str, value: float) -> Any:
    return SimpleNamespace(**pair(ids, value))


def rows(ids: str, value: float) -> Any:  # noqa: ARG001
    return [{"id": one, "sig": WAVEFORMS[one], "text": TEXTS[one]} for one in ids]


def tuples(ids: str, value: float) -> Any:  # noqa: ARG001
    return [(one, WAVEFORMS[one], {"text": TEXTS[one]}) for one in ids]


KINDS = [pair, shares, counts, an_object, rows, tuples]


@pytest.mark.parametrize("kind", KINDS)
def test_a_digest_is_the_same_in_every_batch_and_differs_between_utterances(kind: Any) -> None:
    found: dict[str, set[bytes]] = {one: set() for one in WAVEFORMS}
    for ids in ("a", "b", "c", "d", "e", "ab", "cd", "dc", "abcd", "edcba"):
        for value in (0.0, -99.0):
            for key in identify(kind(ids, value)) or []:
                found[key.id].add(key.input_digest)
    assert [len(one) for one in found.values()] == [1] * len(WAVEFORMS)
    assert len(set.union(*found.values())) == len(WAVEFORMS)
    assert all(len(one) == 16 for one in set.union(*found.values()))


@pytest.mark.parametrize("kind", [pair, rows, tuples])
def test_a_batch_of_some_utterances_has_their_digests(kind: Any) -> None:
    whole = kind("abcde", 0.0)
    cut = select(whole, [3, 1])
    assert type(cut) is type(whole)
    keys = {key.id: key for key in identify(whole) or []}
    assert identify(cut) == [keys["d"], keys["b"]]


@pytest.mark.parametrize("kind", [shares, counts])
def test_a_batch_of_columns_is_cut_in_all_of_them(kind: Any) -> None:
    whole = kind("abcde", 0.0)
    cut = select(whole, [3, 1])
    assert type(cut) is type(whole)
    assert list(cut[0]) == ["d", "b"]
    for column, of_all in zip(cut[1:], whole[1:], strict=True):
        np.testing.assert_array_equal(column, of_all[[3, 1]])


def test_an_object_of_an_unknown_class_is_not_cut() -> None:
    assert select(an_object("ab", 0.0), [0]) is None


def changed() -> list[Any]:
    values, lengths = padded("ab", 0.0)
    behind, inside = values.clone(), values.clone()
    behind[1, 3] = 5.0  # where the lengths say that padding is: then it is none
    inside[1, 0] = 5.0
    return [
        (["a", "b"], behind, lengths),
        (["a", "b"], inside, lengths),
        (["a", "b"], values, lengths * 0.5),
        (["a", "b"], values.double(), lengths),
        (["a", "b"], values.bfloat16(), lengths),
        (["a", "b"], values, lengths, ["n", "t"]),
        (["a", "b"], values, lengths, 3),
        {"id": ["a", "b"], "sig": PaddedData(values, lengths * 0.99)},
    ]


def test_whatever_a_batch_holds_of_an_utterance_counts() -> None:
    digests = [keys[1].input_digest for batch in changed() if (keys := identify(batch))]
    [_, same] = identify(shares("ab", 0.0)) or []
    assert len({*digests, same.input_digest}) == len(changed()) + 1


@pytest.mark.parametrize("batch", [3, None, "ab", [], {}, {"id": "ab"}, [1, 2], torch.ones(2)])
def test_a_batch_that_does_not_say_what_it_holds_has_no_keys(batch: Any) -> None:
    assert identify(batch) is None


def test_what_has_no_plain_value_has_no_digest() -> None:
    for value in (object(), torch.ones(2, 2).to_sparse()):
        assert [key.input_digest for key in identify((["a"], value)) or []] == [b""]
    [key] = identify([{"id": "a", "x": {1, 2}}]) or []
    assert key.input_digest == b""
    assert digest_of_item(None) == digest_of_item("") == digest_of_item(Path()) == b""


def test_a_path_is_no_input_to_be_known_by() -> None:
    rows_of_paths = [{"id": "a", "path": "a.wav", "length": torch.tensor(2.0)}]
    columns = {"id": ["a", "b"], "path": ["a.wav", "b.wav"], "length": torch.tensor([2.0, 1.0])}
    for batch in (rows_of_paths, columns, (["a"], ["a.wav"])):
        assert {key.input_digest for key in identify(batch) or []} == {b""}


def test_texts_and_ids_may_be_arrays() -> None:
    [of_lists, of_arrays] = [
        identify({"id": ids, "text": ids, "sig": torch.ones(2, 3)})
        for ids in (["a", "b"], np.array(["a", "b"]))
    ]
    assert of_lists == of_arrays


def test_an_item_digest_stands_for_all_else() -> None:
    first = {"id": ["a", "b"], "digest": ["1", "2"], "sig": torch.rand(2, 3)}
    again = [{"id": one, "digest": value} for one, value in (("a", "1"), ("b", "2"))]
    assert identify(first) == identify(again)
    assert [key.input_digest for key in identify(first) or []] == list(map(digest_of_item, "12"))


def test_texts_of_numpy_and_numbers_in_arrays_stand_for_utterances_too() -> None:
    [ours, theirs] = [
        identify([{"id": "a", "text": text, "sig": torch.ones(3)}]) for text in ("x", np.str_("x"))
    ]
    assert ours == theirs
    assert digest_of_item(np.array([1, 2])) != digest_of_item(np.array([1, 3]))
    assert digest_of_item(np.array([1, 2])) == digest_of_item(torch.tensor([1, 2]))
