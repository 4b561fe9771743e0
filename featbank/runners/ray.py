"""Runner over actors of a Ray cluster, which it joins or starts for the run."""

from __future__ import annotations

import functools
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from featbank.base.notices import tell
from featbank.base.progress import Advance
from featbank.errors import ConfigError
from featbank.runners.base import MAX_RETRIES, NotYet, Result, Task, Worker, check_at_least
from featbank.runners.coordinating import coordinate
from featbank.runners.ray_crew import NodeShare, RayCrew

# of the machine itself: Ray turns 127.0.0.1 into the address that others see
_LOOPBACK = "127.0.0.2" if sys.platform == "linux" else None
_OBJECT_BYTES = 256 * 2**20  # tasks and results are small
_KNOCK_S = 10
# the cluster is of one machine and ends with the run: a process that is slow there is not lost
_PATIENCE = {"worker_register_timeout_seconds": 600, "health_check_failure_threshold": 60}


class RayRunner:
    """Runs tasks in actors of a Ray cluster, each of which holds a worker.

    On other machines the working folder must be the same as here, on a file system that they share,
    and featbank must be installed.

    Args:
        num_workers: actors; None for as many as the cluster has room for.
        address: of a cluster to join, or `auto` for the one that runs here; None starts one on
            this machine, which ends with the run. A program that has called `ray.init` itself
            stays where it is.
        num_cpus: processors of an actor; half a one is allowed.
        num_gpus: GPUs of an actor; half a one is allowed.
        max_retries: how often a task goes to another actor when its own died.

    Raises:
        ConfigError: the extra `ray` is not installed, or a number is too small.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        *,
        num_workers: int | None = None,
        address: str | None = None,
        num_cpus: float = 1,
        num_gpus: float = 0,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        check_at_least("num_workers", num_workers, 1)
        check_at_least("num_cpus", num_cpus, 0.01)  # a share of nothing has room without end
        check_at_least("num_gpus", num_gpus, 0)
        check_at_least("max_retries", max_retries, 0)
        _import_ray()
        self._num_workers = num_workers
        self._max_retries = max_retries
        self._address = address
        self._share = NodeShare(num_cpus=num_cpus, num_gpus=num_gpus)
        self._run: ExitStack | None = None

    @property
    def gives_gpu(self) -> bool:
        """True with `num_gpus`: without, Ray hides no GPU from any actor."""
        return self._share.num_gpus > 0

    def count_workers(self) -> int:
        """Return how many actors the cluster would have; for `address=None` one is started.

        Raises:
            ConfigError: there is no such cluster, or it has not room for the workers.
        """
        if self._run is not None:  # a cluster that is started to be counted stays for the run
            return self._fitting(self._run.enter_context(connected(self._address)))
        with connected(self._address) as ray:
            return self._fitting(ray)

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Result]],
        tasks: Iterable[Task | NotYet],
        advance: Advance,
    ) -> Generator[Result, None, None]:
        """Run the tasks; see `Runner.run`.

        Raises:
            ConfigError: besides: there is no such cluster, or it has not room for the workers.
        """
        make_here = functools.partial(_make_in, str(Path.cwd()), make_worker)
        with ExitStack() as stack:
            self._run = stack
            stack.callback(setattr, self, "_run", None)
            tasks = iter(tasks)
            first = list(islice(tasks, 1))
            if not first:
                return  # a cluster takes seconds to start
            where = f"joining the Ray cluster {self._address}" if self._address else "starting Ray"
            tell(phase=where)
            num_workers = self.count_workers()
            tell(phase=f"waiting for Ray to start up to {num_workers:,} workers")
            yield from coordinate(
                RayCrew(pickle.dumps(make_here), num_workers, self._share),
                chain(first, tasks),
                max_retries=self._max_retries,
                advance=advance,
                hint="out of memory? lower runner.num_workers, or look at Ray's logs; run again",
            )

    def _fitting(self, ray: ModuleType) -> int:
        """Return the number of actors, of which the cluster has room for each."""
        room = self._share.fits(ray.nodes())
        if room < (self._num_workers or 1):
            raise ConfigError(
                "runner.num_workers",
                expected=f"at most {room}, which the Ray cluster has room for",
                got=self._num_workers,
                hint=f"each takes {self._share}: see runner.num_cpus and runner.num_gpus",
            )
        return self._num_workers or room


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it calls home by default
    try:
        import ray
    except ImportError as error:
        raise ConfigError.of_absent("runner=ray", "ray", "ray", error) from error
    module: ModuleType = ray
    return module


@contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Join a cluster, or start one here for None, and leave or end it; give `ray` itself."""
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": _OBJECT_BYTES,
            "_node_ip_address": _LOOPBACK,
            "_system_config": _PATIENCE,
        }
    with _own_sigterm():
        try:
            _knock(address or "")
            ray.init(**options)
        except (OSError, ValueError) as error:  # a ConnectionError: no cluster; or no address
            raise ConfigError(
                f"runner.address {address}", expected="a Ray cluster", got=str(error)
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody listens there: Ray tries for minutes where nobody does."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), _KNOCK_S).close()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep the answer to SIGTERM, which `ray.init` replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_in(folder: str, make_worker: Callable[[], Worker[Any, Any]]) -> Worker[Any, Any]:
    os.chdir(folder)  # paths are relative to it
    return make_worker()
