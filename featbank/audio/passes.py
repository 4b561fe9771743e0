"""Decoders of files that cannot seek, kept from one segment of a file to the next.

Each segment of such a file begins with a decoding of all before it. So a decoder that has given one
waits, with what it decoded, for the next one of the same file; in a small file from the second
segment on. Whether it does changes no sample: it has decoded from the start, as any other would.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featbank.audio.decoding import BLOCK, AudioFile, open_audio
from featbank.audio.inside import close_payloads, find_place
from featbank.errors import AudioError

_log = logging.getLogger(__name__)

_MAX_WAITING = 4  # decoders; some are a process of ffmpeg
_NUM_REMEMBERED = 16  # small files that one segment was read of, so far
_SMALL_BYTES = 4 << 20  # of a file: most such are one utterance, and soon decoded
_SCRATCH_BYTES = 1 << 30  # 4.6 hours of 16 kHz, 51 minutes of 44.1 kHz in stereo
_IN_MEMORY_BYTES = 16 << 20  # of which this much needs no disk: 4 minutes of 16 kHz
_ITEM_BYTES = 4


class Key(NamedTuple):
    """Identity of a file as it is now: path, digest and what `stat` tells."""

    path: str
    digest: str
    device: int = 0
    inode: int = 0
    num_bytes: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0


class Pass:
    """One decoding of a file from its start: a `decoding.AudioFile`.

    It can seek: back to what it has kept, and forward by decoding. Kept are the last GiB of samples
    decoded, in memory and, what goes beyond 16 MB, in a file without a name (in `TMPDIR`); where no
    disk takes that, the last block.
    """

    can_seek = True

    def __init__(self, audio: AudioFile, opened: ExitStack) -> None:
        """Begin at the start.

        Args:
            audio: just opened.
            opened: closes it.
        """
        self.samplerate, self.channels = audio.samplerate, audio.channels
        self.frames, self.subtype = audio.frames, audio.subtype
        self._audio = audio
        self._opened = opened
        self._at = 0
        self._block = np.empty((0, self.channels), np.float32)  # the last that was decoded
        self._num_blocks = 0
        self._oldest = 0  # number of the first block that is kept
        self._has_ended = False
        self._memory: list[NDArray[np.float32]] = []  # the blocks of the first slots
        self._scratch: IO[bytes] | None = None  # those of the others, once there are any
        self._has_room = True

    @property
    def kept_bytes(self) -> int:
        """Bytes of decoded samples that are kept."""
        return (self._num_blocks - self._oldest) * self._block_bytes

    def holds(self, sample: int) -> bool:
        """Tell whether `seek` can go to a sample."""
        return sample // BLOCK >= self._oldest

    def seek(self, frames: int) -> int:
        """Go to a sample that it `holds`, or one to come."""
        self._at = frames
        return frames

    def read(self, frames: int) -> NDArray[np.float32]:
        """Return the next samples, (n, channels): fewer than `frames` only at the end."""
        pieces = [self._block[:0]]
        while frames:
            number, start = divmod(self._at, BLOCK)
            piece = self._numbered(number)[start : start + frames]
            if not len(piece):
                break
            pieces.append(piece)
            self._at += len(piece)
            frames -= len(piece)
        return np.concatenate(pieces)  # copied: the caller may change it

    def check_end(self) -> None:
        """Raise the error that ended decoding before the end: damage, or a fault of the machine."""
        self._audio.check_end()

    def close(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the file, which may know what an error of its decoder means.

        Raises:
            AudioError, OSError, MemoryError: that the decoder's error stands for.
        """
        self._opened.__exit__(kind, error, traceback)

    @property
    def _block_bytes(self) -> int:
        return BLOCK * self.channels * _ITEM_BYTES

    @property
    def _num_slots(self) -> int:
        return max(1, _SCRATCH_BYTES // self._block_bytes)

    def _numbered(self, number: int) -> NDArray[np.float32]:
        """Return a block of `BLOCK` samples; the last one is shorter, those behind it are empty."""
        while number >= self._num_blocks and not self._has_ended:
            self._keep()
            block = self._audio.read(BLOCK)
            self._has_ended = len(block) < BLOCK
            if len(block):
                self._block = block
                self._num_blocks += 1
        if number == self._num_blocks - 1:
            return self._block
        if number >= self._num_blocks:
            return self._block[:0]
        slot = number % self._num_slots
        if slot < len(self._memory):
            return self._memory[slot]
        assert self._scratch
        data = os.pread(self._scratch.fileno(), self._block_bytes, slot * self._block_bytes)
        return np.frombuffer(data, np.float32).reshape(BLOCK, self.channels)

    def _keep(self) -> None:
        """Keep the last block, for it makes room for another one."""
        number = self._num_blocks - 1
        if number < 0:
            return
        if self._has_room:
            try:
                self._put(number % self._num_slots)
            except OSError as error:
                _log.warning(
                    "decoded samples of a file that cannot seek are not kept (%s): segments that "
                    "overlap are decoded from its start; set TMPDIR to a folder with more room",
                    error,
                )
                self._has_room = False
                self._memory.clear()
        if self._has_room:
            self._oldest = max(self._oldest, number + 1 - self._num_slots)
        else:
            self._oldest = number + 1

    def _put(self, slot: int) -> None:
        """Put the last block into a slot: of memory, which costs nothing, or of the disk."""
        if slot < len(self._memory):
            self._memory[slot] = self._block
            return
        if (slot + 1) * self._block_bytes <= _IN_MEMORY_BYTES:
            self._memory.append(self._block)
            return
        if self._scratch is None:
            self._scratch = self._opened.enter_context(
                tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is entered
            )
        left, at = self._block.data.cast("B"), slot * self._block_bytes
        while left:
            written = os.pwrite(self._scratch.fileno(), left, at)
            left, at = left[written:], at + written


class _WaitingPasses:
    """Passes that nobody reads from, the one last used last. Each is read from by one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passes: list[tuple[Key, Pass]] = []
        self._once: deque[Key] = deque(maxlen=_NUM_REMEMBERED)

    def expects(self, key: Key) -> bool:
        """Tell whether another segment of a file is likely to be read."""
        with self._lock:
            if key.num_bytes > _SMALL_BYTES or key in self._once:
                return True
            self._once.append(key)
            return False

    def take(self, key: Key, sample: int) -> Pass | None:
        """Hand out a pass over a file that holds a sample, or will."""
        with self._lock:
            for place, (found, waiting) in enumerate(self._passes):
                if found == key and waiting.holds(sample):
                    return self._passes.pop(place)[1]
        return None

    def put(self, key: Key, given: Pass) -> None:
        """Let a pass wait, and close others where they are too many or too large."""
        with self._lock:
            self._passes.append((key, given))
            too_many = []
            while len(self._passes) > _MAX_WAITING or (
                sum(one.kept_bytes for _, one in self._passes) > _SCRATCH_BYTES
                and len(self._passes) > 1
            ):
                too_many.append(self._passes.pop(0)[1])
        for one in too_many:
            one.close()

    def close(self) -> None:
        """Close all."""
        with self._lock:
            passes, self._passes = self._passes, []
        for _, one in passes:
            one.close()

    def forget(self) -> None:
        """Leave all to the process that this one was forked from, whoever held the lock there."""
        _INHERITED.extend(self._passes)
        self._lock, self._passes = threading.Lock(), []


_INHERITED: list[tuple[Key, Pass]] = []  # never closed here: their decoders are another's children
_WAITING = _WaitingPasses()
os.register_at_fork(after_in_child=_WAITING.forget)
atexit.register(_WAITING.close)


def close_passes() -> None:
    """Close the decoders that wait for another segment of their file, and drop what they kept.

    Copies of what lies inside other files are dropped, too.
    """
    _WAITING.close()
    close_payloads()


@contextmanager
def open_segment(path: str | Path, start_sample: int, *, digest: str = "") -> Iterator[AudioFile]:
    """Open a file to read from a sample on; arguments and errors are those of `open_audio`.

    Of a file that cannot seek, an earlier decoding goes on where there is one.
    """
    key = file_key(path, digest)
    found = _WAITING.take(key, start_sample)
    if not found:
        with ExitStack() as stack:
            audio = stack.enter_context(open_audio(path, digest=digest))
            # the key is that of the file that was opened only where it still is
            shared = not audio.can_seek and key == file_key(path, digest)
            if not (shared and _WAITING.expects(key)):
                yield audio
                return
            found = Pass(audio, stack.pop_all())
    found.seek(start_sample)
    try:
        yield found
    except (AudioError, GeneratorExit):  # the segment's, not the decoder's
        _WAITING.put(key, found)
        raise
    except BaseException:
        found.close(*sys.exc_info())
        raise
    _WAITING.put(key, found)


def file_key(path: str | Path, digest: str) -> Key:
    """Return the key of a file as it is now; of what is inside one, it tells that file's state."""
    place = find_place(path) if "!/" in os.fspath(path) else None
    try:
        now = os.stat(place.container if place else path)  # noqa: PTH116 - a Path costs as much
    except (OSError, ValueError):  # which opening it tells in full
        return Key(path=str(path), digest=digest)
    return Key(
        path=str(path),
        digest=digest,
        device=now.st_dev,
        inode=now.st_ino,
        num_bytes=(place.num_bytes or 0) if place else now.st_size,
        mtime_ns=now.st_mtime_ns,
        ctime_ns=now.st_ctime_ns,
    )
