"""The output that a stage had before DVC removed it, brought back for a run to take over from.

DVC deletes a stage's outputs before it runs the stage's command. While that runs, `dvc.lock` still
names the old output, and the objects are in DVC's cache; so it is after `dvc pull` in a fresh clone
too, and in a workspace of `dvc exp run --temp`, whose cache is elsewhere.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

_log = logging.getLogger(__name__)

_LOCK = Path("dvc.lock")


@contextmanager
def previous_output(out: Path, work: Path) -> Iterator[Sequence[Path]]:
    """Give folders that look like `out` did, made of links into DVC's cache.

    Nothing is given where `out` is still there, DVC does not know it, or its cache lacks it: then
    there is less to take over, and nothing is wrong.

    Args:
        out: an output of a stage, a folder.
        work: where the links go.
    """
    digest = None if out.exists() else _locked_digest(out)
    listed = _listed(digest) if digest else {}
    folder = work / f"previous-{digest}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for relative, cached in listed.items():
            link = folder / relative
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(cached)
        yield [folder] if listed else []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _locked_digest(out: Path) -> str | None:
    """Return the name of the folder object that dvc.lock has for an output: `<md5>.dir`."""
    try:
        stages = yaml.safe_load(_LOCK.read_text(encoding="utf-8"))["stages"]
        found = [
            entry["md5"]
            for stage in stages.values()
            for entry in stage.get("outs", ())
            if entry["path"] == out.as_posix()
        ]
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s is of no use to find the previous %s: %s", _LOCK, out, error)
        return None
    return next((digest for digest in found if digest.endswith(".dir")), None)


def _listed(digest: str) -> dict[str, Path]:
    """Return the files of a folder object that are in DVC's cache, by their paths in the folder."""
    # imported here: it takes a second
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            cache = Path(repo.cache.local.path)
        objects: list[dict[str, Any]] = json.loads(_object(cache, digest).read_bytes())
    except FileNotFoundError:
        return {}
    except (DvcException, ValueError) as error:
        _log.warning("DVC's cache is of no use to find the previous output: %s", error)
        return {}
    found = {entry["relpath"]: _object(cache, entry["md5"]).resolve() for entry in objects}
    return {relative: path for relative, path in found.items() if path.is_file()}


def _object(cache: Path, digest: str) -> Path:
    return cache / digest[:2] / digest[2:]
