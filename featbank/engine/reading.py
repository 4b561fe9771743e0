"""Read audio ahead of the computing, and check it against the manifest."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from featbank.audio import ReadPatience, load_audio
from featbank.audio.recording import Recording
from featbank.base.framing import Framing
from featbank.base.manifest import Utterance
from featbank.engine.rows import num_samples
from featbank.files.remote import is_remote

Audio = NDArray[np.float32] | Recording
"""The waveform of an utterance, (num_samples,), or its recording where that is long."""

_AHEAD_S = 120.0  # audio that waits for the extractor, in seconds: 8 MB at 16 kHz

_FETCHED_AT_ONCE = 8  # files of another machine, which are waited for, not computed


class AudioReader:
    """Reads the utterances of a corpus at the rate of an extractor.

    Args:
        root: folder, or URL, that the manifests' paths are relative to.
        framing: of the extractor.
        max_samples: longer utterances are given as a `Recording`; None gives each as a whole.
    """

    def __init__(self, root: str, framing: Framing, max_samples: int | None) -> None:
        self._root = root
        self._framing = framing
        self._max_samples = max_samples

    def read_ahead(
        self, rows: Iterable[Utterance], num_threads: int = 1
    ) -> Iterator[tuple[Utterance, Future[Audio]]]:
        """Give each row with its audio, which threads read while those before it are computed.

        The future raises what `read` does.
        """
        if is_remote(self._root):
            num_threads = max(num_threads, _FETCHED_AT_ONCE)
        with ThreadPoolExecutor(num_threads, thread_name_prefix="decode") as threads:
            waiting: deque[tuple[Utterance, Future[Audio]]] = deque()
            waiting_s = 0.0
            try:
                for row in rows:
                    waiting.append((row, threads.submit(self.read, row)))
                    waiting_s += row.duration_s
                    while waiting_s > _AHEAD_S:
                        waiting_s -= waiting[0][0].duration_s
                        yield waiting.popleft()
                while waiting:
                    yield waiting.popleft()
            finally:
                threads.shutdown(cancel_futures=True)

    def read(self, row: Utterance, room: NDArray[np.float32] | None = None) -> Audio:
        """Return the audio of an utterance.

        Args:
            row: of the manifest.
            room: that a waveform may be read to, of at least its length; see `load_audio`.

        Raises:
            AudioError: its file is unusable, or another one than when the manifest was made.
            FeatbankError: it needs ffmpeg, which is not there or was killed.
            OSError: the machine failed, again and again.
        """
        patience = ReadPatience(row.audio)
        while True:
            try:
                return self._read(row, room)
            except OSError as error:
                patience.wait(error)

    def _read(self, row: Utterance, room: NDArray[np.float32] | None) -> Audio:
        is_long = self._max_samples is not None and (
            num_samples(row, self._framing) > self._max_samples
        )
        read = Recording if is_long else partial(load_audio, room=room)
        return read(
            os.path.join(self._root, row.audio),  # noqa: PTH118 - a Path costs more
            sample_rate=row.sample_rate,
            start_sample=row.start_sample,
            num_samples=row.num_samples,
            channel=row.channel,
            target_rate=self._framing.sample_rate,
            speed=row.speed,
            digest=row.audio_digest,
        )
