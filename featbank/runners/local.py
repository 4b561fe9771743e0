"""Processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from queue import Empty
from typing import Any

from featbank.errors import ConfigError, FeatbankError
from featbank.progress import Advance
from featbank.runners.base import Result, Task, Worker

_POLL_S = 0.2
_AHEAD = 2  # tasks handed out for each worker
_PRELOADED = ("numpy", "torch")  # slow to import: once, instead of once a worker

# of a worker process: set by _start; the first _run makes the worker, for its errors travel back
_make_worker: Callable[[], Worker[Any, Any]] | None = None
_worker: Worker[Any, Any] | None = None
_progress: Any = None


class LocalRunner:
    """Runs tasks in processes of this machine.

    Args:
        num_workers: processes; None for one a processor that this process may use.

    Raises:
        ConfigError: fewer than one worker.
    """

    def __init__(self, *, num_workers: int | None = None) -> None:
        if num_workers is not None and num_workers < 1:
            raise ConfigError("runner.num_workers", expected="1 or more, or null", got=num_workers)
        self.num_workers = num_workers or _usable_processors()

    def run(
        self,
        make_worker: Callable[[], Worker[Task, Result]],
        tasks: Sequence[Task],
        advance: Advance,
    ) -> Generator[Result, None, None]:
        """Run the tasks; see `Runner.run`.

        Raises:
            FeatbankError: a worker process died, as one does that runs out of memory.
        """
        if not tasks:
            return
        # forked from a server that has imported and computed nothing yet: threads, and the locks of
        # torch and HDF5, do not survive a fork of this process
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_PRELOADED))
        _start_server()
        done: Any = context.Queue()
        pool = ProcessPoolExecutor(
            min(self.num_workers, len(tasks)),
            mp_context=context,
            initializer=_start,
            initargs=(make_worker, done),
        )
        others = set(multiprocessing.active_children())
        waiting = iter(tasks)
        # few at a time: waiting for a set of futures costs its size
        pending = {pool.submit(_run, task) for task in islice(waiting, _AHEAD * self.num_workers)}
        try:
            while pending:
                finished, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                pending |= {pool.submit(_run, task) for task in islice(waiting, len(finished))}
                _drain(done, advance)
                for future in finished:
                    yield future.result()
            _drain(done, advance)
        except BrokenProcessPool as error:
            raise FeatbankError(
                "a worker process died",
                expected="it to finish its shard",
                got="a crash or a kill (out of memory?)",
                hint="lower runner.num_workers, or look at the system's log, and run again",
            ) from error
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            done.close()


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_server() -> None:
    """Start the server that workers are forked from, deaf to Ctrl-C, as they then are from birth.

    Ctrl-C reaches the whole process group: this process answers it, and ends the workers.
    """
    resource_tracker.ensure_running()  # the server starts it, and it would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _drain(done: Any, advance: Advance) -> None:
    while True:
        try:
            advance(done.get_nowait())
        except Empty:
            return


def _start(make_worker: Callable[[], Worker[Any, Any]], done: Any) -> None:
    global _make_worker, _progress
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _make_worker, _progress = make_worker, done


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(task: Any) -> Any:
    global _worker
    assert _make_worker is not None
    _worker = _worker or _make_worker()
    return _worker(task, _progress.put)
