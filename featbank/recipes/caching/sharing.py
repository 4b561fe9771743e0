"""Sharing of a split's utterances among ranks.

It follows from where the batches come from.

- **A dataset**: what is not known is dealt out, an utterance at a time; a rank loads its own only.
- **A loader whose samplers, of torch or speechbrain, shard nothing**: all ranks load all of it, and
  each computes the utterances whose ids are its own.
- **Any other loader, and a dataset whose utterances nobody can name**: whatever it gives. A
  distributed sampler has sharded it, and may repeat utterances to give all ranks as many; each is
  stored once. A loader that gives all ranks the same has all of them compute the same, which is
  right but no faster.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from featbank.errors import ConfigError
from featbank.files.provenance import digest
from featbank.ranks import Meeting
from featbank.recipes.caching.batches import Batches, Sharing


@dataclass(frozen=True, slots=True, kw_only=True)
class RankShare:
    """The utterances of a split that a rank computes.

    Args:
        rank: of this process.
        size: the number of ranks.
        by: how they share.
        own: indices of the dataset that were dealt to this rank; None where none were dealt.
    """

    rank: int = 0
    size: int = 1
    by: Sharing = "given"
    own: frozenset[int] | None = None

    @property
    def repeats(self) -> bool:
        """Whether utterances may come again: a distributed sampler repeats some."""
        return self.size > 1 and self.by == "given"

    def has_index(self, index: int) -> bool:
        """Tell whether an utterance of the dataset is to be loaded."""
        if self.by != "index":
            return True
        return index % self.size == self.rank if self.own is None else index in self.own

    def has_loaded(self, utterance_id: str) -> bool:
        """Tell whether an utterance that was loaded is to be computed.

        By a hash of its id: the ranks may load them in different orders.
        """
        if self.by != "utterance":
            return True
        return xxh3_64_intdigest(utterance_id.encode()) % self.size == self.rank


ALL = RankShare()
"""Of a process that computes by itself."""


def deal(is_known: Iterable[bool]) -> str:
    """Return which utterances of a dataset are not known, as a text for `dealt`."""
    flags = np.packbits(~np.fromiter(is_known, bool))
    return base64.b64encode(flags.tobytes()).decode()


def dealt(text: str, rank: int, size: int) -> frozenset[int]:
    """Return the indices dealt to a rank: of what is not known, each one in turn.

    >>> text = deal([True, False, True, False, False])
    >>> [sorted(dealt(text, rank, 2)) for rank in range(2)]
    [[1, 4], [3]]
    """
    flags = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    # behind the last utterance the bits are 0: known
    return frozenset(np.flatnonzero(flags)[rank::size].tolist())


def settle(batches: Batches, ranks: Meeting) -> Batches:
    """Return batches as the ranks share them, if all have the same dataset.

    Ranks that were given a part of it each would compute a part of that, and lose the rest.

    Raises:
        RankError: two ranks have other datasets.
        ConfigError: a distributed sampler would have utterances computed by nobody.
    """
    _check_sampler(batches, ranks.rank, ranks.size)
    if ranks.size == 1:
        return batches
    if batches.sharing == "given":
        # what is left of a sampler that nobody knows may be of one rank or of all
        total = None if batches.sampler is None else batches.total
        ranks.agree("dataset", {"number of utterances": str(total)})
        return replace(batches, total=total)
    name = _name_utterances(batches)
    ranks.agree(
        "dataset",
        {"digest of the utterances of the dataset": name},
        hint="give every rank the whole dataset: they share it by themselves",
    )
    return batches if name else replace(batches, sharing="given", total=None)


def _name_utterances(batches: Batches) -> str:
    """Return a digest that stands for the utterances of a dataset; empty where nobody can tell.

    Of one that does not list them, of the first and the last, which are loaded.
    """
    dataset: Any = batches.dataset
    if batches.keys is not None:
        return digest([[one.id, one.input_digest.hex()] for one in batches.keys])
    names = getattr(dataset, "data_ids", None)  # as speechbrain's have it
    if names is None and len(dataset):
        names = [_id_of(dataset[0]), _id_of(dataset[len(dataset) - 1])]
    names = [*(names or []), len(dataset)]
    return "" if None in names else digest(names)


def _id_of(item: Any) -> str | None:
    """Return the id of an item of a dataset, where it is in its usual place."""
    if isinstance(item, Mapping):
        found = item.get("id")
    elif isinstance(item, tuple | list) and item:
        found = item[0]
    else:
        found = getattr(item, "id", None)
    return found if isinstance(found, str) else None


def _check_sampler(batches: Batches, rank: int, size: int) -> None:
    """Refuse a distributed sampler that would have utterances computed by nobody.

    Raises:
        ConfigError: it is made for other ranks than there are, or drops what does not come out
            even.
    """
    sampler = batches.sampler
    if sampler is None:
        return
    if (sampler.rank, sampler.num_replicas) != (rank, size):
        raise ConfigError(
            f"{type(sampler).__name__} given to cache_features",
            expected=f"rank {rank} of {size}, as this process is",
            got=f"rank {sampler.rank} of {sampler.num_replicas}",
            hint="give the dataset, and the ranks share it by themselves",
        )
    if sampler.drop_last and len(sampler.dataset) % size:  # type: ignore[arg-type]
        raise ConfigError(
            f"{type(sampler).__name__} given to cache_features",
            expected="drop_last=False, so that no utterance is lost",
            got=f"drop_last=True, and {len(sampler.dataset)} of {size} ranks",  # type: ignore[arg-type]
            hint="give the dataset, and the ranks share it by themselves",
        )
