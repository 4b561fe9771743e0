"""What a batch of features is reduced to on the device, so that only what is stored leaves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from featbank.engine.device.narrowing import Narrowed, Narrowing
from featbank.feature_io.stage_storage import PackedStorage
from featbank.features.base import Output
from featbank.store import Encoded, find_encoding
from featbank.tokenizers.sure import SureAssignment
from featbank.tokenizers.token_stores import TokenStores

Batch = Mapping[str, torch.Tensor]
"""Features of a batch by name, each (rows, T, *shape), on the device."""


Part = tuple[str, str]
"""Names a tensor of a reduced batch: of which feature, and what it is."""


class Reduced(NamedTuple):
    """A reduced batch.

    Args:
        leaving: what the host needs of it, each (rows, ...); on the device, then on the host.
        staying: what it may need, (rows, ...), on the device.
    """

    leaving: Mapping[Part, torch.Tensor]
    staying: torch.Tensor | None = None

    def to_host(self, tensors: Sequence[torch.Tensor]) -> Reduced:
        """Return it with what has left as it came to the host."""
        return Reduced(dict(zip(self.leaving, tensors, strict=True)), self.staying)


class Reduction(Protocol):
    """Reduces batches to what is stored, and takes the rows on the host."""

    def reduce(self, batch: Batch, valid: torch.Tensor | None) -> Reduced:
        """Reduce a batch on the device, without waiting for it.

        Args:
            batch: features by name, as the extractor gives them.
            valid: (rows, T), of frames that belong to an utterance; None for all.
        """

    def row(
        self, reduced: Reduced, row: int, num_frames: int, aside: AbstractContextManager[Any]
    ) -> Mapping[str, Encoded] | None:
        """Return a row of a batch that has left the device, as shards take it, by their names.

        Args:
            reduced: the batch. Its memory may be used again, so that what is kept is copied.
            row: of the batch.
            num_frames: of the utterance.
            aside: in which the device may be used.

        Returns:
            None: it cannot be stored; who encodes the features on the host learns why.
        """


class FeatureReduction:
    """Reduces features to the dtypes of their stores.

    Args:
        outputs: of the extractor, by feature name.
        storage: of each feature.
    """

    def __init__(self, outputs: Mapping[str, Output], storage: Mapping[str, PackedStorage]) -> None:
        self._narrowings = {
            name: Narrowing(outputs[name], entry.dtype) for name, entry in storage.items()
        }

    def reduce(self, batch: Batch, valid: torch.Tensor | None) -> Reduced:
        """Narrow each feature; see `Reduction.reduce`."""
        return Reduced(
            {
                (name, part): tensor
                for name, narrow in self._narrowings.items()
                for part, tensor in narrow(batch[name], valid)._asdict().items()
                if tensor is not None
            }
        )

    def row(
        self,
        reduced: Reduced,
        row: int,
        num_frames: int,
        aside: AbstractContextManager[Any],  # noqa: ARG002 - all that is stored has left
    ) -> Mapping[str, Encoded] | None:
        """Return a row; see `Reduction.row`."""
        found = {}
        for name, narrow in self._narrowings.items():
            narrowed = Narrowed(
                **{part: tensor for (one, part), tensor in reduced.leaving.items() if one == name}
            )
            if narrowed.is_bad[row]:
                return None
            found[name] = narrowed.encoded(row, num_frames, narrow.dtype)
        return found


class TokenReduction:
    """Reduces a feature to units, as a store of the feature would give them.

    Frames whose unit the CPU might round to another are assigned there, in a block of as many
    frames as the utterance has: what they are beside changes no bit, how many there are may.

    Args:
        output: of the extractor.
        entry: how the feature would be stored.
        stores: of the tokens.
        device: that computes.
    """

    def __init__(
        self, output: Output, entry: PackedStorage, stores: TokenStores, device: str
    ) -> None:
        self._name = entry.name
        self._narrow = Narrowing(output, entry.dtype)
        self._stores = stores
        self._assign = SureAssignment(stores.codebook, torch.device(device))

    def reduce(self, batch: Batch, valid: torch.Tensor | None) -> Reduced:
        """Round as the store would, and assign; see `Reduction.reduce`."""
        narrowed = self._narrow(batch[self._name], valid)
        frames = self._narrow.widened(narrowed)
        rows, num_frames = frames.shape[:2]
        found = self._assign(frames.flatten(0, 1))
        units = found.units.view(rows, num_frames, -1)
        is_sure = found.is_sure.view(rows, num_frames)
        leaving = {
            (self._name, "is_bad"): narrowed.is_bad,
            (self._name, "units"): units,
            (self._name, "is_sure"): is_sure,
        }
        return Reduced(leaving, frames)

    def row(
        self, reduced: Reduced, row: int, num_frames: int, aside: AbstractContextManager[Any]
    ) -> Mapping[str, Encoded] | None:
        """Return the tokens of a row; see `Reduction.row`."""
        is_bad, units, is_sure = (tensor[row] for tensor in reduced.leaving.values())
        if is_bad:
            return None
        codebook = self._stores.codebook
        assigned = units[:num_frames].numpy().astype(codebook.unit_dtype)
        [unsure] = np.nonzero(~is_sure[:num_frames].numpy())
        if len(unsure):
            assert reduced.staying is not None
            frames = reduced.staying[row]
            with aside:
                there = frames.index_select(0, torch.from_numpy(unsure).to(frames.device))
                here = there.cpu().numpy()
            block = np.zeros((num_frames, here.shape[1]), np.float32)
            block[unsure] = here
            settled = codebook.assign(block).reshape(assigned.shape)
            assigned[unsure] = settled[unsure]
        tokens = self._stores.tokens(assigned.reshape(num_frames, *codebook.row_shape))
        return {
            name: find_encoding(dtype).encode(tokens[name], name)
            for name, dtype in self._stores.dtypes.items()
        }
