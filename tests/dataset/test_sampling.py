"""Batches and windows come in an order that is the same for all, and goes on after a stop."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from featbank.dataset import BucketBatchSampler, TokenWindows, WindowSampler
from featbank.dataset.permutation import shuffled
from featbank.errors import ConfigError
from featbank.store import StoreWriter, open_store
from tests.waiting import HANG_S, running

LENGTHS = np.random.default_rng(0).integers(0, 200, 500)


def batches(**options: Any) -> BucketBatchSampler:
    return BucketBatchSampler(LENGTHS, **{"max_frames": 1000, "num_buckets": 8, **options})


@given(
    lengths=st.lists(st.integers(0, 50), max_size=60),
    max_frames=st.integers(50, 300),
    max_utterances=st.none() | st.integers(1, 9),
    num_buckets=st.integers(1, 12),
    shuffle=st.booleans(),
)
def test_every_utterance_is_in_one_batch_that_is_not_too_large(
    lengths: list[int],
    max_frames: int,
    max_utterances: int | None,
    num_buckets: int,
    shuffle: bool,
) -> None:
    sampler = BucketBatchSampler(
        lengths,
        max_frames=max_frames,
        max_utterances=max_utterances,
        num_buckets=num_buckets,
        shuffle=shuffle,
    )
    given_batches = list(sampler)
    assert len(given_batches) == len(sampler)
    assert sorted(index for batch in given_batches for index in batch) == [*range(len(lengths))]
    for batch in given_batches:
        assert 0 < len(batch) <= (max_utterances or len(lengths))
        assert max(lengths[index] for index in batch) * len(batch) <= max_frames


def test_buckets_keep_padding_low() -> None:
    sampler = batches()
    padded = sum(len(batch) * max(LENGTHS[batch]) for batch in sampler)
    assert LENGTHS.sum() / padded > 0.85
    random = shuffled(len(LENGTHS), "no buckets").reshape(-1, 10)
    assert LENGTHS.sum() / sum(10 * max(LENGTHS[batch]) for batch in random) < 0.65


def test_the_order_follows_from_seed_and_epoch() -> None:
    first, second = batches(seed=1), batches(seed=1)
    epochs = [list(first) for _ in range(3)]  # one after the other, without being told
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    for epoch in (2, 0, 1, 1):
        second.set_epoch(epoch)
        assert list(second) == epochs[epoch]
    assert epochs[0] != list(batches(seed=2))
    assert list(batches(shuffle=False)) == list(batches(shuffle=False, seed=5))
    # for ever: a run may go on under another version of NumPy
    first_batches = [[172, 179, 489, 260, 142, 402], [357, 233, 362, 25, 204]]
    assert list(batches())[:2] == first_batches


def write_tokens(path: Path, num_utterances: int = 60, **options: Any) -> TokenWindows:
    rng = np.random.default_rng(0)
    with StoreWriter(path, name="units", codebook_size=500, shard_bytes=500) as writer:
        for number in range(num_utterances):
            writer.write(f"u{number:03d}", rng.integers(0, 500, rng.integers(0, 40)))
    return TokenWindows(path, 16, **options)


@pytest.fixture
def windows(tmp_path: Path) -> TokenWindows:
    return write_tokens(tmp_path / "units")


@pytest.mark.parametrize("overlap", [0, 1, 15])
def test_windows_are_the_whole_stream(tmp_path: Path, overlap: int) -> None:
    windows = write_tokens(tmp_path / "units", overlap=overlap)
    store = windows.store
    assert len(store.shards) > 5
    stream = np.concatenate([np.append(store[one].astype(int), 500) for one in store.ids])
    step = 16 - overlap
    assert (len(windows) - 1) * step + 16 >= len(stream) > (len(windows) - 2) * step + 16
    for index in range(len(windows)):
        expected = np.full(16, 500)
        part = stream[index * step : index * step + 16]
        expected[: len(part)] = part
        assert windows[index].tolist() == expected.tolist()
    assert windows[-1].tolist() == windows[len(windows) - 1].tolist()
    with pytest.raises(IndexError, match="expected an index within"):
        windows[len(windows)]


def test_a_window_may_hold_many_shards_and_a_store_may_be_empty(tmp_path: Path) -> None:
    store = write_tokens(tmp_path / "units").store
    whole = TokenWindows(store, 5000, separator=501)
    assert len(whole) == 1
    assert (whole[0] == 501).sum() == 5000 - sum(shard.num_frames for shard in store.shards)
    assert len(write_tokens(tmp_path / "none", 0)) == 0
    assert list(WindowSampler(TokenWindows(tmp_path / "none", 16))) == []


def test_an_overlap_of_a_whole_window_is_refused(windows: TokenWindows) -> None:
    with pytest.raises(ConfigError, match="overlap of windows: expected below 16, got 16"):
        TokenWindows(windows.store, 16, overlap=16)


def test_windows_are_drawn_a_few_shards_at_once(windows: TokenWindows) -> None:
    sampler = WindowSampler(windows, shards_at_once=2)
    order = list(sampler)
    assert sorted(order) == [*range(len(windows))]
    assert order != sorted(order)
    shards = np.searchsorted(windows.windows_before, order, "right") - 1
    spans = [np.flatnonzero(shards == one)[[0, -1]] for one in np.unique(shards)]
    assert len(spans) > 5
    for place in range(len(order)):
        assert sum(first <= place <= last for first, last in spans) <= 2


def samplers(windows: TokenWindows, kind: str, **options: Any) -> Any:
    return batches(**options) if kind == "batches" else WindowSampler(windows, **options)


KINDS = pytest.mark.parametrize("kind", ["batches", "windows"])


@KINDS
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 7])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_share_one_order(
    windows: TokenWindows, kind: str, num_ranks: int, drop_last: bool
) -> None:
    alone = list(samplers(windows, kind))
    ranks = [
        list(samplers(windows, kind, rank=rank, num_ranks=num_ranks, drop_last=drop_last))
        for rank in range(num_ranks)
    ]
    assert len({len(one) for one in ranks}) == 1
    together = [pick for step in zip(*ranks, strict=True) for pick in step]
    if drop_last:
        assert together == alone[: len(alone) // num_ranks * num_ranks]
    else:
        assert together[: len(alone)] == alone
        assert together[len(alone) :] == alone[: len(together) - len(alone)]


@KINDS
@given(data=st.data())
def test_a_resumed_run_gives_what_was_left_on_any_number_of_ranks(
    windows_once: TokenWindows, kind: str, data: Any
) -> None:
    before, after = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    epoch = data.draw(st.integers(0, 2))
    alone = samplers(windows_once, kind)
    alone.set_epoch(epoch)
    whole = list(alone)
    stopped = [samplers(windows_once, kind, rank=rank, num_ranks=before) for rank in range(before)]
    num_done = data.draw(st.integers(0, len(stopped[0])))
    for sampler in stopped:
        sampler.set_epoch(epoch)
        iterator = iter(sampler)
        for _ in range(num_done):
            next(iterator)
    states = [json.dumps(sampler.state_dict()) for sampler in stopped]
    assert len({*states, json.dumps(stopped[0].state_dict(num_done))}) == 1
    left = []
    for rank in range(after):
        sampler = samplers(windows_once, kind, rank=rank, num_ranks=after)
        sampler.load_state_dict(json.loads(states[0]))
        sampler.set_epoch(sampler.epoch)  # as a loop over epochs does
        left.append(list(sampler))
        sampler.set_epoch(epoch + 1)
        assert len(list(sampler)) == len(sampler)
    together = [pick for step in zip(*left, strict=True) for pick in step]
    rest = whole[num_done * before :]
    assert together[: len(rest)] == rest
    assert len(together) - len(rest) < after


@KINDS
def test_a_run_that_is_stopped_twice_counts_from_where_it_went_on(
    windows: TokenWindows, kind: str
) -> None:
    whole = list(samplers(windows, kind))
    state = samplers(windows, kind, rank=0, num_ranks=2).state_dict(num_done=3)
    again = samplers(windows, kind, rank=1, num_ranks=4)
    again.load_state_dict(state)
    rest = iter(again)
    assert [next(rest), next(rest)] == [whole[6 + 1], whole[6 + 4 + 1]]
    state = again.state_dict(num_done=2)
    assert state == again.state_dict()
    alone = samplers(windows, kind)
    alone.load_state_dict(state)
    assert list(alone) == whole[6 + 8 :]


def test_numpys_integers_are_the_same_seeds_and_epochs(windows: TokenWindows) -> None:
    ours, numpys = WindowSampler(windows, seed=3), WindowSampler(windows, seed=np.int64(3))
    ours.set_epoch(1)
    numpys.set_epoch(np.int64(1))
    assert list(ours) == list(numpys)
    assert json.dumps(ours.state_dict()) == json.dumps(numpys.state_dict())


@pytest.fixture(scope="module")
def windows_once(tmp_path_factory: pytest.TempPathFactory) -> TokenWindows:
    return write_tokens(tmp_path_factory.mktemp("once") / "units")


def test_a_state_of_something_else_is_refused(windows: TokenWindows, tmp_path: Path) -> None:
    state = batches().state_dict()
    for other in (batches(seed=1), batches(max_frames=900), batches(shuffle=False)):
        with pytest.raises(ConfigError, match="expected the data, seed and settings"):
            other.load_state_dict(state)
    state = WindowSampler(windows).state_dict()
    grown = write_tokens(tmp_path / "grown", 61)
    for other in (WindowSampler(grown), WindowSampler(TokenWindows(windows.store, 17))):
        with pytest.raises(ConfigError, match="expected the data, seed and settings"):
            other.load_state_dict(state)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_workers_change_no_order_and_a_loader_goes_on_where_it_was(
    windows: TokenWindows, num_workers: int
) -> None:
    whole = [windows[index].tolist() for index in WindowSampler(windows, seed=3)]
    sampler = WindowSampler(windows, seed=3)
    loader = DataLoader(windows, batch_size=4, sampler=sampler, num_workers=num_workers)
    first = []
    for step, batch in enumerate(loader, start=1):
        first += batch.tolist()
        if step == 3:
            state = sampler.state_dict(num_done=4 * step)  # workers have fetched ahead
            break
    resumed = WindowSampler(windows, seed=3)
    resumed.load_state_dict(state)
    rest = DataLoader(windows, batch_size=4, sampler=resumed, num_workers=num_workers)
    assert first + [window for batch in rest for window in batch.tolist()] == whole


def test_wrong_numbers_are_refused(windows: TokenWindows) -> None:
    for call, message in (
        (lambda: batches(max_frames=100), r"expected \d+ or more, the length of utterance \d+"),
        (lambda: batches(max_frames=0), "expected 1 or more, got 0"),
        (lambda: batches(max_utterances=0), "max_utterances of batches: expected 1 or more"),
        (lambda: batches(num_buckets=0), "num_buckets of batches: expected 1 or more"),
        (lambda: batches(max_frames=1e3), "expected a whole number, 1 or more, got 1000.0"),
        (lambda: batches(max_utterances="9"), "expected a whole number, 1 or more, got '9'"),
        (lambda: batches(seed=None), "seed of a sampler: expected a whole number, got None"),
        (lambda: BucketBatchSampler([-2, -1], max_frames=9), "utterance 0: expected 0 frames or"),
        (lambda: batches(rank=0), "expected both or neither, got one"),
        (lambda: batches(rank=2, num_ranks=2), "rank: expected 0 to 1, got 2"),
        (lambda: WindowSampler(windows, shards_at_once=0), "expected 1 or more, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            call()


RANK = """
import json, sys, torch
from featbank.dataset import BucketBatchSampler
path, rank = sys.argv[1], int(sys.argv[2])
torch.distributed.init_process_group("gloo", f"file://{path}", rank=rank, world_size=2)
print(json.dumps(list(BucketBatchSampler(range(1, 40), max_frames=100))))
torch.distributed.barrier()
"""


@pytest.mark.slow
def test_a_torch_distributed_run_is_shared_out(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", RANK, str(tmp_path / "x"), str(rank)] for rank in (0, 1)]
    with ExitStack() as stack:
        processes = [stack.enter_context(running(one, stdout=subprocess.PIPE)) for one in commands]
        ranks = [json.loads(process.communicate(timeout=HANG_S)[0]) for process in processes]
    alone = list(BucketBatchSampler(range(1, 40), max_frames=100))
    assert [pick for step in zip(*ranks, strict=True) for pick in step][: len(alone)] == alone


def test_a_store_keeps_its_ids_out_of_memory_and_finds_them(windows: TokenWindows) -> None:
    ids = windows.store.ids
    assert [ids.index(one) for one in ids] == [*range(60)]
    assert ids.index("u010", 5) == 10
    for arguments in (("nobody",), ("u010", 11), ("u010", 0, 10)):
        with pytest.raises(ValueError, match="expected an id among 60"):
            ids.index(*arguments)
    assert ids == open_store(windows.store.path).ids == list(ids)
    assert ids != list(ids)[:-1]
