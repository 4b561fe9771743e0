"""Extract features to a shelf elsewhere: this disk has the shards in work, and no store."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from featbank.engine.driver import MadeShards, Published, compute_shards
from featbank.engine.extract import store_header, tell_other_classes
from featbank.engine.job import Job
from featbank.engine.run import Reuse
from featbank.engine.shelving import Shelf
from featbank.engine.work import WorkFolder
from featbank.store import HEADER_NAME, StoreHeader
from featbank.store.builder import describe_store
from featbank.store.format import SPLITS_NAME
from featbank.store.splits import write_splits

_DESCRIPTIONS = "descriptions"
"""The folder, in a work folder, of all files of the stores that are no shards."""


def push_features(job: Job, reuse: Reuse, shelf: Shelf) -> Published:
    """Make what `extract` makes, byte for byte, and give it to a shelf instead of publishing it.

    Each shard goes as it is finished. What is known of those that went stays in the work folder:
    a run that was stopped goes on behind them, and a later one adds what is new.

    Args:
        job: as `feature_job` returns it.
        reuse: what to take over.
        shelf: that takes the shards and, at the end, what describes the stores.

    Raises:
        StoreError: the shelf did not take something; and what `extract` raises.
    """
    job.refuse_in_vain(reuse)
    with WorkFolder(job.work_folder, anew=reuse.anew, is_elsewhere=shelf.holds) as folder:
        shelf.begin(folder.path)
        outcome = compute_shards(job, job.plan(reuse, is_elsewhere=shelf.holds), shelf)
        described = folder.path / _DESCRIPTIONS
        shutil.rmtree(described, ignore_errors=True)
        headers = _describe(job, described, outcome)
        written = (path for path in described.rglob("*") if path.is_file())
        files = {path.relative_to(described).as_posix(): path for path in written}
        for (name, split), shards in outcome.shards.items():
            files |= {f"{name}/{split}/{info.name}": path for path, info in shards}
        shelf.complete(files)
        folder.leave(
            {
                path: described / name / split / HEADER_NAME
                for (name, split), path in job.paths.items()
            }
        )
    tell_other_classes(job, headers)
    return Published(headers=headers, tally=outcome.tally)


def _describe(job: Job, folder: Path, outcome: MadeShards) -> Sequence[StoreHeader]:
    """Write the files of the stores that are no shards, where their folders would be."""
    headers = {}
    for name, split in job.paths:
        store = folder / name / split
        store.mkdir(parents=True)
        header = store_header(job, name, split, outcome)
        headers[name, split] = describe_store(store, header, outcome.failures[split])
    for name in job.specs:
        splits = {split: headers[name, split] for split in job.splits}
        write_splits(folder / name / SPLITS_NAME, splits)
    return list(headers.values())
