"""The work folder: where a run keeps finished shards until all of them can be published."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Self

from featbank.base.amounts import format_duration
from featbank.engine.tasks import INTERIM, ShardResult, ShardTask, Tally
from featbank.errors import FeatbankError, StoreError
from featbank.files.disk import fsync_file, naming
from featbank.files.json_files import read_json
from featbank.files.locking import lock
from featbank.files.provenance import (
    canonical_json,
    digest,
    file_sha256,
    readable_json,
    write_atomic,
)
from featbank.files.records import record
from featbank.store import FORMAT_VERSION, HEADER_NAME, Numerics, ShardInfo, ShardSpec

_log = logging.getLogger(__name__)

_RESULTS = "results"
_PUBLISHED = "published.json"
_MAX_RESULT = 1 << 28  # bytes, with a failure for each of a million rows

IsElsewhere = Callable[[Path, ShardInfo], bool]
"""Tells whether a finished shard is safe somewhere else, by its path in the work folder."""


def nowhere(_path: Path, _info: ShardInfo) -> bool:
    """Tell that no shard is anywhere else."""
    return False


class WorkFolder:
    """Finished shards of one run, and of the runs before it that were stopped.

    It is named by all that determines the bytes, so that what is found here belongs to this run.
    Shards and results are files with names of their own that appear whole: a worker that outlives
    its run harms nobody.
    """

    def __init__(
        self, path: Path, *, anew: bool = False, is_elsewhere: IsElsewhere = nowhere
    ) -> None:
        """Take the folder, and clear what workers that died left unfinished.

        Args:
            path: of the folder.
            anew: clear what is published, too, for nothing of a store is to be taken over.
            is_elsewhere: tells which shards are safe though no file of them need be here.

        Raises:
            StoreError: another run is at work in it.
        """
        self.path = path
        self._is_elsewhere = is_elsewhere
        self._lock = lock(path, f"work folder {path}", expected="one run at a time")
        path.mkdir(exist_ok=True)
        for temporary in path.rglob(".*.partial*"):
            temporary.unlink(missing_ok=True)
        # what comes in now is in no store yet
        note = path / _PUBLISHED
        self._was_kept = note.is_file()
        if anew and self._was_kept:
            _clear(path)
        note.unlink(missing_ok=True)

    def finish(self, stores: Iterable[Path], *, keep: bool) -> None:
        """Remove what is in the folder, for the stores made from it are published.

        Args:
            stores: their folders.
            keep: leave it until they are safe elsewhere. DVC deletes the output of a stage that
                it did not see to its end, hashed and in its cache: with it would go all that was
                computed.
        """
        if keep or self._was_kept:  # what DVC would delete it does whoever runs the stage again
            self.leave({path: path / HEADER_NAME for path in stores})
        elif self._lock.is_mine:
            _clear(self.path)

    def leave(self, headers: Mapping[Path, Path]) -> None:
        """Leave what is in the folder until the stores are safe elsewhere, for `drop_published`.

        Args:
            headers: the file that holds the header of each store, by the path of the store.
        """
        if not self._lock.is_mine:  # another run was told to take it
            return
        found = {str(path): file_sha256(header) for path, header in headers.items()}
        write_atomic(self.path / _PUBLISHED, readable_json({"headers": found}))
        shutil.rmtree(self.path / INTERIM, ignore_errors=True)

    def __enter__(self) -> Self:
        """Return the folder."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let another run have the folder; say what is kept in it. An empty one goes."""
        if kind is not None and (results := self._kept()):
            kept_s = sum(result.audio_s for result in results)
            _log.warning(
                "%s of audio in %d finished shards are kept in %s: run again to go on",
                format_duration(kept_s),
                len(results),
                self.path,
            )
        with suppress(OSError):  # it holds something
            self.path.rmdir()
        self._lock.release()

    def _kept(self) -> list[ShardResult]:
        made = finished(self.path, is_elsewhere=self._is_elsewhere)
        return [*made.values(), *finished(self.path / INTERIM).values()]


def work_name(out: Path, specs: Mapping[str, ShardSpec]) -> str:
    """Name a work folder by the stores to be and all that determines the bytes of their shards."""
    made = {name: [spec.fingerprint, spec.dtype, spec.compression] for name, spec in specs.items()}
    return digest([FORMAT_VERSION, str(out), made])[:16]


def shard_path(work: str | Path, numerics: Numerics, feature: str, shard: str) -> Path:
    """Return where a finished shard lies.

    Each numerics class has a folder, for its shards have bytes of their own: what is at a path is
    the same whoever wrote it, when, and how often.
    """
    return Path(work, feature, digest(numerics)[:8], shard)


