"""Refusal of ids that a store has not, as people type them: it names one that is near."""

from __future__ import annotations

from bisect import bisect_left

from featbank import PROGRAM
from featbank.base.nearest import did_you_mean
from featbank.errors import StoreError
from featbank.store.reader import Store

_ALL = 2000  # ids that are all held against a word; of more, those that stand beside it
_BESIDE = 200


def refuse_unknown_id(store: Store, utterance_id: str) -> None:
    """Refuse an id that is not in a store.

    A read says so, too, and looks for no other: programs try many ids.

    Raises:
        StoreError: it is not, and what may be meant.
    """
    if utterance_id in store:
        return
    ids = store.ids
    place = bisect_left(ids, utterance_id) if len(ids) > _ALL else 0
    near = ids[max(0, place - _BESIDE) : place + _BESIDE] if place else ids[:_ALL]
    raise StoreError(
        f"store {store.path}",
        expected=f"an id among its {len(store):,}",
        got=repr(utterance_id),
        hint=did_you_mean(utterance_id, near, f"{PROGRAM} ls {store.path} lists them"),
    )
