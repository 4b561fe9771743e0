"""Drawing of frames from a store: a seeded sample in bounded memory."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import numpy.typing as npt

from featbank.errors import CodebookError
from featbank.tokenizers.fit_sample import Sample

_DRAWN = np.dtype([("key", "f8"), ("utterance", "i8"), ("frame", "i8")])


def draw_frames(store: Sample, num_frames: int, *, seed: int) -> npt.NDArray[np.float32]:
    """Draw frames without replacement, each with the same chance; all if there are too few.

    Every frame has a random key of its own, by the seed, its utterance's id and its place there;
    those with the lowest keys are drawn (bottom-k sampling, Cohen and Kaplan, 2007). So which
    frames of an utterance are drawn does not hang on the order of the store, and a few utterances
    more change few of them. Keys are drawn from lengths alone; only drawn frames are read.

    Args:
        store: of vectors, (D,) a frame.
        num_frames: to draw.
        seed: of the keys.

    Returns:
        (N, D) float32, by their keys: in random order.

    Raises:
        CodebookError: the frames of the store are no vectors.
    """
    if len(store.shape) != 1 or store.header.codebook_size is not None:
        raise CodebookError(
            f"features of store {store.path}",
            expected="a vector of real values a frame",
            got="codes" if store.header.codebook_size is not None else f"shape {store.shape}",
            hint="choose one layer (feature.extractor.layers), or a feature that is no codes",
        )
    drawn = _draw(store, num_frames, seed)
    frames = np.empty((len(drawn), *store.shape), dtype=np.float32)
    places = np.lexsort((drawn["frame"], drawn["utterance"]))  # as they lie in the store
    utterances, starts = np.unique(drawn["utterance"][places], return_index=True)
    for utterance, here in zip(utterances, np.split(places, starts[1:]), strict=True):
        frames[here] = store[store.ids[utterance]][drawn["frame"][here]]
    return frames


def _draw(store: Sample, num_frames: int, seed: int) -> npt.NDArray[np.void]:
    """Return keys and places of the frames with the lowest keys, sorted by key."""
    kept = np.empty(0, dtype=_DRAWN)
    waiting: list[npt.NDArray[np.void]] = []
    num_waiting = 0
    for utterance, (name, length) in enumerate(zip(store.ids, store.frame_counts, strict=True)):
        more = np.empty(length, dtype=_DRAWN)
        digest = sha256(f"{seed} {name}".encode()).digest()
        more["key"] = np.random.default_rng(int.from_bytes(digest, "big")).random(length)
        more["utterance"] = utterance
        more["frame"] = np.arange(length)
        waiting.append(more)
        num_waiting += length
        if num_waiting > num_frames:
            kept, waiting, num_waiting = _lowest([kept, *waiting], num_frames), [], 0
    return _lowest([kept, *waiting], num_frames)


def _lowest(some: list[npt.NDArray[np.void]], number: int) -> npt.NDArray[np.void]:
    every = np.concatenate(some)
    return every[np.argsort(every["key"], kind="stable")[:number]]
