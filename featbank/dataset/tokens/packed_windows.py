"""Windows for packed attention: documents, positions and targets of several utterances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.utils.data import Dataset

from featbank.dataset.tokens.windows import TokenWindows
from featbank.errors import ConfigError

IGNORED = -100
"""The label that torch's and transformers' losses leave out."""


class PackedWindow(NamedTuple):
    """One window with documents, positions and targets, or a batch with B before each shape.

    L is the length of a window; tokens of codes in columns are (Q, L).
    """

    tokens: torch.Tensor
    """(L,) or (Q, L), int64."""
    document_ids: torch.Tensor
    """(L,) int64: which utterance, as its place in `store.ids`; -1 for what fills a window up."""
    positions: torch.Tensor
    """(L,) int64, which begin with 0 in each utterance, and again where a window cuts one."""
    loss_mask: torch.Tensor
    """Of the shape of `tokens`, bool: whether a token is a target, predicted from those before."""

    @property
    def labels(self) -> torch.Tensor:
        """The tokens that are targets, -100 elsewhere: not shifted, as transformers' models ask."""
        return self.tokens.masked_fill(~self.loss_mask, IGNORED)

    @property
    def cu_seqlens(self) -> torch.Tensor:
        """Where each utterance begins when windows are laid one after the other, then their end.

        (N + 1,) int32, beginning with 0, as variable-length attention takes it. What fills up the
        last window is a sequence of its own.
        """
        ids = self.document_ids
        begins = torch.ones_like(ids, dtype=torch.bool)
        begins[..., 1:] = ids[..., 1:] != ids[..., :-1]
        starts = begins.reshape(-1).nonzero().reshape(-1)
        total = torch.tensor([ids.numel()], device=ids.device)
        return torch.cat([starts, total]).to(torch.int32)

    @property
    def max_seqlen(self) -> int:
        """Steps of the longest sequence between two of `cu_seqlens`."""
        return int(self.cu_seqlens.diff().max())

    @property
    def attention_mask(self) -> torch.Tensor:
        """Whether a step attends to another: one of its utterance that is not behind it.

        (1, L, L) bool, or (B, 1, L, L), as `scaled_dot_product_attention` takes it.
        """
        ids = self.document_ids
        together = ids[..., :, None] == ids[..., None, :]
        return together.tril().unsqueeze(-3)


def collate_for_transformers(
    items: Sequence[PackedWindow], *, mask_dtype: torch.dtype = torch.bool
) -> dict[str, torch.Tensor]:
    """Make the batch of a causal language model of transformers: a `data_collator` or `collate_fn`.

    `functools.partial(collate_for_transformers, mask_dtype=model.dtype)` is the collator of a model
    whose `attn_implementation` is `eager`: it adds the mask, and would take a bool one for numbers,
    without a word, so that utterances see each other.

    Args:
        items: of `PackedWindows` or `PackedSequences`.
        mask_dtype: bool for `sdpa`; floating for a mask that is added, 0 or the lowest number.

    Returns:
        `input_ids`, `position_ids` and `labels`, (B, L), and `attention_mask`, (B, 1, L, L).

    Raises:
        ConfigError: the items are others, such as plain windows.
    """
    if not all(isinstance(item, PackedWindow) for item in items):
        raise ConfigError(
            "items of a batch for transformers",
            expected="those of PackedWindows or PackedSequences",
            got=type(items[0]).__name__,
            hint="PackedWindows(windows)",
        )
    batch = PackedWindow(*map(torch.stack, zip(*items, strict=True)))
    mask = batch.attention_mask
    if mask_dtype.is_floating_point:
        lowest = torch.finfo(mask_dtype).min
        mask = torch.zeros(mask.shape, dtype=mask_dtype).masked_fill(~mask, lowest)
    return {
        "input_ids": batch.tokens,
        "position_ids": batch.positions,
        "attention_mask": mask,
        "labels": batch.labels,
    }


class PackedWindows(Dataset[PackedWindow]):
    """`TokenWindows` for packed attention: an item is a `PackedWindow`.

    A token is a target once in an epoch at most: in the first window that has it and, before it, a
    token of its utterance to predict it from. So the first token of an utterance is none (`begin=`
    puts one there that nobody has to predict), nor is the first of a window (with overlap=1 it was
    one in the window before), what further overlap repeats, what fills up the last window, and the
    pads of delayed codes. An utterance ends with its separator, which is a target. Where attention
    goes through a whole window, all but what fills it up are targets: `document_ids >= 0`.
    """

    def __init__(self, windows: TokenWindows, *, positions_go_on: bool = False) -> None:
        """Wrap windows.

        Args:
            windows: to be told of.
            positions_go_on: count positions from the beginning of an utterance, also where a window
                begins in its middle; without, attention sees none further than a window's length.
        """
        self.windows = windows
        self._positions_go_on = positions_go_on

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.windows)

    def __getitem__(self, index: int | slice) -> PackedWindow:
        """Return a window; of a slice several at once, as a `DataLoader` stacks them."""
        windows = self.windows
        if isinstance(index, slice):
            chosen = [self[number] for number in range(len(self))[index]]
            if chosen:
                return PackedWindow(*map(torch.stack, zip(*chosen, strict=True)))
            none = torch.empty((0, windows.window_length), dtype=torch.int64)
            return PackedWindow(windows[:0], none, none, windows[:0].bool())
        number = windows.place(index)
        tokens = windows[number]
        document_ids = torch.full((windows.window_length,), -1)
        positions = torch.arange(windows.window_length)
        loss_mask = torch.zeros(tokens.shape, dtype=torch.bool)
        # what the window before had is no target again, nor what nothing stands before
        first_target = max(1, windows.overlap) if number else 1
        stop = 0
        for part in windows.parts(number):
            stop = part.place + part.length
            document_ids[part.place : stop] = part.row
            positions[part.place : stop] -= part.place
            if self._positions_go_on:
                positions[part.place : stop] += part.first
            loss_mask[..., max(part.place + 1, first_target) : stop] = True
            if windows.numbers.pad is not None:
                body = windows.stream.body(part)
                codes = slice(body.start, body.stop)
                loss_mask[..., codes] &= tokens[..., codes] != windows.numbers.pad
        positions[stop:] -= stop
        return PackedWindow(tokens, document_ids, positions, loss_mask)

    @property
    def windows_before(self) -> Sequence[int]:
        """Number of windows that begin before each shard, then the total: (num_shards + 1,)."""
        return self.windows.windows_before

    @property
    def num_tokens(self) -> int:
        """Number of tokens of all utterances, special ones included."""
        return self.windows.num_tokens

    def made_from(self) -> str:
        """Return a digest of all that the windows follow from."""
        return self.windows.made_from()
