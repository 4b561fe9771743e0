"""Refusal of ids that a store has not, as people type them: it names one that is near."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

from featbank import PROGRAM
from featbank.base.nearest import did_you_mean
from featbank.errors import StoreError
from featbank.store.reader import Store

_ALL = 2000  # ids that are all held against a word; of more, those that stand beside it
_BESIDE, _LEAST_BESIDE = 200, 5  # on each side of it, in each part; of many parts, fewer


def refuse_unknown_id(store: Store, utterance_id: str) -> None:
    """Refuse an id that is not in a store.

    A read says so, too, and looks for no other: programs try many ids.

    Raises:
        StoreError: it is not, and what may be meant.
    """
    if utterance_id in store:
        return
    near = list(store.ids) if len(store) <= _ALL else _beside(store, utterance_id)
    raise StoreError(
        f"store {store.path}",
        expected=f"an id among its {len(store):,}",
        got=repr(utterance_id),
        hint=did_you_mean(utterance_id, near, f"{PROGRAM} ls {store.path} lists them"),
    )


def _beside(store: Store, utterance_id: str) -> list[str]:
    """Return the ids beside a place in the order of ids, which begins anew in each part."""
    ids, before, shards = store.ids, store.rows_before, store.shards
    begins = [
        number
        for number, (one, next_one) in enumerate(pairwise(shards), 1)
        if next_one.first_id < one.last_id
    ]
    beside = max(_LEAST_BESIDE, _BESIDE // (len(begins) + 1))
    near: list[str] = []
    for first, stop in pairwise([0, *begins, len(shards)]):
        place = bisect_left(ids, utterance_id, before[first], before[stop])
        near += ids[max(before[first], place - beside) : min(before[stop], place + beside)]
    return near
