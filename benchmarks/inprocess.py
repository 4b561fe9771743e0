"""An extraction in this very process, with a worker that is made before the clock starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.speech import Speech
from featbank.base.manifest import Utterance
from featbank.base.progress import Advance
from featbank.engine.batching import batches
from featbank.engine.definition import FeatureDefinition
from featbank.engine.extract import feature_job
from featbank.engine.job import Job
from featbank.engine.rows import num_samples
from featbank.engine.run import Budget, PreparedCorpus, Run
from featbank.engine.tasks import Workload, shard_task
from featbank.numerics import Computing
from featbank.runners.base import Runner, Worker
from featbank.runners.inline import InlineRunner
from featbank.store import Encoded, ShardInfo

_TASK_S = 600.0


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


def workload(worker: Any, rows: Iterable[Utterance], batch_s: float, work: Path) -> Workload:
    """Return the work of computing rows, in tasks of some minutes of batches of one shape.

    Args:
        worker: of features.
        rows: of one split.
        batch_s: of a batch, padding included, in seconds.
        work: folder for the shards.
    """
    extractor = worker.extractor
    rate = extractor.framing.sample_rate

    def shape_of(row: Utterance) -> Any:
        return extractor.batch_shape(num_samples(row, extractor.framing), round(batch_s * rate))

    filling: dict[Any, list[Utterance]] = {}
    tasks: list[Sequence[Utterance]] = []
    for shape, batch in batches(rows, shape_of):
        waiting = filling.setdefault(shape, [])
        waiting += batch
        if sum(row.duration_s for row in waiting) >= _TASK_S:
            tasks.append(filling.pop(shape))
    tasks += filling.values()
    return Workload(
        tasks=tuple(
            shard_task(worker.specs, "train", sorted(task, key=lambda row: row.id), work)
            for task in tasks
        )
    )


@contextmanager
def storing_nothing(worker: Any) -> Iterator[None]:
    """Let a worker write its shards nowhere."""
    worker.open_sink = lambda *_: _Nowhere()
    try:
        yield
    finally:
        del worker.open_sink


class _Nowhere:
    """A shard that nothing is kept of."""

    def write(self, utterance_id: str, values: Encoded) -> None: ...

    def write_piece(self, utterance_id: str, values: Any) -> None: ...

    def discard(self, utterance_id: str) -> None: ...

    def close(self) -> ShardInfo | None:
        return None

    def abort(self) -> None: ...
