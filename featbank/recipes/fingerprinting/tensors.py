"""Digests of tensors: the values, whichever device holds them."""

from __future__ import annotations

import torch
from xxhash import xxh3_128

_BLOCK = 64 * 2**20  # bytes that a digest copies at once from a device


class NoDigestError(Exception):
    """Something has no digest; the message says why."""


def tensor_digest(tensor: torch.Tensor) -> str:
    """Return the digest of a tensor's dtype, shape and values, in hexadecimal.

    Raises:
        NoDigestError: it has no values yet, or holds them in a way that is not known.
    """
    parts = _parts(tensor)
    state = xxh3_128(f"{tensor.dtype} {tuple(tensor.shape)} {tensor.layout}".encode())
    for part in parts:
        # contiguous rows of bytes: a view where they are so already, and block by block elsewhere
        flat = part.resolve_conj().resolve_neg().reshape(-1)
        step = max(1, _BLOCK // max(1, flat.element_size()))
        for start in range(0, len(flat), step):
            block = flat[start : start + step].cpu().contiguous()
            state.update(block.view(torch.uint8).numpy().data)
    return state.hexdigest()


def _parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return dense tensors that hold all there is to a tensor."""
    if torch.nn.parameter.is_lazy(tensor):
        raise NoDigestError("it has no values before its first forward, which draws them")
    if tensor.is_meta:
        raise NoDigestError("it is on the meta device, and has no values")
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise NoDigestError(f"it is a {type(tensor).__name__}, whose values may lie elsewhere")
    tensor = tensor.detach().as_subclass(torch.Tensor)
    if tensor.is_quantized:
        raise NoDigestError("it is quantized")
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce()
        return [tensor.indices(), tensor.values()]
    if tensor.layout is not torch.strided:
        raise NoDigestError(f"its layout is {tensor.layout}")
    return [tensor]
