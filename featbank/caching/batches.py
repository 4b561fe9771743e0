"""Where the batches of a split come from, and how those are left out that nobody needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, Sampler

from featbank.caching.utterance_digest import UtteranceKey

Take = Callable[[int], bool]
"""Asked for each index that a sampler draws whether it is to be loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The batches of a split.

    Args:
        total: how many utterances they should give; None when nobody knows.
        keys: of the utterances by their index, where the dataset tells them before it loads any.
        load: gives the batches; of a dataset with `keys`, of the indices that are taken.
    """

    total: int | None
    keys: Sequence[UtteranceKey] | None
    load: Callable[[Take], Iterable[Any]]


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
        return Batches(total=num_utterances(given), keys=None, load=lambda _: given)
    dataset, options = dataset_or_loader, dict(loader_kwargs)
    loader = make_loader(dataset, **options)
    total = num_utterances(loader)
    if keys is None or isinstance(dataset, IterableDataset):
        return Batches(total=total, keys=None, load=lambda _: loader)

    def load(take: Take) -> Iterable[Any]:
        for name in ("batch_size", "shuffle", "sampler", "batch_sampler", "drop_last"):
            options.pop(name, None)
        if loader.batch_sampler is None:
            return make_loader(
                dataset, batch_size=None, sampler=_Taken(loader.sampler, take), **options
            )
        return make_loader(
            dataset, batch_sampler=_TakenBatches(loader.batch_sampler, take), **options
        )

    return Batches(total=total, keys=keys, load=load)


def num_utterances(loader: Iterable[Any]) -> int | None:
    """Return how many utterances a loader should give, where it can tell.

    Those that its sampler draws, though `drop_last` may leave some of them out.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    batch_sampler = loader.batch_sampler
    if batch_sampler is not None and type(batch_sampler) is not BatchSampler:
        return None  # one of the user's own, which may give any part of the dataset
    sampler = loader.sampler
    return len(sampler) if isinstance(sampler, Sized) else None


class _Taken(Sampler[int]):
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
            taken = _Taken(self._batches.sampler, self._take)
            yield from BatchSampler(taken, self._batches.batch_size, drop_last=False)
            return
        for batch in self._batches:
            if taken_of_it := [index for index in batch if self._take(index)]:
                yield taken_of_it
