"""Threads that end together, and the channels between them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Stopped(BaseException):
    """Raised in a thread whose crew has been stopped: nothing more is wanted of it.

    No `Exception`, so that nothing on the way takes it for a fault of an utterance.
    """


class Crew:
    """Some threads, of which the first error stops all.

    Whoever waits, waits by `wait`, so that nobody waits for a thread that has ended. To be used in
    a `with` block, at the end of which no thread is left.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._conditions: list[threading.Condition] = []
        self._threads: list[threading.Thread] = []
        self._is_stopped = False
        self._error: BaseException | None = None

    def condition(self) -> threading.Condition:
        """Return a condition over the one lock of the crew, which `stop` wakes."""
        made = threading.Condition(self._lock)
        self._conditions.append(made)
        return made

    def wait(self, condition: threading.Condition, until: Callable[[], object]) -> None:
        """Wait on a condition that this thread holds.

        Raises:
            Stopped: the crew was stopped.
        """
        while not self._is_stopped and not until():
            condition.wait()
        if self._is_stopped:
            raise Stopped

    def start(self, work: Callable[[], None], name: str) -> None:
        """Have a thread do some work."""
        thread = threading.Thread(target=self._do, args=(work,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, error: BaseException | None = None) -> None:
        """End all threads as soon as each is done with what it has in hand.

        Args:
            error: that the crew ends with, if it is the first.
        """
        with self._lock:
            self._is_stopped = True
            self._error = self._error or error
            for condition in self._conditions:
                condition.notify_all()

    def __enter__(self) -> Crew:
        """Return the crew."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End all threads, and wait for them.

        Raises:
            BaseException: what ended one of them, where the block ended as it was `Stopped`.
        """
        self.stop()
        for thread in self._threads:
            thread.join()
        if self._error is not None and (error is None or isinstance(error, Stopped)):
            raise self._error

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - of another thread, which has it raised
            self.stop(error)


class Channel(Generic[T]):
    """A queue of limited length between threads of a crew.

    Args:
        crew: whose end wakes who waits.
        size: of the queue; 0 for any.
    """

    def __init__(self, crew: Crew, size: int = 0) -> None:
        self._crew = crew
        self._size = size
        self._items: deque[T] = deque()
        self._is_ended = False
        self._has_room = crew.condition()
        self._has_item = crew.condition()

    def put(self, item: T) -> None:
        """Add an item, when there is room.

        Raises:
            Stopped: the crew was stopped.
        """
        with self._has_room:
            self._crew.wait(self._has_room, lambda: not self._size or len(self._items) < self._size)
            self._items.append(item)
            self._has_item.notify()

    def get(self) -> T:
        """Take the oldest item, when there is one.

        Raises:
            Stopped: the crew was stopped.
        """
        [item] = self._next(lambda: bool(self._items))
        return item

    def end(self) -> None:
        """Let who goes through the channel end behind what is in it."""
        with self._has_item:
            self._is_ended = True
            self._has_item.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Take items until the end.

        Raises:
            Stopped: the crew was stopped.
        """
        while found := self._next(lambda: self._items or self._is_ended):
            yield from found

    def _next(self, until: Callable[[], object]) -> list[T]:
        with self._has_item:
            self._crew.wait(self._has_item, until)
            if not self._items:
                return []
            item = self._items.popleft()
            self._has_room.notify()
            return [item]
