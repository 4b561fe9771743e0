"""An extraction in this very process, with a worker that is made before the clock starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from benchmarks.speech import Speech
from featbank.base.progress import Advance
from featbank.engine.definition import FeatureDefinition
from featbank.engine.extract import feature_job
from featbank.engine.job import Job
from featbank.engine.run import Budget, PreparedCorpus, Run
from featbank.numerics import Computing
from featbank.runners.base import Runner, Worker
from featbank.runners.inline import InlineRunner


class WorkerAtHand:
    """Runs tasks here, with one worker that outlives the run.

    Attributes:
        worker: made when it is asked for first.
        began: when the run asked for its first task; of `time.perf_counter`.
    """

    gives_gpu = True

    def __init__(self) -> None:
        self.worker: Any = None
        self.began = 0.0

    def count_workers(self) -> int:
        """Return 1: this process."""
        return 1

    def run(
        self,
        make_worker: Callable[[], Worker[Any, Any]],
        tasks: Iterable[Any],
        advance: Advance,
    ) -> Generator[Any, None, None]:
        """Run the tasks; see `Runner.run`."""
        self.worker = self.worker or make_worker()
        self.began = time.perf_counter()
        yield from InlineRunner().run(lambda: self.worker, tasks, advance)


def job_of(
    definition: FeatureDefinition,
    speech: Speech,
    computing: Computing,
    runner: Runner,
    folder: Path,
    *,
    manifests: Path | None = None,
) -> Job:
    """Return the job of extracting a corpus.

    Args:
        definition: of the features.
        speech: the corpus.
        computing: how.
        runner: that has the workers.
        folder: of the stores, the shards on their way to them, and the list of failures.
        manifests: of some of the corpus; None for all.
    """
    run = Run(
        corpus=PreparedCorpus(
            name="speech",
            license="",
            manifests=manifests or speech.manifests,
            audio_root=speech.audio,
        ),
        definition=definition,
        computing=computing,
        runner=runner,
        budget=Budget(path=folder / "failures.jsonl"),
        work=folder / "work",
    )
    return feature_job(run, folder / "features")
