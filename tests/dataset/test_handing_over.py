"""Tensors that workers hand over keep their values for as long as anybody looks at them."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from featbank.dataset.handing_over import SMALL_BYTES
from featbank.dataset.padding import Padded, pad

LARGE = SMALL_BYTES // 4  # float32 values
NUM_BATCHES = 60


class Numbers(Dataset[Any]):
    """Arrays of one number, and with it the process that made them and how much it shares."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return NUM_BATCHES

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, int]:
        # lengths differ, so that pieces grow
        values = np.full((self.length + 1000 * (index % 7), 1), index, np.float32)
        return values, os.getpid(), shared_mb()


def shared_mb() -> int:
    [line] = [
        line for line in Path("/proc/self/status").read_text().split("\n") if "RssShmem" in line
    ]
    return int(line.split()[1]) // 1024


def collate(items: list[tuple[np.ndarray, int, int]]) -> tuple[Padded, int, int]:
    [(values, process, shared)] = items
    return pad([values]), process, shared


def loader(length: int, **options: Any) -> DataLoader[Any]:
    return DataLoader(Numbers(length), batch_size=1, collate_fn=collate, **options)


@pytest.mark.parametrize("length", [10, LARGE])
@pytest.mark.parametrize(("num_workers", "context"), [(0, None), (2, "fork"), (1, "spawn")])
def test_batches_that_are_kept_keep_their_values(
    length: int, num_workers: int, context: str | None
) -> None:
    kept: list[tuple[int, Any]] = []
    shared = 0
    batches = loader(length, num_workers=num_workers, multiprocessing_context=context)
    for index, (padded, process, shared_there) in enumerate(batches):
        assert type(padded.values) is torch.Tensor or num_workers == 0
        assert (process == os.getpid()) == (num_workers == 0)
        shared = max(shared, shared_there)
        assert padded.values.shape == (1, length + 1000 * (index % 7), 1)
        assert padded.lengths.tolist() == [padded.values.shape[1]]
        if index % 5 == 0:  # in any way that one can hold on to it
            view = [padded.values, padded.values[0, 5:], padded.values.numpy()[0, 1:2]][index % 3]
            kept.append((index, view))
        del padded
        for number, one in kept:
            assert (one == number).all()
    # most pieces are filled again: 60 would take 30 MB and more
    assert shared < 20 or length < LARGE


class Sliced:
    """What people do in a collate function of their own."""

    def __call__(self, items: Any) -> Any:
        padded, *_ = collate(items)
        assert isinstance(padded.values, torch.Tensor)
        return padded.values[:, 3:], padded.values * 2, torch.stack([padded.values[0]])


def test_other_tensors_made_of_one_travel_as_torch_has_it() -> None:
    batches = DataLoader(Numbers(LARGE), batch_size=1, collate_fn=Sliced(), num_workers=2)
    held = [(index, one) for index, batch in enumerate(batches) for one in batch]
    for index, one in held:
        assert type(one) is torch.Tensor
        assert ((one == index) | (one == 2 * index)).all()


def test_a_fork_of_the_training_process_frees_nothing() -> None:
    batches = iter(loader(LARGE, num_workers=1, prefetch_factor=1))
    held, *_ = next(batches)
    child = os.fork()
    if child == 0:
        del held
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    for _ in range(20):
        next(batches)
    assert (held.values == 0).all()


def test_an_early_end_and_persistent_workers_lose_nothing() -> None:
    batches = loader(LARGE, num_workers=2, persistent_workers=True)
    for _ in range(5):
        for index, (padded, *_) in enumerate(batches):
            assert (padded.values == index).all()
            if index == 9:
                break