def result_path(task: ShardTask) -> Path:
    """Return where the result of a task lies."""
    return Path(task.work, _RESULTS, f"{task.key}.json")


def finished(
    folder: Path, *, anew: bool = False, is_elsewhere: IsElsewhere = nowhere
) -> dict[str, ShardResult]:
    """Return what became of the tasks of previous runs in a work folder, by the keys of the tasks.

    Those of previous versions of the manifests are among them. What shards hold is not looked at.

    Args:
        folder: the work folder.
        anew: pass by what is published, as `WorkFolder` clears it.
        is_elsewhere: tells which shards are safe though no file of them need be here.
    """
    if anew and (folder / _PUBLISHED).is_file():
        return {}
    results = {
        path.stem: _read_result(path, is_elsewhere) for path in (folder / _RESULTS).glob("*.json")
    }
    return {key: result for key, result in results.items() if result}


def _read_result(path: Path, is_elsewhere: IsElsewhere = nowhere) -> ShardResult | None:
    try:
        found = read_json(path, what="result", error=StoreError, max_bytes=_MAX_RESULT)
        fields, stated = found["result"], found["digest"]
        if digest(fields) != stated:
            raise StoreError(str(path), expected=f"digest {stated}", got="other bytes")
        result = record(ShardResult, fields)
        for name, info in result.shards.items():
            shard = shard_path(path.parent.parent, result.numerics, name, info.name)
            if is_elsewhere(shard, info):
                continue
            size = shard.stat().st_size
            if size != info.num_bytes:
                raise StoreError(info.name, expected=f"{info.num_bytes} bytes", got=size)
    except FileNotFoundError:
        return None
    except (FeatbankError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s is of no use, and is made again: %s", path, error)
        return None
    return result


def write_result(task: ShardTask, result: ShardResult) -> None:
    """Note that a task is done: the last thing a worker writes."""
    fields = asdict(result)
    data = canonical_json({"digest": digest(fields), "result": fields})
    write_atomic(result_path(task), data, sync=not task.is_interim)


def read_result(task: ShardTask) -> ShardResult | None:
    """Return what became of a task, if it is done and no row of it failed.

    Where another split has the same rows it may have been done for that one.
    """
    path = result_path(task)
    result = _read_result(path) if path.exists() else None
    if not result or result.failures:
        return None
    return (
        result if result.split == task.split else replace(result, split=task.split, tally=Tally())
    )


def drop_task(task: ShardTask, result: ShardResult) -> None:
    """Remove the shards of a task, then its result."""
    for name, info in result.shards.items():
        shard_path(task.work, result.numerics, name, info.name).unlink(missing_ok=True)
    result_path(task).unlink(missing_ok=True)


def drop_spent(shard: Path) -> None:
    """Remove an interim shard that a stopped run has left, and the result that is named alike."""
    shard.unlink(missing_ok=True)
    (shard.parents[2] / _RESULTS / f"{shard.stem}.json").unlink(missing_ok=True)


def drop_published(work: Path, is_safe: Callable[[Path, str], bool]) -> None:
    """Remove what finished runs left behind, where others have their stores safe.

    Args:
        work: the folder of all stages' work folders.
        is_safe: told the path of a store and the SHA-256 of its header.
    """
    for note in work.glob(f"*/*/{_PUBLISHED}"):
        try:
            _drop(note, is_safe)
        except (FeatbankError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s is left: %s", note.parent, error)


def _drop(note: Path, is_safe: Callable[[Path, str], bool]) -> None:
    folder = note.parent
    held = lock(folder, f"work folder {folder}", expected="no run at work in it")
    try:
        headers = read_json(note, what="note", error=StoreError)["headers"]
        if all(is_safe(Path(path), sha256) for path, sha256 in headers.items()):
            _clear(folder)
            folder.rmdir()
    finally:
        held.release()


def _clear(folder: Path) -> None:
    """Empty a work folder; what says that it may be emptied goes last."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == _PUBLISHED):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()


def put(source: Path, target: Path) -> None:
    """Put a finished file under another name too: as a second name of it, else as a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, a file of another user, or a disk without links
        # a name of its own, for two workers may be given one shard when the first seemed dead
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        with naming(target, "copying"):
            shutil.copyfile(source, temporary)
        with open(temporary, "rb") as file:
            fsync_file(file.fileno(), target)
        temporary.replace(target)
