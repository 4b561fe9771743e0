"""Ranks compute a split together: the store is that of one process, whoever fails meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset

from featbank.errors import FeatbankError
from featbank.feature_io import FeatureStorageConfig
from featbank.ranks import alone
from featbank.recipes import FeatureBrain
from featbank.store import open_store
from tests.launching import launch
from tests.waiting import wait_until

CONFIGS = [
    FeatureStorageConfig("twice", "float16", writer_kwargs={"shard_bytes": 600}),
    FeatureStorageConfig("sums", "int8_scaled", writer_kwargs={"time_axis": 0}),
]


class Rows(Dataset[Any]):
    """Utterances of 1 to 5 frames; loading one of them may go wrong."""

    def __init__(self, size: int, wrong_at: int = -1, how: str = "") -> None:
        self.size = size
        self.wrong_at = wrong_at
        self.how = how

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.wrong_at and self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if index == self.wrong_at and self.how == "raise":
            raise ValueError("boom")
        generator = torch.Generator().manual_seed(index)
        return {
            "id": f"u{(7 * index) % 100:02}",
            "values": torch.randn(1 + index % 5, 4, generator=generator),
        }


class Named(Rows):
    """Tells its utterances before it loads them."""

    def digests(self) -> list[tuple[str, int]]:
        return [(f"u{(7 * index) % 100:02}", index) for index in range(self.size)]


class Nameless(Rows):
    """Leaves the ids to who collates."""

    def __getitem__(self, index: int) -> Any:
        return tuple(super().__getitem__(index).values())[::-1]


def named(rows: list[Any]) -> dict[str, Any]:
    return {"id": [row[1] for row in rows], "values": [row[0] for row in rows]}


def columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: [row[name] for row in rows] for name in rows[0]}


class Recipe(FeatureBrain):
    """Counts what it computes."""

    def __init__(self, path: Path, *, seed: int = 0) -> None:
        torch.manual_seed(seed)
        super().__init__(CONFIGS, path, modules={"linear": torch.nn.Linear(4, 4)}, progress=False)
        self.computed: list[str] = []

    def compute_features(self, batch: Any, stage: str) -> Any:
        self.computed.extend(batch["id"])
        # the mean over a batch stands for what depends on batch mates
        mean = torch.cat(batch["values"]).mean() if stage == "mates" else torch.zeros(())
        return [
            {"id": one, "twice": self.modules["linear"](values), "sums": values + mean}
            for one, values in zip(batch["id"], batch["values"], strict=True)
        ]


def cached(recipe: Recipe, *arguments: Any, **options: Any) -> Any:
    """What a call computes, in the order of ids, or how it ends."""
    recipe.computed.clear()
    try:
        recipe.cache_features(*arguments, **options)
    except (FeatbankError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return sorted(recipe.computed)


def well(rank: int, size: int, path: Path) -> dict[str, Any]:
    """Calls that end well."""
    recipe = Recipe(path)
    options = {"batch_size": 1, "collate_fn": columns}
    found = {"batch 1": cached(recipe, Rows(20), "train", **options)}
    found["readers"] = sorted(recipe.feature_readers["train"])
    found["again"] = cached(recipe, Rows(20), "train", **options)
    found["named"] = cached(recipe, Named(20), "named", **options)
    found["two more"] = cached(recipe, Named(22), "named", **options)
    found["overwrite"] = cached(recipe, Named(22), "named", overwrite=True, **options)
    options["batch_size"] = 3
    found["batch 3"] = cached(recipe, Rows(20), "dev", **options)
    found["loader"] = cached(recipe, DataLoader(Rows(20), shuffle=True, **options), "loader")
    sampler = DistributedSampler(Rows(20), size, rank)
    found["repeating"] = cached(
        recipe, DataLoader(Rows(20), sampler=sampler, **options), "repeating"
    )
    dataset = Named(20)
    found["sampler"] = cached(
        recipe, dataset, "sampler", sampler=DistributedSampler(dataset, size, rank), **options
    )
    few = DistributedSampler(Rows(2), size, rank)
    found["few"] = cached(recipe, DataLoader(Rows(2), sampler=few, **options), "few")
    own = [columns([Rows(20)[index]]) for index in range(rank, 20, size)]
    found["own"] = cached(recipe, own, "own")
    options["collate_fn"] = named
    found["nameless"] = cached(recipe, Nameless(20), "nameless", **options)
    options["collate_fn"] = columns
    if rank == 0:
        with alone():
            found["alone"] = cached(recipe, Rows(20), "alone", **options)
    torch.distributed.barrier()  # where run_on_main has the others wait
    found["known to all"] = cached(recipe, Rows(20), "alone", **options)
    return found


def everything(path: Path, split: str) -> dict[str, bytes]:
    return {
        f"{feature}/{one.name}": one.read_bytes()
        for feature in ("twice", "sums")
        for one in (path / feature / split).iterdir()
    }


def ids(size: int) -> list[str]:
    return sorted(f"u{(7 * index) % 100:02}" for index in range(size))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ranks_write_the_store_of_one_process_and_compute_each_utterance_once(
    tmp_path: Path, size: int
) -> None:
    ranks = launch(well, size, tmp_path / "found", size, tmp_path)

    def computed(name: str) -> list[str]:
        return sorted(one for found in ranks for one in found[name])

    for name in ("batch 1", "named", "batch 3", "loader", "own"):
        assert computed(name) == ids(20), name
        assert size == 1 or all(0 < len(found[name]) < 20 for found in ranks), name
    assert computed("again") == computed("known to all") == []
    assert computed("two more") == sorted(set(ids(22)) - set(ids(20)))
    assert [len(found["two more"]) for found in ranks] == [[2], [1, 1], [1, 1, 0]][size - 1]
    assert computed("overwrite") == ids(22)
    assert all(found["readers"] == ["sums", "twice"] for found in ranks)
    # 20 utterances of 3 ranks: one comes twice, on two ranks; 2 of 3 ranks: on one
    assert sorted(set(computed("repeating"))) == sorted(set(computed("sampler"))) == ids(20)
    assert ranks[0]["alone"] == ids(20)
    expected = everything(tmp_path, "alone")
    assert len(expected) > 4
    for split in ("train", "dev", "loader", "repeating", "own", "nameless"):
        assert everything(tmp_path, split) == expected, split
    stores = [open_store(tmp_path / "twice" / split) for split in ("sampler", "alone")]
    assert all((stores[0][one] == stores[1][one]).all() for one in ids(20))
    assert list(open_store(tmp_path / "twice" / "few").ids) == ids(2)
    assert list(open_store(tmp_path / "twice" / "named").ids) == ids(22)
    assert not (tmp_path / ".featbank-work").exists()


def badly(rank: int, size: int, path: Path) -> dict[str, Any]:
    """Calls that fail."""
    options: dict[str, Any] = {"batch_size": 2, "collate_fn": columns}
    recipe = Recipe(path)
    found = {"weights": cached(Recipe(path, seed=rank), Rows(20), "train", **options)}
    raising = Rows(20, 5, "raise")  # which the second rank is given
    found["raised"] = cached(recipe, raising, "train", **options)
    found["published"] = "train" in recipe.feature_readers
    sampler = DistributedSampler(Rows(19), size, rank, shuffle=False)
    mates = DataLoader(Rows(19), sampler=sampler, **options)
    found["mates"] = cached(recipe, mates, "mates")
    for name, wrong in (
        ("other ranks", DistributedSampler(Rows(20), 4, rank)),
        ("drops", DistributedSampler(Rows(19), size, rank, drop_last=True)),
    ):
        found[name] = cached(recipe, DataLoader(Rows(20), sampler=wrong, **options), "train")
    part = Subset(Rows(20), range(rank, 20, size))
    found["part"] = cached(recipe, part, "train", **options)
    found["part of a loader"] = cached(recipe, DataLoader(part, **options), "train")
    found["lost"] = cached(recipe, [columns([Rows(20)[n]]) for n in ()], "train")
    found["writers"] = cached(recipe, Rows(20), "train", writers={"twice": None}, **options)
    found["well after all"] = cached(recipe, Rows(20), "train", **options)
    return found


def test_a_rank_that_raises_differs_or_loses_utterances_is_named_on_all(tmp_path: Path) -> None:
    first, second = launch(badly, 2, tmp_path / "found", 2, tmp_path)
    for found in (first, second):
        assert "modules.linear of rank 1: expected" in found["weights"]
        assert not found["published"]
        assert "RankError" in found["mates"]
        assert "utterance 'u00': expected the same values on ranks 0 and 1" in found["mates"]
        assert "rank" in found["other ranks"]
        assert "of 4" in found["other ranks"]
        assert "drop_last=False" in found["drops"]
        for name in ("part", "part of a loader"):
            assert "utterances of the dataset of rank 1" in found[name]
            assert "give every rank the whole dataset" in found[name]
        assert "expected one or more utterances, got 0" in found["lost"]
        assert "expected one process, got 2 ranks" in found["writers"]
    assert second["raised"] == "ValueError: boom"
    assert (
        "RankError: features of split 'train': rank 1 failed: ValueError: boom" in (first["raised"])
    )
    # what was computed before the error is known
    assert 0 < len(first["well after all"] + second["well after all"]) < 20
    assert list(open_store(tmp_path / "twice" / "train").ids) == ids(20)


def killed(rank: int, path: Path) -> Any:
    dataset = Rows(30, 19, "kill") if rank == 1 else Rows(30)
    return cached(Recipe(path), dataset, "train", batch_size=1, collate_fn=columns)


def again(rank: int, path: Path) -> Any:
    del rank
    return cached(Recipe(path), Rows(30), "train", batch_size=1, collate_fn=columns)


def reference(rank: int, path: Path) -> Any:
    del rank
    return cached(Recipe(path), Rows(30), "train", batch_size=1, collate_fn=columns)


def test_a_rank_is_killed_and_the_others_end_at_once_then_the_next_run_goes_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "killed"
    first, second, third = launch(killed, 3, tmp_path / "found", path)
    assert second is None
    for found in (first, third):
        assert "rank 1 is gone: process" in found
        assert "RankError" in found
    assert [one for one in path.rglob("*") if one.suffix in (".h5", ".json")] == []
    work = path / ".featbank-work"
    wait_until(lambda: list(work.rglob("*.journal")), "nothing was kept")
    both = launch(again, 2, tmp_path / "found", path)
    computed = [one for found in both for one in found]
    # the second rank had six utterances behind it when it was killed
    assert len(computed) == len(set(computed)) <= 30 - 6
    launch(reference, 1, tmp_path / "found", tmp_path / "clean")
    assert everything(path, "train") == everything(tmp_path / "clean", "train")
    assert not work.exists()
