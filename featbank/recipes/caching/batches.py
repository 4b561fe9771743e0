"""Batches of a split, from a dataset or a loader, without utterances that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Sampler,
)

from featbank.recipes.caching.utterance_digest import UtteranceKey

Take = Callable[[int], bool]
"""Asked for each index that a sampler draws whether it is to be loaded."""


Sharing = Literal["index", "utterance", "given"]
"""How ranks share batches: by a dataset's indices, by the utterances that all load, or not at all:
then a rank computes what it is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The batches of a split, and how ranks share them.

    Args:
        total: how many utterances they should give, on all ranks together; None when nobody knows.
        keys: of the utterances by their index, where the dataset tells them before it loads any.
        load: gives the batches: all, or of a dataset those of the indices that are taken.
        sharing: how ranks share them.
        sampler: of torch's distributed ones, where one shards them already.
        dataset: behind them, where it is known.
    """

    total: int | None
    keys: Sequence[UtteranceKey] | None
    load: Callable[[Take | None], Iterable[Any]]
    sharing: Sharing = "given"
    sampler: DistributedSampler[Any] | None = None
    dataset: Dataset[Any] | None = None


def batches_of(
    dataset_or_loader: Iterable[Any] | Dataset[Any],
    loader_kwargs: Mapping[str, Any],
    make_loader: Callable[..., DataLoader[Any]] = DataLoader,
    keys: Sequence[UtteranceKey] | None = None,
) -> Batches:
    """Return the batches of a dataset, or of what gives batches already.

    Args:
        dataset_or_loader: of a `Dataset` a loader is made.
        loader_kwargs: of that loader.
        make_loader: makes it.
        keys: of the utterances of the dataset by index, where it tells them.

    Raises:
        TypeError: arguments for a loader that is there already.
    """
    if not isinstance(dataset_or_loader, Dataset):
        if loader_kwargs:
            raise TypeError(f"expected a Dataset beside {', '.join(loader_kwargs)}, got a loader")
        given: Iterable[Any] = dataset_or_loader
        return Batches(
            total=num_utterances(given),
            keys=None,
            load=lambda _: given,
            sharing="utterance" if _gives_all(given) else "given",
            sampler=_distributed_sampler(given),
            dataset=given.dataset if isinstance(given, DataLoader) else None,
        )
    dataset, options = dataset_or_loader, dict(loader_kwargs)
    loader = make_loader(dataset, **options)
    total = num_utterances(loader)
    sampler = _distributed_sampler(loader)
    gives_all = _gives_all(loader)
    if isinstance(dataset, IterableDataset) or (keys is None and not gives_all):
        return Batches(total=total, keys=None, load=lambda _: loader, sampler=sampler)

    def load(take: Take | None) -> Iterable[Any]:
        if take is None:
            return loader
        for name in ("batch_size", "shuffle", "sampler", "batch_sampler", "drop_last"):
            options.pop(name, None)
        if loader.batch_sampler is None:
            return make_loader(
                dataset, batch_size=None, sampler=_TakenIndices(loader.sampler, take), **options
            )
        return make_loader(
            dataset, batch_sampler=_TakenBatches(loader.batch_sampler, take), **options
        )

    sharing: Sharing = "index" if gives_all else "given"
    return Batches(
        total=total, keys=keys, load=load, sharing=sharing, sampler=sampler, dataset=dataset
    )


def num_utterances(loader: Iterable[Any]) -> int | None:
    """Return how many utterances a loader should give, where it can tell.

    Those that its sampler draws, though `drop_last` may leave some of them out; those that a
    distributed one draws on all ranks, not counting what it repeats.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    batch_sampler = loader.batch_sampler
    if batch_sampler is not None and type(batch_sampler) is not BatchSampler:
        return None  # one of the user's own, which may give any part of the dataset
    sampler: Any = loader.sampler
    if isinstance(sampler, DistributedSampler):
        sampler = sampler.dataset  # speechbrain's wraps a sampler under that name
    return len(sampler) if isinstance(sampler, Sized) else None


def _gives_all(loader: Iterable[Any]) -> bool:
    """Tell whether a loader surely gives every rank the whole of a dataset, in whatever order.

    By its samplers: those of torch and of speechbrain shard nothing, but for distributed ones.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return False
    return all(
        type(one).__module__ in _UNSHARDED and not isinstance(one, DistributedSampler)
        for one in _samplers(loader)
    )


def _distributed_sampler(loader: Iterable[Any]) -> DistributedSampler[Any] | None:
    if not isinstance(loader, DataLoader):
        return None
    return next((one for one in _samplers(loader) if isinstance(one, DistributedSampler)), None)


def _samplers(loader: DataLoader[Any]) -> list[Any]:
    """Return the sampler that a loader draws from, and those that it draws from in turn."""
    found: list[Any] = []
    one: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    while one is not None and not any(one is other for other in found):
        found.append(one)
        one = getattr(one, "sampler", None)
    return found


_UNSHARDED = ("torch.utils.data.sampler", "speechbrain.dataio.sampler")


class _TakenIndices(Sampler[int]):
    """The indices of another sampler that are taken."""

    def __init__(self, sampler: Iterable[int], take: Take) -> None:
        self._sampler = sampler
        self._take = take

    def __iter__(self) -> Iterator[int]:
        return filter(self._take, self._sampler)


class _TakenBatches(Sampler[list[int]]):
    """The indices of another sampler that are taken, in full batches where it is torch's own."""

    def __init__(self, batches: Iterable[Any], take: Take) -> None:
        self._batches = batches
        self._take = take

    def __iter__(self) -> Iterator[list[int]]:
        if type(self._batches) is BatchSampler and not self._batches.drop_last:
            taken = _TakenIndices(self._batches.sampler, self._take)
            yield from BatchSampler(taken, self._batches.batch_size, drop_last=False)
            return
        for batch in self._batches:
            if taken_of_it := [index for index in batch if self._take(index)]:
                yield taken_of_it
