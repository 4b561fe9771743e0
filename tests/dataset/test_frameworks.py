"""Under every framework, every utterance is read once, on however many ranks, and after a stop."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.store import StoreWriter
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("ranks.py")
NUM_UTTERANCES = 61

Ranks = list[dict[str, Any]]


def launched(folder: Path, frameworks: str, num_ranks: int) -> Ranks:
    """Run ranks as a launcher does; return what each wrote down, by framework."""
    rng = np.random.default_rng(0)
    with StoreWriter(folder / "units", name="u", codebook_size=500, shard_bytes=500) as writer:
        for number in range(30):
            writer.write(f"u{number:03d}", rng.integers(0, 500, rng.integers(10, 50)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launcher = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(num_ranks)}
    if num_ranks == 1:
        launcher = {}  # run by hand
    processes = []
    for rank in range(num_ranks):
        here = launcher | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if launcher else {}
        with (folder / f"rank{rank}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, SCRIPT, frameworks, folder],
                    env={**os.environ, "OMP_NUM_THREADS": "1", **here},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    try:  # a rank that fails leaves the others waiting
        wait_until(
            lambda: (
                all(one.poll() == 0 for one in processes) or any(one.poll() for one in processes)
            ),
            "ranks hang",
        )
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for rank, process in enumerate(processes):
        if process.returncode > 0:
            pytest.fail((folder / f"rank{rank}.log").read_text())
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(num_ranks)]


@pytest.fixture(scope="module", params=[3], ids="{} ranks".format)
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    return launched(tmp_path_factory.mktemp("ranks"), "torch_alone,accelerate", request.param)


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    return launched(tmp_path_factory.mktemp("trainers"), "transformers,lightning", 2)


@pytest.fixture(scope="module", params=[1, 3], ids="{} ranks".format)
def brains(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    frameworks = "speechbrain,loop_around_speechbrain"
    return launched(tmp_path_factory.mktemp("brains"), frameworks, request.param)


def assert_all_are_read(given: list[Any], kind: str = "batches", *, once: bool = False) -> None:
    """Hold that all is read, again at most what fills a round of the ranks.

    Args:
        given: batches of each rank.
        kind: of what: utterances or windows.
        once: nothing is read again, and a rank may end a step before another.
    """
    numbers = [number for batches in given for batch in batches for number in batch]
    count = NUM_UTTERANCES if kind == "batches" else max(numbers) + 1
    assert {*numbers} == {*range(count)}
    steps = {len(batches) for batches in given}
    if once:
        assert len(numbers) == count
        assert max(steps) - min(steps) <= 1
        return
    assert len(steps) == 1
    if kind == "batches":  # whole batches
        different = {tuple(batch) for batches in given for batch in batches}
        assert len(given) * steps.pop() - len(different) < len(given)
        assert sum(map(len, different)) == count
    else:
        assert len(numbers) - count < 4 * len(given)


def of(ranks: Ranks, framework: str, name: str) -> list[Any]:
    return [rank[framework][name] for rank in ranks]


def passes(ranks: Ranks, framework: str, name: str) -> list[list[Any]]:
    """Return batches by pass and rank."""
    found = [list(one) for one in zip(*of(ranks, framework, name), strict=True)]
    assert found[0] != found[-1] or len(found) == 1  # epochs differ
    return found


@pytest.mark.parametrize("name", ["made before the group", "read before the group"])
def test_a_sampler_may_be_made_and_read_before_the_group(ranks: Ranks, name: str) -> None:
    given = of(ranks, "torch_alone", name)
    assert_all_are_read(given)
    for rank, found in enumerate(of(ranks, "torch_alone", "lengths")):
        assert found == [len(given[0]), len(ranks), rank, 0]


def test_ranks_typed_by_hand_win(ranks: Ranks) -> None:
    for whole, second in of(ranks, "torch_alone", "typed"):
        assert_all_are_read([whole], once=True)
        assert second[:-1] == whole[1::2][: len(second) - 1]


@pytest.mark.parametrize("kind", ["batches", "windows"])
def test_torch_alone_reads_all(ranks: Ranks, kind: str) -> None:
    given = of(ranks, "torch_alone", f"{kind} with workers")
    assert_all_are_read(given, kind)
    for num_workers in (0, 2):
        for again, whole in of(ranks, "torch_alone", f"{kind} resumed with {num_workers} workers"):
            assert again == whole


@pytest.mark.parametrize("kind", ["batches", "windows"])
def test_accelerate_reads_all(ranks: Ranks, kind: str) -> None:
    for given in passes(ranks, "accelerate", kind):
        assert_all_are_read(given, kind)
    assert_all_are_read(of(ranks, "accelerate", f"{kind} once"), kind, once=True)


@pytest.mark.parametrize("kind", ["batches", "windows"])
def test_accelerate_goes_on(ranks: Ranks, kind: str) -> None:
    names = ["skipped", "skipped none", "resumed with 0 workers", "resumed with 2 workers"]
    for name in names:
        for again, whole in of(ranks, "accelerate", f"{kind} {name}"):
            assert again == whole
    for given in passes(ranks, "accelerate", f"{kind} by state"):
        assert_all_are_read(given, kind)
    for message in of(ranks, "accelerate", f"{kind} ahead"):
        assert "expected num_done=, the picks that each rank is done with" in message


def test_what_accelerate_would_lose_is_refused(ranks: Ranks) -> None:
    messages = of(ranks, "accelerate", "dispatched")
    for message in (*messages, *of(ranks[:1], "accelerate", "dispatched, skipped")):
        assert message.startswith("ConfigError: batches of a sampler under accelerate: expected d")
    for message in of(ranks, "accelerate", "split"):
        assert message.startswith("ValueError: In order to use `split_batches==True`")
    for name in ("windows dispatched", "windows split"):
        assert_all_are_read(of(ranks, "accelerate", name), "windows")


def test_the_trainer_of_transformers_reads_all_and_goes_on(trainers: Ranks) -> None:
    for given in passes(trainers, "transformers", "batches"):
        assert_all_are_read(given)
    for again, whole in of(trainers, "transformers", "skipped"):
        assert again == whole
    assert_all_are_read([given for (given,) in of(trainers, "transformers", "by state")])
    for message in of(trainers, "transformers", "both"):
        assert "more to skip; transformers: ignore_data_skip=True" in message


@pytest.mark.parametrize("kind", ["batches", "windows", "windows wrapped"])
def test_lightning_reads_all(trainers: Ranks, kind: str) -> None:
    for given in passes(trainers, "lightning", kind):
        assert_all_are_read(given, kind.split()[0])


def test_lightning_goes_on(trainers: Ranks) -> None:
    for rank in trainers:
        resumed = [found for name, found in rank["lightning"].items() if "resumed at" in name]
        assert len(resumed) == 7
        for again, whole in resumed:
            assert again == whole


def test_what_lightning_would_lose_is_refused(trainers: Ranks) -> None:
    for message in of(trainers, "lightning", "not told"):
        assert "set `Trainer(use_distributed_sampler=False)`" in message
    for name in ("windows wrapped at 0", "windows wrapped at 2"):
        for message in of(trainers, "lightning", name):
            assert "use_distributed_sampler=False" in message
            assert "got DistributedSamplerWrapper, which is told its epoch too late" in message


@pytest.mark.parametrize("kind", ["batches", "windows"])
def test_speechbrain_reads_all_and_goes_on(brains: Ranks, kind: str) -> None:
    for given in passes(brains, "speechbrain", kind):
        assert_all_are_read(given, kind)
    for again, whole in of(brains, "speechbrain", f"{kind} resumed"):
        assert again == whole


@pytest.mark.parametrize("kind", ["batches", "windows"])
def test_a_loop_around_speechbrains_loader_must_tell_the_epoch(brains: Ranks, kind: str) -> None:
    for first, again, second in of(brains, "loop_around_speechbrain", f"{kind} resumed"):
        assert first != again == second
    for message in of(brains, "loop_around_speechbrain", f"{kind} not told"):
        assert (
            "expected set_epoch(epoch), with the epoch that is resumed, got no call of it"
            in message
        )
