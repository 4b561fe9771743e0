"""Start of a project beside its files: git, and the place of its audio."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from featbank.base.nearest import near_folder
from featbank.corpora.paths import AUDIO_SUFFIXES
from featbank.errors import ConfigError, CorpusError

CORPORA = "corpora"


_ANYWHERE = "a path that begins with / or ~ is the same from everywhere"


def check_root(folder: Path, corpus: str, root: Path) -> None:
    """Refuse a corpus that cannot be linked to.

    Args:
        folder: of the project.
        corpus: its name.
        root: of the audio.

    Raises:
        CorpusError: it is no folder, the project would lie in it, or another corpus is there.
    """
    if not root.is_dir():
        got = "a file" if root.exists() else "nothing there"
        hint = near_folder(root, before="--root ") or _ANYWHERE
        if root.is_file():
            hint = f"name the folder that it is in: --root {shlex.quote(str(root.parent))}"
        raise CorpusError(f"--root {root}", expected="the folder of the audio", got=got, hint=hint)
    if folder.resolve().is_relative_to(root.resolve()):
        raise CorpusError(
            f"--root {root}",
            expected="a folder beside the project",
            got=f"one that {folder} lies in",
            hint="name another folder for the project",
        )
    place = place_of_audio(folder, corpus)
    if (place.is_symlink() or place.exists()) and place.resolve() != root.resolve():
        got = "a link to another place" if place.is_symlink() else "something else"
        hint = "remove it, or leave out --root to use it"
        raise CorpusError(str(place), expected=f"a link to {root}", got=got, hint=hint)


def is_flat(root: Path) -> bool:
    """Tell whether audio lies in a folder itself, and in no folder of a speaker."""
    return any(
        path.suffix.lower() in AUDIO_SUFFIXES and path.is_file() and not path.name.startswith(".")
        for path in root.iterdir()
    )


def place_of_audio(folder: Path, corpus: str) -> Path:
    """Return where a project has the audio of a corpus: a folder, or a link to one."""
    return folder / CORPORA / corpus


def link_audio(folder: Path, corpus: str, root: Path) -> None:
    """Link a corpus that is checked into a project, so that no file of it is copied."""
    place = place_of_audio(folder, corpus)
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(root.resolve(), target_is_directory=True)


def note_bucket(folder: Path, corpus: str, url: str) -> None:
    """Put down where audio lies that is on no disk: DVC tracks this note in its place."""
    note = place_of_audio(folder, corpus) / "state.txt"
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{url}\nchange this note when the audio there changes\n", encoding="utf-8")


def start_git(folder: Path) -> None:
    """Make a folder a repository of git, if it lies in none, or in one that ignores its pipeline.

    DVC passes by what git ignores: it would find nothing to do, and say so.

    Raises:
        ConfigError: git is not installed, or fails.
    """
    try:
        asked = _git(folder, "rev-parse", "--is-inside-work-tree")
        is_ignored = _git(folder, "check-ignore", "--quiet", "dvc.yaml").returncode == 0
        is_fine = asked.returncode == 0 and not is_ignored
        done = asked if is_fine else _git(folder, "init", "--quiet")
    except FileNotFoundError as error:
        raise ConfigError("git", expected="to be installed", got=error) from error
    if done.returncode:
        raise ConfigError("git init", expected="an end without a failure", got=done.stderr.strip())


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
