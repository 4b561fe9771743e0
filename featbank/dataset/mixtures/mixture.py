"""Dataset that concatenates several named datasets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sized
from itertools import accumulate
from operator import index as whole
from typing import Any

from torch.utils.data import Dataset

from featbank.errors import ConfigError
from featbank.files.provenance import digest


class Mixture(Dataset[Any]):
    """Several named datasets, one after the other, as one dataset."""

    def __init__(self, sources: Mapping[str, Dataset[Any]], *, name_as: str | None = None) -> None:
        """Put datasets one after the other.

        Args:
            sources: map-style datasets by name, none of them empty.
            name_as: the key under which an item tells the name of its source. An item that is no
                dict becomes one, itself under `item`. None gives the items as the sources do.

        Raises:
            ConfigError: no source, or one without items or without a length.
        """
        if not isinstance(sources, Mapping) or not sources:
            raise ConfigError(
                "sources of a mixture",
                expected="one dataset or more, each by its name",
                got=type(sources).__name__ if sources else "none",
            )
        for name, source in sources.items():
            if not isinstance(source, Sized) or not len(source):
                raise ConfigError(
                    f"source {name!r} of a mixture",
                    expected="a dataset with items",
                    got="none" if isinstance(source, Sized) else f"{source!r} without a length",
                )
        self.sources = dict(sources)
        self.sizes = {name: len(source) for name, source in sources.items()}  # type: ignore[arg-type]
        self._name_as = name_as
        self._names = list(sources)
        self.starts = [0, *accumulate(self.sizes.values())]
        """The index of the first item of each source, then how many items there are."""

    def __len__(self) -> int:
        """Return the number of items of all sources."""
        return self.starts[-1]

    def __getitem__(self, index: int) -> Any:
        """Return an item of a source."""
        name, place = self.locate(index)
        item = self.sources[name][place]
        if self._name_as is None:
            return item
        return {**(item if isinstance(item, Mapping) else {"item": item}), self._name_as: name}

    def locate(self, index: int) -> tuple[str, int]:
        """Return the source of an item, and its index there."""
        place = whole(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"expected an index within {len(self)} items, got {index}")
        place %= len(self)
        number = bisect_right(self.starts, place) - 1
        return self._names[number], place - self.starts[number]

    def made_from(self) -> str:
        """Return a digest of the sources: their names, sizes, and digests where they have one."""
        return digest(
            [[name, self.sizes[name], _made_from(source)] for name, source in self.sources.items()]
        )

    def num_tokens(self) -> dict[str, int]:
        """Return the number of tokens, or frames, of all items of each source.

        Raises:
            ConfigError: a source has no `num_tokens`, `window_length` or `lengths` to tell.
        """
        return {name: _num_tokens(name, source) for name, source in self.sources.items()}


def _num_tokens(name: str, source: Any) -> int:
    if hasattr(source, "num_tokens"):
        return int(source.num_tokens)
    if hasattr(source, "window_length"):
        return int(source.window_length) * len(source)
    if hasattr(source, "lengths"):
        return int(source.lengths().sum())
    raise ConfigError(
        f"tokens of source {name!r}",
        expected="a dataset with num_tokens, window_length or lengths",
        got=type(source).__name__,
        hint="give the sampler num_tokens, those of all items of each source",
    )


def _made_from(source: Any) -> str:
    """Return what a state is held against: the digest that datasets of this package have."""
    for name in ("made_from", "ids_digest"):
        if hasattr(source, name):
            return str(getattr(source, name)())
    return type(source).__name__
