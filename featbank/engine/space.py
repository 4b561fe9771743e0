"""Compare the disk space that a run needs with what is free."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from featbank.engine.job import Job
from featbank.engine.plan import ShardPlan
from featbank.errors import StoreError
from featbank.files.disk import existing_folder, free_bytes

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskNeed:
    """The bytes that a run adds to one disk.

    Args:
        folder: a place on the disk.
        num_bytes: that are added, at most.
        least_bytes: that are added in any case, failures apart.
        free_bytes: that the disk has now; `UNTOLD` where it does not tell.
    """

    folder: Path
    num_bytes: int
    least_bytes: int
    free_bytes: int

    def check(self) -> None:
        """Refuse a run that must fill the disk; warn of one that may.

        Raises:
            StoreError: the disk lacks room in any case.
        """
        if self.least_bytes > self.free_bytes:
            raise StoreError(
                f"disk of {self.folder}",
                expected=f"{self.least_bytes:,} bytes free",
                got=f"{self.free_bytes:,}",
                hint="free some space, or put the outputs elsewhere: paths.root=...; the finished "
                "shards wait in runtime.work=...",
            )
        if self.num_bytes > self.free_bytes:
            _log.warning(
                "the disk of %s may fill: up to %s bytes are added, and %s are free",
                self.folder,
                f"{self.num_bytes:,}",
                f"{self.free_bytes:,}",
            )


def warn_of_full_disk(job: Job, plan: ShardPlan) -> None:
    """Warn where even what can be told at a glance does not fit: values alone, uncompressed.

    All that previous stores and runs hold is taken for usable, so that no warning is false; whether
    a disk that is too small will still be so in a week, nobody knows, and the run goes on.
    """
    values = {
        name: sum(rows.num_frames for rows in plan.rows.values()) * spec.frame_bytes
        for name, spec in job.specs.items()
        if not is_bound(job, name)
    }
    reused = sum(plan.previous[name].num_bytes for name in values)
    finished = sum(file.stat().st_size for file in plan.work.rglob("*.h5"))
    needs = {plan.work: sum(values.values()) - reused - finished}
    if not on_one_disk(plan.work, job.out):
        needs[job.out] = sum(values.values()) - reused
    for folder, needed in needs.items():
        free = free_bytes(folder)
        if needed > free:
            _log.warning(
                "the disk of %s will fill: at least %s bytes are added, and %s are free; "
                "what is finished by then is kept, and the next run goes on from there",
                folder,
                f"{needed:,}",
                f"{free:,}",
            )


def is_bound(job: Job, name: str) -> bool:
    """Tell whether the size of a store's shards is known as a bound only."""
    return name in job.merged or job.specs[name].compression is not None


def on_one_disk(one: Path, other: Path) -> bool:
    """Tell whether files can be linked between two places, which may not be there yet."""
    return existing_folder(one).stat().st_dev == existing_folder(other).stat().st_dev
