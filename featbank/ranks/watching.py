"""Watch over the other ranks, which notices that one has failed or is gone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featbank.files.locking.owner import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Limits on how long a rank may be silent.

    A rank of this machine that is dead is seen to be, at once. Of one of another machine its beats
    tell: they are counted against this rank's own, not against a clock, so that a machine that is
    slow or was suspended declares nobody dead.

    Args:
        beat_s: seconds between two beats of a rank, and between two looks at the others.
        silent_beats: of this rank, without one of another: it is gone then.
        absent_beats: of this rank before another one begins; as long as speechbrain's broadcasts.
    """

    beat_s: float = 1.0
    silent_beats: int = 300
    absent_beats: int = 7200


@dataclass(frozen=True, slots=True)
class News:
    """Failure or loss of a rank, which ends the run of all.

    Args:
        rank: that failed, or is gone.
        text: what to say of it.
    """

    rank: int
    text: str

    def to_bytes(self) -> bytes:
        """Return it as the store holds it."""
        return json.dumps([self.rank, self.text]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> News:
        """Return what the store holds."""
        return cls(*json.loads(data))


def unreachable(error: RuntimeError) -> News:
    """Return the error message for a store of the ranks that cannot be reached."""
    reason = str(error).partition("\n")[0]  # torch's go on with a stack of C++
    return News(0, f"is gone, or whoever keeps the ranks' store: {reason}")


class RankWatch(threading.Thread):
    """Thread that advances this rank's counter, and checks the counters and errors of the others.

    The first rank watches all others, each of these the first: what one of them hears, all do.
    """

    def __init__(self, rank: int, size: int, keys: Any, patience: Patience) -> None:
        """Begin to watch.

        Args:
            rank: of this process.
            size: the number of ranks.
            keys: a `torch.distributed.Store` of this meeting.
            patience: how long a rank may be silent.
        """
        super().__init__(name="featbank ranks", daemon=True)
        self._rank = rank
        self._keys = keys
        self._patience = patience
        self._others = [_Other(one) for one in (range(1, size) if rank == 0 else (0,))]
        self._ending = threading.Event()
        self.news: News | None = None
        self._beat()
        self.start()

    def run(self) -> None:
        """Beat and check until told to end."""
        while not self._ending.wait(self._patience.beat_s):
            try:
                self._beat()
            except RuntimeError as error:  # what torch raises where the store is gone
                self.news = self.news or unreachable(error)
                return

    def end(self) -> None:
        """Stop watching."""
        self._ending.set()
        self.join()

    def linger(self) -> None:
        """Wait until all others have heard the news, or are gone."""
        for _ in range(self._patience.silent_beats):
            deaf = [
                other
                for other in self._others
                if not self._keys.check([f"heard/{other.rank}"]) and not other.is_over(self._keys)
            ]
            if not deaf or self._ending.wait(self._patience.beat_s):
                return

    def wait_for(self, is_there: Callable[[], bool], poll_s: float) -> bool:
        """Wait for something of the store; false when there are news instead."""
        while not is_there():
            if self.news is not None:
                return is_there()
            self._ending.wait(poll_s)
        return True

    def _beat(self) -> None:
        self._keys.add(f"beat/{self._rank}", 1)
        if self.news is None and self._keys.check(["failed"]):
            self.news = News.from_bytes(self._keys.get("failed"))
            self._keys.set(f"heard/{self._rank}", b"1")
        for other in self._others:
            if self.news is None and (why := other.look(self._keys, self._patience)):
                news = News(other.rank, why)
                # of two that fail, the first is what all hear of
                self.news = News.from_bytes(
                    self._keys.compare_set("failed", "", news.to_bytes().decode())
                )


class _Other:
    """What this rank knows of another one."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self._owner: Owner | None = None
        self._beats = 0  # of it
        self._looks = 0  # since it advanced

    def look(self, keys: Any, patience: Patience) -> str:
        """Return why it will never answer; nothing while it may."""
        self._looks += 1
        if self._owner is None:
            if self._has_come(keys):
                self._looks = 0
            elif self._looks > patience.absent_beats:
                return f"has not begun within {patience.absent_beats * patience.beat_s:.0f} s"
            return ""
        is_dead = self._owner.is_dead  # before what it has left: it may end just now, and be right
        if keys.check([f"left/{self.rank}"]):
            return ""
        if is_dead:
            return f"is gone: {self._owner}"
        beats = keys.add(f"beat/{self.rank}", 0)
        if beats != self._beats:
            self._beats, self._looks = beats, 0
        elif self._looks > patience.silent_beats:
            silent_s = patience.silent_beats * patience.beat_s
            return f"was silent for {silent_s:.0f} s: {self._owner}"
        return ""

    def is_over(self, keys: Any) -> bool:
        """Tell whether it has left, is dead, or never came."""
        if not self._has_come(keys) or self._owner is None:
            return True
        return self._owner.is_dead or keys.check([f"left/{self.rank}"])

    def _has_come(self, keys: Any) -> bool:
        if self._owner is None and keys.check([f"owner/{self.rank}"]):
            self._owner = Owner.from_bytes(keys.get(f"owner/{self.rank}"))
        return self._owner is not None
