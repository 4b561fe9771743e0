"""Tensors that workers hand over keep their values for as long as anybody looks at them."""

from __future__ import annotations

import copy
import errno
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from featbank.dataset import handing_over
from featbank.dataset.handing_over import SMALL_BYTES
from featbank.dataset.padding import Padded, pad
from tests.waiting import HANG_S

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


def sliced(padded: Padded) -> Any:
    return padded.values[:, 3:], padded.values * 2, torch.stack([padded.values[0]])


def view_before_whole(padded: Padded) -> Any:
    return padded.values[:, 3:], padded.values


def sent_twice(padded: Padded) -> Any:
    return padded.values, padded, copy.copy(padded.values)


def transposed(padded: Padded) -> Any:
    return padded.values.expand(-1, -1, 3).contiguous(), padded.values.transpose_(1, 2)


def exchanged(padded: Padded) -> Any:
    padded.values.data = padded.values.data * 2
    return padded.values


def copied(padded: Padded) -> Any:
    with BytesIO() as file:
        torch.save(padded.values, file)
        file.seek(0)
        return copy.deepcopy(padded), torch.load(file)


def moved(padded: Padded) -> Any:
    return padded.values.share_memory_(), padded.values.numpy()


remembered: list[Any] = []


def with_earlier_ones(padded: Padded) -> Any:
    remembered.append(padded)
    for earlier in remembered[-4:]:
        assert (earlier.values == earlier.values.flatten()[0]).all()
    return remembered[-1], [earlier.values for earlier in remembered[-4:-1]]


class Own:
    """A collate function of one's own, over ours."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def __call__(self, items: Any) -> Any:
        padded, *_ = collate(items)
        return self.change(padded)


def tensors(batch: Any) -> list[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        return [batch]
    if isinstance(batch, np.ndarray):
        return [torch.from_numpy(batch)]
    return [one for part in batch for one in tensors(part)]


@pytest.mark.parametrize("length", [10, LARGE])
@pytest.mark.parametrize(
    "change",
    [
        sliced,
        view_before_whole,
        sent_twice,
        transposed,
        exchanged,
        copied,
        moved,
        with_earlier_ones,
    ],
)
def test_whatever_a_collate_function_does_no_value_changes(change: Any, length: int) -> None:
    batches = []
    for num_workers in (0, 1):
        remembered.clear()
        loader = DataLoader(Numbers(length), collate_fn=Own(change), num_workers=num_workers)
        batches.append(list(loader))
    alone, handed = [[*map(tensors, one)] for one in batches]
    for expected, found in zip(alone, handed, strict=True):
        for one, other in zip(expected, found, strict=True):
            assert type(other) is torch.Tensor
            assert one.shape == other.shape
            assert torch.equal(one, other)


FORKED = """
import os
from tests.dataset.test_handing_over import LARGE, loader
batches = iter(loader(LARGE, num_workers=1, prefetch_factor=1))
held, *_ = next(batches)
ended, end = os.pipe()
child = os.fork()
if child == 0:
    os.close(end)
    os.read(ended, 1)  # until its parent has gone through the other batches
    os._exit(0 if (held.values == 0).all() else 1)
del held
for _ in range(40):
    next(batches)
os.close(end)
print(os.waitpid(child, 0)[1])
"""


def test_a_fork_of_the_training_process_keeps_its_batch() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, env=environment, timeout=HANG_S
    )
    assert done.stdout == b"0\n", done.stderr


def test_an_early_end_and_persistent_workers_lose_nothing() -> None:
    batches = loader(LARGE, num_workers=2, persistent_workers=True)
    for _ in range(5):
        for index, (padded, *_) in enumerate(batches):
            assert (padded.values == index).all()
            if index == 9:
                break


def test_a_system_without_memory_files_hands_over_as_torch_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: str) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refuse)
    handing_over._has_memory_files.cache_clear()
    try:
        for index, (padded, *_) in enumerate(loader(LARGE, num_workers=1)):
            assert (padded.values == index).all()
            if index == 3:
                break
    finally:
        handing_over._has_memory_files.cache_clear()
