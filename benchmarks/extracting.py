"""One way of extracting features, run in a fresh process that tells what it took.

`python -m benchmarks.extracting MODULE:CLASS SPEECH OUT` is that process; `run` starts it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.speech import Speech

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one extraction took; times are of the clock that all processes share.

    Args:
        began: when everything was loaded and the first utterance could be read.
        ended: when the last was done, and stored if it is.
        audio_s: seconds of audio that went through.
        details: what else is to be told.
    """

    began: float
    ended: float
    audio_s: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """An extraction and the process that it ran in.

    Args:
        work: of the extraction.
        started: before the process was.
        elapsed_s: from there until it had ended.
    """

    work: Work
    started: float
    elapsed_s: float

    @property
    def rate(self) -> float:
        """Seconds of audio a second, without start-up."""
        return self.work.audio_s / (self.work.ended - self.work.began)

    @property
    def rate_from_start(self) -> float:
        """Seconds of audio a second, from the start of the process to its end."""
        return self.work.audio_s / self.elapsed_s


class Extracting(ABC):
    """One way of extracting features.

    Args of the class:
        name: in the tables.
        needs: modules that must be installed.
        is_slow: whether it is given less audio than the others.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    is_slow: ClassVar[bool] = False

    @classmethod
    def is_installed(cls) -> bool:
        """Tell whether it can run here."""
        return all(find_spec(module) for module in cls.needs)

    @abstractmethod
    def extract(self, speech: Speech, out: Path) -> Work:
        """Extract the features of a corpus; what is stored goes into an empty folder."""


def run(kind: type[Extracting], speech: Speech, out: Path) -> Run:
    """Extract in a fresh process, which finds the bytecode of its modules as `make` installs it."""
    out.mkdir(parents=True)
    place = f"{kind.__module__}:{kind.__qualname__}"
    command = [sys.executable, "-m", "benchmarks.extracting", place, speech.folder, out]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    elapsed_s = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(f"{kind.name}: expected an extraction, got\n{done.stderr}")
    work = Work(**json.loads((out / "work.json").read_text()))
    return Run(work, started, elapsed_s)


def main(place: str, folder: str, out: str) -> None:
    """Extract in this process."""
    module, name = place.split(":")
    extracting: Extracting = getattr(import_module(module), name)()
    work = extracting.extract(Speech.read(Path(folder)), Path(out))
    Path(out, "work.json").write_text(json.dumps(asdict(work)))


if __name__ == "__main__":
    main(*sys.argv[1:])
