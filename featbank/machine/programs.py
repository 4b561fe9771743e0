"""Programs and libraries that featbank starts or loads."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from featbank.machine.fact import MachineFact

_PATIENCE_S = 20.0


def program_facts() -> Iterator[MachineFact]:
    """Give decoders, the resampler, git, and what spreads work over machines."""
    yield from _audio()
    yield _program("git", "git", "install git: versions of data are commits of it", is_needed=True)
    yield _program("Slurm", "sbatch", "runner=slurm works on a machine that has sbatch")


def _audio() -> Iterator[MachineFact]:
    try:
        # imported here: a library that cannot be loaded is a finding
        from featbank.audio import versions
    except (ImportError, OSError) as error:
        hint = "pip install soundfile soxr"
        yield MachineFact(
            what="audio libraries", value=str(error), verdict="missing", hint=hint, is_needed=True
        )
        return
    for name in (versions.LIBSNDFILE, versions.SOXR):
        yield MachineFact(what=name, value=versions.version_here(name), is_needed=True)
    found = versions.version_here(versions.FFMPEG)
    is_there = found != "none"
    yield MachineFact(
        what=versions.FFMPEG,
        value=found,
        verdict="ok" if is_there else "missing",
        hint="" if is_there else "m4a, mp4, aac, wma, webm and amr need it: apt install ffmpeg",
    )


def _program(what: str, program: str, hint: str, *, is_needed: bool = False) -> MachineFact:
    """Return the first line of what a program says of its version."""
    if (path := shutil.which(program)) is None:
        return MachineFact(
            what=what, value="none", verdict="missing", hint=hint, is_needed=is_needed
        )
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
        value = done.stdout.partition("\n")[0].strip()
    except (OSError, subprocess.SubprocessError):
        value = f"{path}, which does not tell its version"
    return MachineFact(what=what, value=value, is_needed=is_needed)
