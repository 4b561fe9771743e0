"""The previous output of a stage, out of DVC's cache or fetched into it, for a run to take over."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from featbank.base.notices import tell
from featbank.pipeline.dvc_outputs import (
    DvcPlace,
    is_whole,
    listed_files,
    locked_digest,
    place_of,
)

_log = logging.getLogger(__name__)


@contextmanager
def previous_output(out: Path, work: Path, *, fetch: bool = False) -> Iterator[Sequence[Path]]:
    """Yield folders with the previous content of `out`, made of links into DVC's cache.

    Nothing is given where all stores of `out` are still there, DVC does not know it, or its cache
    lacks it: then there is less to take over, and nothing is wrong. What it lacks, as after a pull
    of other outputs alone, is warned of, for it is computed.

    Args:
        out: an output of a stage, a folder of stores: `<name>/<split>`.
        work: where the links go, in a folder of this run's own.
        fetch: has DVC fetch what its cache lacks, from its remote.
    """
    tell(phase="looking for previous stores")
    digest = None if is_whole(out) else locked_digest(out)
    listed = listed_files(digest) if digest else {}
    if digest and fetch and (not listed or None in listed.values()):
        _fetch(out)
        listed = listed_files(digest)
    there = {relative: path for relative, path in listed.items() if path is not None}
    if digest and (not there or len(there) < len(listed)):
        _warn_of_lack(out, digest, len(there), len(listed))
    if not there:
        yield []
        return
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="previous-", dir=work) as folder:
        yield [Path(folder)] if _link(there, Path(folder)) else []


def _warn_of_lack(out: Path, digest: str, num_there: int, num_listed: int) -> None:
    """Tell before it is computed anew what DVC has somewhere else."""
    lack = f"{num_listed - num_there} of the {num_listed} files" if num_there else "any"
    match place_of(digest):
        case DvcPlace.NOWHERE:
            advice = "and no remote has them"
        case DvcPlace.REMOTE:
            advice = "but the remote has them: stop, and run it again with fetch=true"
        case _:
            advice = "but a remote may have them: stop, and run it again with fetch=true"
    _log.warning(
        "%s: DVC's cache lacks %s of what it was, so these are computed, %s", out, lack, advice
    )


def _link(files: Mapping[str, Path], folder: Path) -> bool:
    """Lay out files as links; tell whether the file system has links."""
    try:
        for relative, path in files.items():
            link = folder / relative
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    except OSError as error:
        _log.warning("the previous output is of no use, for it cannot be linked to: %s", error)
        return False
    return True


def _fetch(out: Path) -> None:
    """Have DVC fetch what its cache lacks of an output, as `dvc.lock` names it.

    In a process of its own: what goes wrong is told in DVC's words, and ends no run, for what is
    not fetched is computed.
    """
    tell(phase=f"DVC fetches what {out} was")
    done = subprocess.run([sys.executable, "-m", "dvc", "fetch", str(out)], check=False)
    if done.returncode:
        _log.warning("%s: dvc fetch ended with %d", out, done.returncode)
