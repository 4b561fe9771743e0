"""Meetings of the ranks of a run, which exchange messages and end together."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType, TracebackType
from typing import Any, Self

from featbank.errors import RankError
from featbank.files.locking.owner import Owner
from featbank.ranks.standing import Standing
from featbank.ranks.watching import News, Patience, RankWatch, unreachable

_log = logging.getLogger(__name__)

_POLL_S = 0.05
_REMINDER_S = 60.0

_numbers = itertools.count()
"""Of the meetings of this process: as many as of any other rank, for all meet at the same calls."""


class Meeting:
    """A block that all ranks of a run enter and leave together, exchanging messages.

    All ranks open the same meetings in the same order, as they call the same collectives. An error
    of one rank is raised in all: there as it is, elsewhere as a `RankError` that names the rank.
    So is the end of a process. Whoever computes calls `check` now and then to be told.

    Of one process, every method returns what was given to it.
    """

    def __init__(self, standing: Standing, what: str, patience: Patience | None = None) -> None:
        """Prepare a meeting.

        Args:
            standing: of this process.
            what: all ranks do, for errors; they must agree on it.
            patience: how long another rank may be silent.
        """
        self.rank = standing.rank
        self.size = standing.size
        self._what = what
        self._store = standing.store
        self._patience = patience or Patience()
        self._keys: Any = None
        self._watch: RankWatch | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that acts for all: rank 0."""
        return self.rank == 0

    def __enter__(self) -> Self:
        """Wait for all ranks, and see that they are about the same.

        Raises:
            RankError: one of them is not, failed, is gone or does not come.
        """
        if self.size > 1:
            from torch.distributed.distributed_c10d import PrefixStore  # torch may be built without

            this_process = Owner.this_process().to_bytes()
            self._keys = PrefixStore(f"featbank/{next(_numbers)}", self._store)
            self._reach(lambda: self._keys.set(f"owner/{self.rank}", this_process))
            self._watch = self._reach(
                lambda: RankWatch(self.rank, self.size, self._keys, self._patience)
            )
            try:
                self.agree("call", {"this call": self._what})
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave; tell the others why where it is an error.

        The first rank leaves last, for the store may end with its process.
        """
        watch = self._watch
        if watch is None:
            return
        try:
            with suppress(RuntimeError):  # the store is gone, and with it all who could hear
                if error is None:
                    self._leave(watch)
                else:
                    self._fail(error, watch)
        finally:
            watch.end()
            self._watch = None

    def check(self) -> None:
        """Raise the error of another rank, if any has failed; costs nothing.

        Raises:
            RankError: it failed, or is gone.
        """
        if self._watch is not None and self._watch.news is not None:
            raise self._error(self._watch.news)

    def gather(self, topic: str, message: Any) -> list[Any] | None:
        """Bring a message of each rank to the first one, which waits for all.

        Args:
            topic: of the messages, once a meeting.
            message: of this rank, as JSON has it.

        Returns:
            Those of all ranks in their order; None on the other ranks, which do not wait.

        Raises:
            RankError: one of them failed, or is gone.
        """
        if self._watch is None:
            return [message]
        self._put(f"{topic}/{self.rank}", message)
        if not self.is_first:
            return None
        return [self._take(f"{topic}/{one}", one) for one in range(self.size)]

    def share(self, topic: str, message: Any = None) -> Any:
        """Return the message of the first rank for a topic, on all ranks.

        Raises:
            RankError: the first rank failed, or is gone.
        """
        if self._watch is None:
            return message
        if self.is_first:
            self._put(topic, message)
            return message
        return self._take(topic, 0)

    def agree(
        self,
        topic: str,
        facts: Mapping[str, str] = MappingProxyType({}),
        hint: str = "all ranks run the same recipe, with the same weights",
    ) -> None:
        """Wait for all ranks, and see that they state the same facts, if any.

        Raises:
            RankError: one differs from the first rank; named with what differs.
        """
        gathered = self.gather(topic, dict(facts))
        if gathered is not None:
            for rank, stated in enumerate(gathered):
                for name in sorted({*facts, *stated}):
                    if stated.get(name) != facts.get(name):
                        raise RankError(
                            f"{name} of rank {rank}",
                            expected=f"{facts.get(name, 'none')}, as of rank 0",
                            got=stated.get(name, "none"),
                            hint=hint,
                        )
        self.share(f"{topic} agreed")

    def _put(self, key: str, message: Any) -> None:
        self._reach(lambda: self._keys.set(key, json.dumps(message).encode()))

    def _take(self, key: str, rank: int) -> Any:
        """Wait for a message of a rank."""
        watch = self._watch
        assert watch is not None
        reminded = time.monotonic()

        def is_there() -> bool:
            nonlocal reminded
            if time.monotonic() > reminded + _REMINDER_S:
                reminded = time.monotonic()
                _log.warning("%s: waiting for rank %d", self._what, rank)
            return bool(self._keys.check([key]))

        if not self._reach(lambda: watch.wait_for(is_there, _POLL_S)):
            self.check()
        return json.loads(self._reach(lambda: self._keys.get(key)))

    def _reach(self, action: Any) -> Any:
        """Use the store, whose end is that of the process that keeps it."""
        try:
            return action()
        except RuntimeError as error:  # torch has no narrower one for all of its stores
            heard = self._watch.news if self._watch is not None else None
            raise self._error(heard or unreachable(error)) from error

    def _error(self, news: News) -> RankError:
        return RankError(
            f"{self._what}: rank {news.rank} {news.text}",
            hint="nothing was published; what was computed is kept for the next run",
        )

    def _leave(self, watch: RankWatch) -> None:
        self._keys.set(f"left/{self.rank}", b"1")
        keys = [f"left/{one}" for one in range(1, self.size)]
        if self.is_first and not watch.wait_for(lambda: bool(self._keys.check(keys)), _POLL_S):
            _log.warning("%s: is done, but %s", self._what, watch.news)

    def _fail(self, error: BaseException, watch: RankWatch) -> None:
        does = "reports" if isinstance(error, RankError) else f"failed: {type(error).__name__}"
        news = News(self.rank, f"{does}: {error}")
        # of two that fail, the first is what all hear of
        self._keys.compare_set("failed", "", news.to_bytes().decode())
        self._keys.set(f"left/{self.rank}", b"1")
        if self.is_first:
            watch.linger()
