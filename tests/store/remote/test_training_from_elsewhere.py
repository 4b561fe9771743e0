"""Datasets, windows and samplers read a store elsewhere as one on this disk, in workers too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from featbank.dataset import BucketBatchSampler, FeatureDataset, TokenWindows, WindowSampler
from tests.store.remote.range_server import RangeServer


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_those_of_the_store_on_this_disk(
    server: RangeServer, stores: Path, num_workers: int
) -> None:
    found, local = (
        [*_batches(FeatureDataset({"ssl": path}), workers)]
        for path, workers in ((f"{server.url}/ssl", num_workers), (stores / "ssl", 0))
    )
    for one, other in zip(found, local, strict=True):
        assert one["id"] == other["id"]
        assert torch.equal(one["ssl"].values, other["ssl"].values)
        assert torch.equal(one["ssl"].lengths, other["ssl"].lengths)


def _batches(dataset: FeatureDataset, num_workers: int) -> Any:
    _ = dataset[1]  # a parent that has read, before it forks
    sampler = BucketBatchSampler(dataset, max_frames=500)
    return DataLoader(
        dataset, batch_sampler=sampler, collate_fn=dataset.collate, num_workers=num_workers
    )


def test_a_batch_of_a_dataset_is_one_round_of_requests(server: RangeServer) -> None:
    dataset = FeatureDataset({"large": f"{server.url}/large"})
    dataset.stores["large"].open_shard(0)
    server.requests.clear()
    items = dataset.__getitems__(range(0, 100, 10))
    dataset.collate(items)
    assert len(server.requests) == 10
    dataset.collate(items)
    assert len(server.requests) == 10


def test_windows_of_tokens_are_those_of_the_store_on_this_disk(
    server: RangeServer, stores: Path
) -> None:
    found, local = (
        [*DataLoader(windows, sampler=WindowSampler(windows), batch_size=16)]
        for windows in (
            TokenWindows(path, 100, separator=500)
            for path in (f"{server.url}/units", stores / "units")
        )
    )
    for one, other in zip(found, local, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else str(one) == str(other)
