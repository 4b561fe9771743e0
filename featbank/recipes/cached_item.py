"""A dynamic item of speechbrain that is computed once: into journals, then into a packed store."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any, Self

import numpy as np
import torch
from speechbrain.utils.data_pipeline import (
    CachedDynamicItem,
    DynamicItem,
    GeneratorDynamicItem,
)

from featbank.errors import ConfigError
from featbank.feature_io.config import FeatureStorageConfig
from featbank.recipes.caching.item_rows import ItemRows
from featbank.recipes.caching.utterance_digest import digest_of_item
from featbank.recipes.fingerprinting import RecipeFingerprint, evaluating, fingerprint_recipe
from featbank.recipes.fingerprinting.reaching import reachable_modules
from featbank.store.given import DTypeLike


class CachedPackedDynamicItem(CachedDynamicItem):  # type: ignore[misc]
    """A dynamic item that computes on a miss and else reads; `publish` packs it into a store.

    As speechbrain's `CachedDynamicItem`, but for three things. What is read is what was computed:
    by the same function (its source, what it calls and the weights it holds are in a fingerprint)
    from the same arguments. Any number of processes may compute at once, each into a journal of its
    own beside the store; one that is killed loses at most the utterance it was writing. And once
    all utterances are there, `publish(ids)` makes a store of them as any other, memory-mapped, for
    `featbank.store.open_store`, `featbank ls` and training.

    The function returns one array or tensor (T, ...) an utterance. It is called in inference mode,
    and what it holds of modules is in evaluation mode meanwhile.
    What the item gives is a tensor (T, ...) of the stored dtype in memory of its own, computed or
    read: the first epoch is given the values of the others.

    >>> @CachedPackedDynamicItem.cache("features/fbank/train", dtype="float16")  # doctest: +SKIP
    ... @speechbrain.utils.data_pipeline.takes("id", "wav")
    ... @speechbrain.utils.data_pipeline.provides("fbank")
    ... def fbank(utterance_id, wav):
    ...     return compute_fbank(wav[None])[0]
    """

    def __init__(
        self,
        cache_location: str | Path,
        *,
        name: str = "",
        dtype: DTypeLike = "float32",
        writer_kwargs: Mapping[str, Any] | None = None,
        fingerprint_with: Mapping[str, Any] | None = None,
        digest: Callable[..., Any] | None = None,
        takes: Sequence[str] | None = None,
        func: Callable[..., Any] | None = None,
        provides: Sequence[str] | None = None,
    ) -> None:
        """Declare an item; nothing is read or made before it is called.

        Args:
            cache_location: of the store to be; the journals lie in a hidden folder beside it.
            name: of the feature; as the item is called when empty.
            dtype: that is stored; see `featbank.store.ENCODINGS`.
            writer_kwargs: further arguments of the packed writer, such as `frame_rate`.
            fingerprint_with: values that stand for what of the function cannot be digested.
            digest: gives, of the item's arguments, what stands for them, such as a file's hash;
                the arguments themselves do without it. A path that moves with its corpus wants one.
            takes: keys of the arguments, `id` first.
            func: computes.
            provides: the one key of the item.

        Raises:
            ConfigError: `id` is not first, or not one item is provided, or by a generator.
        """
        DynamicItem.__init__(self, takes, func, provides)
        where = f"cached item at {cache_location}"
        if not self.takes or self.takes[0] != "id":
            raise ConfigError(where, expected="takes: id first", got=self.takes)
        if len(self.provides) != 1 or not isinstance(self.provides[0], str):
            raise ConfigError(where, expected="provides: one key", got=self.provides)
        self.cache_location = Path(cache_location)
        self._config = FeatureStorageConfig(
            name or self.provides[0], dtype, writer_kwargs=dict(writer_kwargs or {})
        )
        self._fingerprint_with = fingerprint_with
        self._stands_for = digest
        self._fingerprint: RecipeFingerprint | None = None
        self._reached: dict[torch.nn.Module, str] | None = None
        self._rows: ItemRows | None = None

    @classmethod
    def cache(
        cls, save_dir: str | Path, **options: Any
    ) -> Callable[[DynamicItem], CachedPackedDynamicItem]:
        """Return a decorator that makes such an item of a dynamic item; see `__init__`."""

        def decorator(item: DynamicItem) -> CachedPackedDynamicItem:
            if not isinstance(item, DynamicItem) or isinstance(item, GeneratorDynamicItem):
                raise ConfigError(
                    f"cached item at {save_dir}",
                    expected="a function under @takes and @provides",
                    got=type(item).__name__,
                )
            return cls(
                save_dir, **options, takes=item.takes, func=item.func, provides=item.provides
            )

        return decorator

    @property
    def fingerprint(self) -> RecipeFingerprint:
        """What determines the values beside the arguments; taken once, before the first call.

        Raises:
            ConfigError: something that the function uses has no digest, and no name in
                `fingerprint_with`.
        """
        if self._fingerprint is None:
            function = isinstance(self.func, FunctionType)
            self._fingerprint = fingerprint_recipe(
                self.func if function else _calling(self.func),
                owner=object(),  # no argument of it is a brain
                modules={},
                hparams={},
                feature_configs=[self._config],
                fingerprint_with=self._fingerprint_with,
            )
        return self._fingerprint

    @property
    def rows(self) -> ItemRows:
        """Rows computed so far, by this process and others."""
        if self._rows is None or self._rows.pid != os.getpid():
            self._rows = ItemRows(
                self._config,
                self.cache_location,
                self.fingerprint,
                inherited=self._rows,
            )
        return self._rows

    def __call__(self, *args: Any) -> torch.Tensor:
        """Return the values of an utterance, computed if they are not there.

        Raises:
            FeatbankError: the arguments have no digest, or the values cannot be stored.
        """
        utterance_id = args[0]
        input_digest = self._digest(args)
        values = self.rows.read(utterance_id, input_digest)
        if values is None:
            with evaluating(self._modules) as evaluation:
                computed = self.func(*args)
                evaluation.refuse_changed()
            if isinstance(computed, torch.Tensor):
                computed = computed.detach().cpu()
            values = self.rows.add(utterance_id, input_digest, computed)
        return torch.from_numpy(np.array(values))

    @property
    def _modules(self) -> dict[str, torch.nn.Module]:
        """All that the function reaches; looked for once, for it may reach a whole lexicon."""
        if self._reached is None:
            self._reached = reachable_modules([(self.provides[0], self.func)])
        return {
            f"{where} {number}": one for number, (one, where) in enumerate(self._reached.items())
        }

    def _digest(self, args: Sequence[Any]) -> bytes:
        stands_for = list(args[1:]) if self._stands_for is None else self._stands_for(*args)
        found = digest_of_item(stands_for)
        if not found:
            raise ConfigError(
                f"arguments of {self.provides[0]!r} for utterance {args[0]!r}",
                expected="texts, numbers, arrays, or lists and mappings of them",
                got=" and ".join(type(one).__name__ for one in args[1:]),
                hint="give digest=, a function of the same arguments, whose result stands for them",
            )
        return found

    def __deepcopy__(self, _: object) -> Self:
        """Return itself: datasets that are filtered or sorted share what was computed."""
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle by its name where that is its function's, which cannot be pickled then."""
        module, name = (getattr(self.func, one, "") for one in ("__module__", "__qualname__"))
        if name and _located(module, name) is self:
            return _located, (module, name, self.fingerprint)
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind; the fingerprint is that of this process."""
        return {**vars(self), "_rows": None, "_reached": None, "_fingerprint": self.fingerprint}

    def publish(self, ids: Iterable[str]) -> None:
        """Make the store of these utterances; from then on the item reads from it.

        On all ranks of a launched run: the first one writes, the others wait.

        Args:
            ids: of all utterances of the split: `dataset.data_ids`.

        Raises:
            FeatbankError: some of them were not computed yet, or one was computed twice, with
                different values.
        """
        self.rows.publish(ids)


def _calling(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls a module, a partial function or another object."""

    def compute(*args: Any) -> Any:
        return func(*args)

    return compute


def _located(module: str, name: str, fingerprint: RecipeFingerprint | None = None) -> Any:
    """Return what a module has under a name, an item with the fingerprint that was pickled."""
    try:
        found = operator.attrgetter(name)(sys.modules.get(module) or import_module(module))
    except (AttributeError, ImportError):  # a lambda's, or one within a function
        return None
    if fingerprint is not None:
        found._fingerprint = fingerprint
    return found
