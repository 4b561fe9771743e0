"""Worker processes of this machine, each at the other end of a pipe."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import select
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from featbank.base.notices import TaskProgress, tell
from featbank.runners.coordinating import Attempt, Died, Done, Event, Told
from featbank.runners.performing import Outcome, Performer
from featbank.runners.socket_folder import choose_socket_folder

# slow to import: once, instead of once a worker; but only where this process needed it
_PRELOADED = ("numpy", "torch")
_END_S = 5.0  # a process that is told to end and has not by then is killed


@dataclass(slots=True, eq=False)
class _Member:
    """A worker process: it says None when it is up, then how far it is, and what came of tasks."""

    slot: int
    process: BaseProcess
    connection: Connection[Any, Any]
    attempt: Attempt[Any] | None
    is_up: bool = False


class ProcessCrew:
    """Processes that are started when there is something for them to do.

    Args:
        make_worker: pickled.
        environments: variables to set in each process; as many as there may be processes.
    """

    def __init__(self, make_worker: bytes, environments: Sequence[Mapping[str, str]]) -> None:
        self._make_worker = make_worker
        self._environments = environments
        self._members: list[_Member] = []
        # forked from a server that has imported and computed nothing yet: threads, and the locks of
        # torch and HDF5, do not survive a fork of this process
        self._context = multiprocessing.get_context("forkserver")
        needed = [module for module in _PRELOADED if module in sys.modules]
        self._context.set_forkserver_preload(needed)

    @property
    def has_room(self) -> bool:
        """Whether a process is idle or could be started."""
        return sum(member.attempt is not None for member in self._members) < len(self._environments)

    @property
    def is_busy(self) -> bool:
        """Whether a process has a task."""
        return any(member.attempt for member in self._members)

    def hand(self, attempt: Attempt[Any]) -> None:
        """Give a task to an idle process, or start one for it."""
        for member in self._members:
            if member.attempt is None:
                member.attempt = attempt
                _send(member)
                return
        if not self._members:
            number = len(self._environments)
            tell(phase=f"starting up to {number} workers" if number > 1 else "starting a worker")
        taken = {member.slot for member in self._members}
        slot = next(slot for slot in range(len(self._environments)) if slot not in taken)
        here, there = self._context.Pipe()
        with contextlib.closing(there):
            process = self._context.Process(
                target=_serve,
                args=(there, self._make_worker, self._environments[slot]),
                daemon=True,
            )
            resource_tracker.ensure_running()  # first, for starting it lifts the block
            choose_socket_folder()
            with _deaf_to_ctrl_c():
                forkserver.ensure_running()
                process.start()
                self._members.append(_Member(slot, process, here, attempt))

    def wait(self) -> list[Event]:
        """Wait until a process says something or dies."""
        sources: list[Connection[Any, Any] | int] = []
        for member in self._members:
            sources += [member.connection, member.process.sentinel]
        ready = set(wait(sources))
        events: list[Event] = []
        for member in list(self._members):
            if ready.isdisjoint([member.connection, member.process.sentinel]):
                continue
            # the last words of a dead one are read first
            if not _listen(member, events) or member.process.sentinel in ready:
                self._members.remove(member)
                how = _end(member)
                if member.attempt is not None:
                    events.append(Died(member.attempt, how))
        return events

    def end(self) -> None:
        """End the processes: what is idle leaves, what is busy is ended."""
        for member in self._members:
            member.connection.close()
            if member.attempt is not None:
                member.process.terminate()
        for member in self._members:
            _end(member)
        self._members.clear()


def _send(member: _Member) -> None:
    assert member.attempt is not None
    if member.is_up:  # it listens, so this does not wait for it to load its model
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its sentinel tells
            member.connection.send_bytes(pickle.dumps(member.attempt.task))


def _listen(member: _Member, events: list[Event]) -> bool:
    """Take in all that a process has said, and tell whether it may say more."""
    try:
        while member.connection.poll():
            said = member.connection.recv()
            if said is None:
                member.is_up = True
                _send(member)
                continue
            assert member.attempt is not None
            if isinstance(said, Outcome):
                events.append(Done(member.attempt, said))
                member.attempt = None
            else:
                events.append(Told(member.attempt, said))
    except (EOFError, OSError):  # the latter where it died in the midst of a message
        return False
    return True


def _end(member: _Member) -> str:
    """See a process off that is dead, dying or told to die, and tell how it died."""
    member.connection.close()
    process = member.process
    process.join(_END_S)
    if process.is_alive():
        process.kill()
        process.join(_END_S)
    code = process.exitcode
    if code is None or code >= 0:
        return f"exit status {code}"
    return f"killed by {signal.Signals(-code).name}"


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Start processes deaf to Ctrl-C, as their children then are from birth.

    Ctrl-C reaches the whole process group: this process answers it, and ends the workers.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    connection: Connection[Any, Any], make_worker: bytes, environment: Mapping[str, str]
) -> None:
    """Run tasks until the other end of the pipe is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)
    performer = Performer(make_worker)

    def report(progress: TaskProgress) -> None:
        # what is left out counts with what is told next; a full pipe must not hold the work up
        if select.select([], [connection], [], 0)[1]:
            connection.send(progress)

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(None)
        while True:
            connection.send_bytes(performer.perform(connection.recv_bytes(), report))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
