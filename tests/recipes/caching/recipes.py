"""What the tests of caching share: a recipe that counts what it computes, and what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from featbank.recipes import FeatureBrain

CONFIGS = [
    {"name": "mean", "dtype": "float16", "writer_kwargs": {"shard_bytes": 2000}},
    {"name": "units", "dtype": "uint16"},
]


class Speech(Dataset[Any]):
    """Waveforms of lengths that differ, under ids that are not in order."""

    def __init__(self, ids: Sequence[str], noise: bool = False) -> None:
        self.ids = list(ids)
        self.noise = noise
        self.num_loaded = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[str, torch.Tensor]:
        self.num_loaded += 1
        generator = torch.Generator().manual_seed(int(self.ids[index].removeprefix("u")))
        num_samples = int(torch.randint(20, 400, (1,), generator=generator))
        waveform = torch.randn(num_samples, generator=generator)
        return self.ids[index], waveform + torch.rand(1) if self.noise else waveform


def pad(items: Sequence[tuple[str, torch.Tensor]]) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Collate into ids, padded waveforms (B, T) and lengths as shares of T."""
    ids, waveforms = zip(*items, strict=True)
    longest = max(map(len, waveforms))
    padded = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
    return list(ids), padded, torch.tensor([len(one) / longest for one in waveforms])


class Counting(FeatureBrain):
    """Means of ten samples each, times a gain; remembers the ids that it computed."""

    def __init__(
        self, path: Path, gain: float = 1.0, configs: Any = CONFIGS, **options: Any
    ) -> None:
        named = {"fingerprint_with": {"gain": gain, "self.computed": "the tests'"}, **options}
        super().__init__(configs, path, **named)
        self.gain = gain
        self.computed: list[str] = []

    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        ids, padded, shares = batch
        self.computed += ids
        rows = []
        for one, waveform, share in zip(ids, padded, shares, strict=True):
            frames = waveform[: round(float(share) * padded.shape[1]) // 10 * 10].reshape(-1, 10)
            mean = self.gain * frames.mean(1, keepdim=True)
            rows.append({"id": one, "mean": mean, "units": (mean[:, 0].abs() * 1000).long()})
        return rows


def published(folder: Path) -> dict[str, bytes]:
    """The bytes of all that a recipe published."""
    found = (path.relative_to(folder) for path in sorted(folder.rglob("*")))
    return {
        str(path): (folder / path).read_bytes()
        for path in found
        if not any(part.startswith(".") for part in path.parts) and (folder / path).is_file()
    }


def inodes(folder: Path) -> dict[str, int]:
    """The inodes of all that a recipe published: others where it was written anew."""
    return {name: (folder / name).stat().st_ino for name in published(folder)}


def clean(path: Path, dataset: Dataset[Any], **options: Any) -> Mapping[str, bytes]:
    """What one call publishes in a folder of its own."""
    Counting(path, **options).cache_features(dataset, "train", collate_fn=pad)
    return published(path)


def same_values(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> bool:
    """Tell whether two arrays have the same shape and values."""
    return first.shape == second.shape and bool((first == second).all())
