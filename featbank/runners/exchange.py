"""The folder by which a run and its workers on other machines exchange tasks and results.

Every message is a file that is renamed into its place, so it is whole or absent, and what several
could take at once is taken by a rename, which only one of them can do. No clock is compared with
another machine's: a side is alive while the file it renews keeps changing.

The messages are pickles, as submitit's own are. The coordinator makes the folder for one run and
for its user alone (mode 0700), and nobody reads messages that lie anywhere else.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from featbank.base.notices import NO_PROGRESS, TaskProgress
from featbank.errors import FeatbankError
from featbank.files.disk import naming
from featbank.files.json_files import parse_json
from featbank.files.opening import read_regular

_COORDINATOR = "coordinator"
_MAX_BEAT = 1 << 16  # bytes
_FOLDERS = ("tasks", "claims", "results", "beats", "logs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life.

    Args:
        count: of the signs before it.
        task: name of the task in hand, if any.
        progress: how far the worker is in that.
    """

    count: int
    task: str = ""
    progress: TaskProgress = NO_PROGRESS


class Exchange:
    """Both sides' view of the folder of one run.

    Args:
        folder: that `create` has made.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.logs = self.folder / "logs"
        self.make_worker = self.folder / "make_worker"
        self._tasks, self._claims, self._results, self._beats = (
            self.folder / name for name in _FOLDERS[:4]
        )

    @classmethod
    def create(cls, parent: str | Path, make_worker: bytes) -> Exchange:
        """Make the folder of a run, which workers find by its absolute path."""
        Path(parent).mkdir(parents=True, exist_ok=True)
        exchange = cls(tempfile.mkdtemp(prefix="run-", dir=Path(parent).resolve()))
        for name in _FOLDERS:
            (exchange.folder / name).mkdir()
        with naming(exchange.make_worker, "writing"):
            exchange.make_worker.write_bytes(make_worker)
        return exchange

    def remove(self, *, keep_logs: bool = False) -> None:
        """Remove the folder, whatever stragglers still do in it."""
        for path in [self._tasks, self._claims, self._results, self._beats, self.make_worker]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    # the coordinator's side

    @property
    def is_there(self) -> bool:
        """Whether nobody has removed the folder."""
        return self.make_worker.exists()

    def offer(self, name: str, task: bytes) -> None:
        """Put a task where any worker may claim it."""
        _put(self._tasks / name, task)

    def withdraw(self, name: str) -> None:
        """Withdraw an offer, unless a worker has claimed it."""
        (self._tasks / name).unlink(missing_ok=True)

    def unclaimed(self) -> set[str]:
        """Return the names of the tasks that no worker has claimed."""
        return set(_names(self._tasks))

    def claims(self) -> dict[str, str]:
        """Return which worker holds which task: the workers by the tasks' names."""
        return dict(name.split("@") for name in _names(self._claims))

    def take_back(self, name: str, worker: str) -> bool:
        """Take a task out of a worker's hands; false where it is done with it after all."""
        try:
            (self._claims / f"{name}@{worker}").unlink()
        except FileNotFoundError:
            return False
        return True

    def results(self) -> Iterator[tuple[str, bytes]]:
        """Give and remove what has come of tasks, by their names."""
        for name in _names(self._results):
            path = self._results / name
            with naming(path, "reading"):
                result = path.read_bytes()
            path.unlink()
            yield name.split("@")[0], result

    def beats(self) -> dict[str, Beat]:
        """Return the last sign of life of each worker, of those that can be read."""
        beats = {}
        for name in _names(self._beats, _COORDINATOR):
            with suppress(OSError):  # on NFS, a handle of what was just replaced may be stale
                beats[name] = _read_beat(self._beats / name)
        return beats

    def beat_coordinator(self, count: int) -> None:
        """Show the workers that the coordinator is alive."""
        self.beat(_COORDINATOR, Beat(count=count))

    def end(self) -> None:
        """Tell the workers that the run is over."""
        (self._beats / _COORDINATOR).unlink(missing_ok=True)

    # a worker's side

    def claim(self, worker: str) -> tuple[str, bytes] | None:
        """Claim a task, the one offered first: its name and itself."""
        for name in _names(self._tasks):
            claimed = self._claims / f"{name}@{worker}"
            with suppress(FileNotFoundError):  # another was faster
                (self._tasks / name).rename(claimed)
            # NFS may say that a rename failed which it did when it was asked twice
            if claimed.exists():
                with naming(claimed, "reading"):
                    return name, claimed.read_bytes()
        return None

    def give_back(self, name: str, worker: str) -> None:
        """Return a claimed task unharmed."""
        with suppress(FileNotFoundError):  # taken back, or the run is over
            (self._claims / f"{name}@{worker}").rename(self._tasks / name)

    def answer(self, name: str, worker: str, result: bytes) -> None:
        """Say what came of a claimed task."""
        with suppress(FileNotFoundError):  # the run is over
            _put(self._results / f"{name}@{worker}", result)
            (self._claims / f"{name}@{worker}").unlink()

    def beat(self, worker: str, beat: Beat) -> None:
        """Show the coordinator that a worker is alive."""
        with suppress(FileNotFoundError):  # the run is over
            _put(self._beats / worker, json.dumps(asdict(beat)).encode())

    def coordinator(self) -> int | None:
        """Return the last count of the coordinator; None when the run is over."""
        try:
            return _read_beat(self._beats / _COORDINATOR).count
        except FileNotFoundError:
            return None


def _names(folder: Path, but: str = "") -> list[str]:
    # a partial file is hidden, and a folder that is gone holds nothing
    with suppress(FileNotFoundError):
        names = (path.name for path in folder.iterdir())
        return sorted(name for name in names if name[0] != "." and name != but)
    return []


def _read_beat(path: Path) -> Beat:
    said = parse_json(read_regular(path, _MAX_BEAT), str(path), FeatbankError)
    return Beat(**{**said, "progress": TaskProgress(**said["progress"])})


def _put(path: Path, data: bytes) -> None:
    # nothing is synced to the disk: what a crash of the file server loses, the run does not survive
    descriptor, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
    with naming(path, "writing"), open(descriptor, "wb") as file:
        file.write(data)
    Path(temporary).rename(path)
