"""Attention over padded rows, in which no frame sees the padding of its row.

Which kernel computes follows from the shape and the device, never from what is in the rows, so that
mates change no bit. Where nothing is added to the scores and a GPU computes in 16 bits, that is a
kernel for rows of their own lengths, which passes the padding by. Else torch's
`scaled_dot_product_attention` is given what is to be added: one number a key, or the relative
positions of WavLM with the padding in them, laid out so that no kernel has to copy it.
"""

from __future__ import annotations

import inspect
import logging
from functools import cache, cached_property

import torch
from torch.nn.functional import scaled_dot_product_attention

logger = logging.getLogger(__name__)

_ALIGNED = 8  # values; the memory-efficient kernel copies rows of scores that begin elsewhere
_PROBED = (64, 192)  # frames: torch takes cuDNN for rows of over 128


class ValidFrames:
    """Frames of padded rows that are no padding, in the forms that attention takes.

    All are made on the device, once a batch, without waiting for it.

    Args:
        num_frames: (B,), int64: of each row, over 0.
        size: T, of the padded rows.
        dtype: in which attention computes.
    """

    def __init__(self, num_frames: torch.Tensor, size: int, dtype: torch.dtype) -> None:
        self._num_frames = num_frames
        self._size = size
        self._dtype = dtype

    @cached_property
    def mask(self) -> torch.Tensor:
        """(B, T), true where a frame is no padding."""
        return self._within(self._size)

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        gate: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the attention of all heads, (B, T, H x D).

        Args:
            query: (B, T, H, D).
            key: likewise.
            value: likewise.
            gate: (B, H, T, 1), by which each row of `bias` is multiplied.
            bias: of `aligned(T)` columns, (1, H, T, aligned): added to the scores.
        """
        if bias is None and has_varlen(query.device, query.dtype, query.shape[-1]):
            return self._by_lengths(query, key, value)
        scores = self.aligned_scores
        if bias is not None:
            assert gate is not None
            scores = torch.addcmul(scores, gate, bias)
        heads = scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=scores[..., : self._size],
        )
        return heads.transpose(1, 2).flatten(2)

    def _by_lengths(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        # rows stay where they are, padding and all: only as many keys are read as a row has
        return _varlen(
            query.flatten(0, 1),
            key.flatten(0, 1),
            value.flatten(0, 1),
            starts=self._starts,
            size=self._size,
            num_keys=self._num_keys,
        ).view(*query.shape[:2], -1)

    @property
    def scores(self) -> torch.Tensor:
        """(B, 1, 1, T), to be added to the scores of attention: 0 for a valid key, else -inf."""
        return self.aligned_scores[..., : self._size]

    @cached_property
    def aligned_scores(self) -> torch.Tensor:
        """The same with `aligned(T)` columns."""
        hidden = ~self._within(aligned(self._size))
        scores = torch.zeros(hidden.shape, dtype=self._dtype, device=hidden.device)
        return scores.masked_fill_(hidden, float("-inf"))[:, None, None]

    @cached_property
    def _starts(self) -> torch.Tensor:
        number = len(self._num_frames) + 1
        return self._size * torch.arange(number, dtype=torch.int32, device=self._num_frames.device)

    @cached_property
    def _num_keys(self) -> torch.Tensor:
        return self._num_frames.to(torch.int32)

    def _within(self, size: int) -> torch.Tensor:
        frames = torch.arange(size, device=self._num_frames.device)
        return frames < self._num_frames.unsqueeze(1)


def aligned(size: int) -> int:
    """Return how many columns scores of `size` keys are stored in.

    >>> aligned(749)
    752
    """
    return -(-size // _ALIGNED) * _ALIGNED


@cache
def has_varlen(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Tell whether a device's kernel for rows of their own lengths gives what it should.

    It is held against the other way on small rows, once a process: torch chooses it by the GPU,
    cuDNN and its own version, of which not all have it.

    Args:
        device: that attention runs on.
        dtype: in which.
        width: of a head.
    """
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16) or width % 8:
        return False
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # torch 2.9
        return False
    if "seqused_k" not in inspect.signature(varlen_attn).parameters:
        return False
    try:
        wrong = [size for size in _PROBED if _deviation(device, dtype, width, size) > 0.02]
    except torch.OutOfMemoryError:
        raise  # which says nothing of the kernel
    except RuntimeError as error:  # no such kernel for this GPU
        logger.info("attention by masks: %s", str(error).partition("\n")[0])
        return False
    if wrong:
        logger.warning("attention by masks: torch's varlen kernel is off at %s frames", wrong)
    return not wrong


def _deviation(device: torch.device, dtype: torch.dtype, width: int, size: int) -> float:
    """Return the greatest difference between both ways, on values of up to 1."""
    values = torch.arange(3 * 2 * size * width, dtype=torch.float32, device=device)
    query, key, value = values.sin().view(3, 2, size, 1, width).to(dtype).unbind()
    valid = ValidFrames(torch.tensor([size, size // 3 + 1], device=device), size, dtype)
    found = valid._by_lengths(query, key, value)
    expected = scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=valid.mask[:, None, None].expand(-1, 1, size, -1),
    )
    return float((found - expected.transpose(1, 2).flatten(2)).abs().amax())


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    starts: torch.Tensor,
    size: int,
    num_keys: torch.Tensor,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    output = varlen_attn(query, key, value, starts, starts, size, size, seqused_k=num_keys)
    assert isinstance(output, torch.Tensor)  # a pair, on request
    return output
