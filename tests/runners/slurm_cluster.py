"""A real Slurm of one node on loopback ports, with its own keys, configuration and folders."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.waiting import HANG_S, wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "setpriv")

_CONFIGURATION = """
ClusterName=featbank
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a job that is requeued starts again after cred_expire, at least 5 seconds
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# no cgroups: none are to be had in a container
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
# so that a requeued job does not wait for the next round
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Say why no cluster can be started here; nothing when one can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "slurmd needs root"


@contextmanager
def slurm_cluster() -> Iterator[dict[str, str]]:
    """Start a cluster and give the variables by which Slurm's commands find it."""
    # sockets have short paths only
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder_, ExitStack() as stack:
        folder = Path(folder_)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        configuration = folder / "slurm.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                host=socket.gethostname().partition(".")[0],
                controller_port=_free_port(),
                node_port=_free_port(),
            )
        )
        variables = {"SLURM_CONF": str(configuration)}
        munged = [
            "munged", "--foreground", "--force", f"--key-file={key}",
            f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid",
            f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed",
        ]  # fmt: skip
        stack.enter_context(_running(munged, folder, {}))
        wait_until((folder / "munge.socket").exists, "munge does not start")
        for program in ("slurmctld", "slurmd"):
            stack.enter_context(_running([program, "-D"], folder, variables))
        _wait_until_idle(folder, variables)
        yield variables
        _ask(["scancel", "--user=root"], variables)
        wait_until(lambda: not _ask(["squeue", "--noheader"], variables), "a job does not end")


def _free_port() -> int:
    with socket.socket() as unbound:
        unbound.bind(("127.0.0.1", 0))
        return int(unbound.getsockname()[1])


@contextmanager
def _running(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Run a program that stays in the foreground, and end it and see that it has ended."""
    tied = ["setpriv", "--pdeathsig", "TERM"]  # to the tests, however these end
    with open(folder / f"{command[0]}.out", "wb") as output:
        process = subprocess.Popen(
            [*tied, *command],
            env={**os.environ, **variables}, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(HANG_S)


def _ask(command: Sequence[str], variables: Mapping[str, str]) -> str:
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    ).stdout.strip()


def _wait_until_idle(folder: Path, variables: Mapping[str, str]) -> None:
    def logs() -> str:
        said = [path.read_text()[-2000:] for path in folder.glob("slurm*.out")]
        return "\n".join(["Slurm does not start", *said])

    wait_until(lambda: _ask(["sinfo", "--noheader", "--format=%T"], variables) == "idle", logs)
