"""Kill a recipe at several places of its way, in children of one process; then let it end."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from featbank.errors import StoreError
from featbank.recipes.caching import cache
from tests.recipes.caching.recipes import Counting, Speech, pad


class Killed(Counting):
    """Kills its process as it begins its n-th batch."""

    def __init__(self, path: Path, last: int) -> None:
        super().__init__(path, fingerprint_with={"gain": 1, "self.computed": "", "self.last": ""})
        self.last = last

    def compute_features(self, batch: Any, stage: str) -> Any:
        if len(self.computed) >= self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().compute_features(batch, stage)


def kill_as_it_publishes(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(path: Path, last: int, batch_size: int, publishing: bool) -> None:
    """Run a recipe in a forked process, until it is killed."""
    if (child := os.fork()) == 0:
        if publishing:
            cache.commit_together = kill_as_it_publishes
        brain = Killed(path, last)
        options = {"batch_size": batch_size, "collate_fn": pad, "shuffle": batch_size > 1}
        brain.cache_features(Speech(IDS), "train", **options)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def with_a_full_disk(path: Path) -> None:
    """Run a recipe in a forked process whose files may grow to some rows."""
    if (child := os.fork()) == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        brain = Killed(path, 99)
        try:
            brain.cache_features(Speech(IDS), "train", collate_fn=pad)
        except StoreError as error:
            kept = 0 < len(brain.computed) < len(IDS)
            os._exit(7 if kept and "free some space and run again" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


IDS = [f"u{number * 7 % 40:02d}" for number in range(40)]

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with_a_full_disk(folder)
    for last, batch_size, publishing in (
        (5, 1, False),
        (8, 4, False),
        (0, 1, False),
        (8, 8, False),
        (99, 1, True),
    ):
        in_child(folder, last, batch_size, publishing)
        assert not list(folder.glob("[!.]*/[!.]*")), "something is published"
    brain = Killed(folder, 99)
    brain.cache_features(Speech(IDS), "train", batch_size=4, collate_fn=pad)
    sys.stdout.write(str(len(brain.computed)))
