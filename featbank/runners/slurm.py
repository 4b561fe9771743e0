"""Runner over jobs of a Slurm cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from featbank.base.progress import Advance
from featbank.runners.base import MAX_RETRIES, NotYet, Result, Task, Worker, check_at_least
from featbank.runners.coordinating import coordinate
from featbank.runners.exchange import Exchange
from featbank.runners.slurm_crew import JobPatience, SlurmCrew
from featbank.runners.slurm_jobs import SlurmJobs, check_slurm
from featbank.runners.slurm_worker import WorkerLoop


class SlurmRunner:
    """Runs tasks in jobs of a Slurm cluster, each of which claims one task after the other.

    This process hands the tasks out and takes the results in, so it must live as long as the run,
    on a login node for instance. Its folder, the environment and the code must be on a file system
    that the nodes share.

    Args:
        num_workers: jobs, as one array.
        folder: of what is exchanged with the jobs; each run makes a folder of its own in it, for
            its user alone, and removes it.
        partition: of the cluster; None for its default.
        timeout_min: minutes that a job may run; it is requeued then, its task given back.
        cpus_per_task: processors of a job.
        mem_gb: memory of a job; None for what the cluster gives.
        gpus_per_node: GPUs of a job; None for none.
        array_parallelism: jobs that may run at a time; None for all.
        setup: shell commands before a job's worker starts.
        additional_parameters: more options of sbatch, by name.
        heartbeat_s: seconds between two signs of life of a worker or of this process.
        stale_s: seconds without one after which a worker is taken for dead, its task given to
            another and its job cancelled; and after which the jobs end if this process died.
        max_retries: how often a task goes to another worker when its own died.

    Raises:
        ConfigError: no Slurm here, the extra `slurm` is not installed, or a number is too small.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        *,
        num_workers: int,
        folder: str = ".featbank/slurm",
        partition: str | None = None,
        timeout_min: int = 240,
        cpus_per_task: int = 1,
        mem_gb: float | None = None,
        gpus_per_node: int | None = None,
        array_parallelism: int | None = None,
        setup: Sequence[str] = (),
        additional_parameters: Mapping[str, Any] | None = None,
        heartbeat_s: float = 5,
        stale_s: float = 120,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        check_at_least("num_workers", num_workers, 1)
        check_at_least("max_retries", max_retries, 0)
        check_at_least("heartbeat_s", heartbeat_s, 0.1)
        check_at_least("stale_s", stale_s, 3 * heartbeat_s)
        self._num_workers = num_workers
        self._max_retries = max_retries
        self._at_a_time = min(num_workers, array_parallelism or num_workers)
        self._folder = folder
        self._patience = JobPatience(
            beat_s=heartbeat_s, stale_s=stale_s, idle_deaths=num_workers + max_retries
        )
        self._gives_gpu = bool(gpus_per_node) or any(
            word in option for option in additional_parameters or () for word in ("gpu", "gres")
        )
        self._parameters = {
            "job_name": "featbank",
            "partition": partition,
            "time": timeout_min,
            "cpus_per_task": cpus_per_task,
            "srun_args": [f"--cpus-per-task={cpus_per_task}"],  # not inherited since Slurm 22.05
            "mem": f"{round(1024 * mem_gb)}MB" if mem_gb is not None else None,
            "gpus_per_node": gpus_per_node,
            "array_parallelism": array_parallelism or num_workers,
            "setup": list(setup),
            # submitit asks for the requeueing at a time limit; this is for a lost node
            "additional_parameters": {"requeue": True, **(additional_parameters or {})},
        }
        check_slurm(self._parameters)

    @property
    def gives_gpu(self) -> bool:
        """True with `gpus_per_node`, or where `additional_parameters` ask for GPUs or gres."""
        return self._gives_gpu

    def count_workers(self) -> int:
        """Return how many jobs may run at a time; whether the cluster is full, nobody knows."""
        return self._at_a_time

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Result]],
        tasks: Iterable[Task | NotYet],
        advance: Advance,
    ) -> Generator[Result, None, None]:
        """Run the tasks; see `Runner.run`.

        Raises:
            FeatbankError: besides: Slurm takes no job, or its jobs end before they do anything.
        """
        exchange = Exchange.create(self._folder, pickle.dumps(make_worker))
        loop = WorkerLoop(str(exchange.folder), self._patience.beat_s, self._patience.stale_s)
        jobs = SlurmJobs(self._parameters, loop, exchange.logs)
        crew = SlurmCrew(exchange, jobs, num_workers=self._num_workers, patience=self._patience)
        yield from coordinate(
            crew,
            tasks,
            max_retries=self._max_retries,
            advance=advance,
            hint=f"out of memory? raise runner.mem_gb, or look at {exchange.logs}; run again",
        )
