"""A device that computes nothing: it is busy as long as one of a given speed, with values ready.

What it gives is float16 of the width of a base encoder, as a GPU would hand it over: cast already.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

import torch

from featbank.base.components import ComponentConfig
from featbank.base.framing import Framing
from featbank.engine.definition import FeatureDefinition
from featbank.feature_io import PackedStorage
from featbank.features.base import Output
from featbank.features.utterance_extractor import UtteranceExtractor

WIDTH = 768
_FRAMING = Framing(sample_rate=16_000, window_length=400, hop_length=320)
_POOL_VALUES = 1 << 25  # 64 MB, more than a processor caches: a row is read from memory


class StubDevice(UtteranceExtractor):
    """Gives float16 from a pool, after a wait for each second of audio, padding included.

    Args:
        real_time_factor: seconds of audio a second, padding included; 0 for no wait.

    Attributes:
        busy_s: seconds of work that it was given.
        num_batches: that it was given.
    """

    version: ClassVar[int] = 1

    def __init__(self, *, real_time_factor: float = 0.0) -> None:
        self._wait = 1 / real_time_factor if real_time_factor else 0.0
        self._pool = torch.randn(_POOL_VALUES, generator=torch.Generator().manual_seed(0)).half()
        self._next = 0
        self._ends = 0.0
        self.busy_s = 0.0
        self.num_batches = 0

    @property
    def framing(self) -> Framing:
        """50 frames a second."""
        return _FRAMING

    @property
    def outputs(self) -> Mapping[str, Output]:
        """One feature."""
        return {"stub": Output((WIDTH,))}

    @property
    def uses_device(self) -> bool:
        """True: that is what it stands for."""
        return True

    def to(self, device: str) -> None:
        """Stay on the CPU."""

    def compute_batch(
        self,
        waveforms: torch.Tensor,
        num_samples: torch.Tensor,  # noqa: ARG002 - it computes nothing
    ) -> Mapping[str, torch.Tensor]:
        """Return values of a batch."""
        rows, samples = waveforms.shape
        self._work(rows * samples)
        return {"stub": self._values(rows, _FRAMING.num_frames(samples))}

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        self._work(len(waveform))
        return {"stub": self._values(1, _FRAMING.num_frames(len(waveform)))[0]}

    def _values(self, rows: int, num_frames: int) -> torch.Tensor:
        """Return the next values of the pool, in the shape of a batch."""
        size = rows * num_frames * WIDTH
        if self._next + size > len(self._pool):
            self._next = 0
        values = self._pool[self._next : self._next + size]
        self._next += size
        return values.view(rows, num_frames, WIDTH)

    def _work(self, num_samples: int) -> None:
        """Be busy for as long as samples take: as a GPU, behind what it was given before.

        Whoever gives it work waits while it has more than one batch before it.
        """
        self.num_batches += 1
        if not self._wait:
            return
        now, cost_s = time.perf_counter(), self._wait * num_samples / _FRAMING.sample_rate
        begins = max(now, self._ends)
        self._ends = begins + cost_s
        self.busy_s += cost_s
        if begins > now:
            time.sleep(begins - now)

    @property
    def left_s(self) -> float:
        """Seconds until it is done with all that it was given."""
        return max(0.0, self._ends - time.perf_counter())


class SleepingStub(StubDevice):
    """Computes each utterance alone, on the CPU as it were: it sleeps as long as that takes."""

    @property
    def uses_device(self) -> bool:
        """False: a GPU would not make it faster."""
        return False

    def _work(self, num_samples: int) -> None:
        time.sleep(self._wait * num_samples / _FRAMING.sample_rate)


def stub_definition(
    real_time_factor: float, kind: type[StubDevice] = StubDevice
) -> FeatureDefinition:
    """Return the definition of a stub's features, which are stored as they come.

    Args:
        real_time_factor: of the stub.
        kind: of stub.
    """
    return FeatureDefinition(
        name="stub",
        extractor=ComponentConfig(
            f"{kind.__module__}.{kind.__qualname__}", {"real_time_factor": real_time_factor}
        ),
        storage=[PackedStorage("stub", "float16", shard_bytes=1 << 28)],
        trusted_modules=[kind.__module__.partition(".")[0]],
    )
