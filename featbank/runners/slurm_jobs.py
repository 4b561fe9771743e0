"""Jobs of Slurm: submitted by submitit, looked for with squeue, cancelled with scancel.

Only whether a job is listed is asked, never its state: without accounting Slurm forgets how a job
ended, and submitit, which asks sacct, waits for a killed one for ever. So submitit submits workers
and not tasks (tried with 1.5.4): a job a task loads its model a task and waits in the queue each
time, and an array of tasks must be listed before the first begins.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featbank.errors import ConfigError, FeatbankError
from featbank.runners.slurm_worker import WorkerLoop

if TYPE_CHECKING:
    from submitit import SlurmExecutor

_log = logging.getLogger(__name__)

_ANSWER_S = 60  # a controller under load takes its time
_ALWAYS = 1_000_000  # submitit counts how often a job ran out of time; the coordinator judges here


class SlurmJobs:
    """The jobs of one run.

    Args:
        parameters: of submitit's `update_parameters`.
        loop: that each job runs.
        logs: folder for what the jobs print.
    """

    def __init__(self, parameters: Mapping[str, Any], loop: WorkerLoop, logs: Path) -> None:
        self._loop = loop
        self._logs = logs
        self._executor = _executor(parameters, logs)
        self._submitted: set[str] = set()  # without the array's indices
        self._reasons = {"None"}  # for jobs to wait that have been told, and that of running ones

    def submit(self, number: int) -> list[str]:
        """Submit an array of jobs and return their ids.

        Raises:
            FeatbankError: Slurm refuses them.
        """
        from submitit.core.utils import FailedJobError

        try:
            jobs = self._executor.map_array(self._loop, range(number))
        except FailedJobError as error:
            raise FeatbankError(
                "jobs for Slurm",
                expected="sbatch to take them",
                got=" ".join(str(error).split()),
                hint="see the options of conf/runner/slurm.yaml",
            ) from error
        ids = [str(job.job_id) for job in jobs]
        self._submitted |= {job_id.partition("_")[0] for job_id in ids}
        _log.info("%d jobs of Slurm submitted, from %s on", number, ids[0])
        return ids

    def listed(self) -> set[str] | None:
        """Return the ids of the jobs that wait or run; None when Slurm does not answer."""
        command = ["squeue", "--noheader", "--array", "--format=%i %r"]
        answer = _run([*command, f"--jobs={','.join(sorted(self._submitted))}"])
        if answer is None:
            return None
        if answer.returncode == 0:
            reasons = dict(line.split(maxsplit=1) for line in answer.stdout.splitlines())
            for reason in sorted(set(reasons.values()) - self._reasons):
                _log.warning("jobs of Slurm wait: %s", reason)
                self._reasons.add(reason)
            return set(reasons)
        if "Invalid job id" in answer.stderr:  # Slurm has forgotten all of them
            return set()
        _log.warning("squeue: %s", answer.stderr.strip())
        return None

    def cancel(self, ids: Collection[str] = ()) -> None:
        """Cancel these jobs, or all of them."""
        if chosen := sorted(ids or self._submitted):
            _run(["scancel", "--quiet", *chosen])

    def last_words(self, job_id: str) -> str:
        """Return the last line that a job printed."""
        for path in sorted(self._logs.glob(f"{job_id}_*.err")):
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
            if told := [line for line in lines if line.strip()]:
                return " ".join(told[-1].split())
        return ""


def check_slurm(parameters: Mapping[str, Any]) -> None:
    """Refuse to work where these jobs cannot be submitted.

    Raises:
        ConfigError: no Slurm or no submitit here, or parameters that submitit does not know.
    """
    missing = [name for name in ("sbatch", "srun", "squeue", "scancel") if not shutil.which(name)]
    if missing:
        raise ConfigError(
            "runner=slurm",
            expected="Slurm's commands, as on a login node",
            got=f"no {', '.join(missing)}",
            hint="run it there, or take runner=local",
        )
    try:
        _executor(parameters, Path())
    except ImportError as error:
        raise ConfigError.of_absent("runner=slurm", "submitit", "slurm", error) from error
    except ValueError as error:
        raise ConfigError("conf/runner/slurm.yaml", got=str(error)) from error


def _executor(parameters: Mapping[str, Any], logs: Path) -> SlurmExecutor:
    from submitit import SlurmExecutor

    executor = SlurmExecutor(logs, max_num_timeout=_ALWAYS)
    executor.update_parameters(**parameters)
    return executor


def _run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_ANSWER_S
        )
    except subprocess.TimeoutExpired:
        _log.warning("%s: no answer within %d s", command[0], _ANSWER_S)
        return None
