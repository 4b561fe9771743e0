"""Extractors of a user's own package, named by trusted_modules."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featbank.base.framing import Framing
from featbank.errors import WeightsError
from featbank.features.base import AudioBatch, Extractor, Output
from featbank.features.signal.kaldi import Fbank
from tests.waiting import wait_until


class FbankAndEnergy(Extractor):
    """Two features of one pass: 23 filters, and their mean as energy."""

    version = 1

    def __init__(self) -> None:
        self._fbank = Fbank(num_mel_bins=23)

    @property
    def framing(self) -> Framing:
        return self._fbank.framing

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {"fbank": Output((23,)), "energy": Output((1,))}

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        rows = self._fbank.compute_features(batch, split)
        return [{**row, "energy": row["fbank"].mean(1, keepdims=True)} for row in rows]


class OddFbank(FbankAndEnergy):
    """Gives values that cannot be stored for utterances of one corpus folder.

    Args:
        value: what takes the place of the first value: `nan`, `-inf` or a number.
        folder: of the utterances.
    """

    def __init__(self, value: str, folder: str) -> None:
        super().__init__()
        self._value, self._folder = float(value), folder

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {"fbank": Output((23,))}

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        rows = self._fbank.compute_features(batch, split)
        for row in rows:
            if row["id"].startswith(self._folder):
                row["fbank"][0, 0] = self._value
        return rows


class BrokenFbank(FbankAndEnergy):
    """Can be made in the process that plans, and in no worker."""

    def __init__(self) -> None:
        super().__init__()
        if multiprocessing.parent_process() is not None:
            raise WeightsError("weights of a worker", expected="a file", got="nothing there")


class SlowFbank(FbankAndEnergy):
    """Takes its time for an utterance, so that a test can stop it in the midst.

    It notes the id of each utterance in the file that COMPUTED_LOG names, where that is set.

    Args:
        seconds: for an utterance.
        processes: a file that takes the number of each process that computes.
        hold: a file. While it is there, a process waits at its eighth utterance, and leaves its
            number beside it, `<hold>.<number>`: then finished shards are there, and others not.
    """

    def __init__(
        self, seconds: float = 0.33, processes: str | None = None, hold: str | None = None
    ) -> None:
        super().__init__()
        self._seconds, self._processes = seconds, processes
        self._hold = Path(hold) if hold else None
        self._count = 0

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {"fbank": Output((23,))}

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        if self._processes:
            with open(self._processes, "a", encoding="utf-8") as file:
                file.write(f"{os.getpid()}\n")
        time.sleep(self._seconds)
        self._count += len(batch.ids)
        hold = self._hold
        if hold and self._count >= 8 and hold.exists():
            hold.with_name(f"{hold.name}.{os.getpid()}").touch()
            wait_until(lambda: not hold.exists(), "nobody lets it go on")
        if log := os.environ.get("COMPUTED_LOG"):
            with open(log, "a", encoding="utf-8") as file:
                file.write("".join(f"{name}\n" for name in batch.ids))
        return self._fbank.compute_features(batch, split)
