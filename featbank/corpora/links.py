"""Symbolic links in a corpus: which ones may lead out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from featbank.audio import file_on_disk
from featbank.errors import CorpusError
from featbank.files.remote import AnyPath, RemotePath

_FOLDERS = 4096  # whose links are remembered: rows that follow each other share folders
_MOST_ABOVE = 64  # folders on the way to one, of which each is asked for its links


class Links:
    """Checks of symbolic links that lead out of a corpus's root, at one listing a folder.

    Args:
        root: of the corpus; one on another machine has no links that anybody sees.
        follow: whether links may lead anywhere.
        accepted: gives folders outside of it that links may lead into in any case: the caches from
            which DVC links files into a workspace. Asked once, when a link leads out.
    """

    def __init__(
        self,
        root: AnyPath,
        *,
        follow: bool = False,
        accepted: Callable[[], Sequence[Path]] = tuple,
    ) -> None:
        self._root = root
        self._follow = follow
        self._give_accepted = accepted
        self._links_on_plain_way = lru_cache(_FOLDERS)(self._find_links)

    def check(self, audio: str, where: str) -> None:
        """Refuse a file, which need not exist, to which a link leads that may not.

        Raises:
            CorpusError: a link on its way leads out of the root, and not where it may.
        """
        if self._follow or isinstance(self._root, RemotePath):
            return
        if "!/" in audio:  # inside a file, which is what a link may lead to
            found = os.fspath(file_on_disk(f"{self._root}/{audio}"))
            audio = found.removeprefix(f"{self._root}/")
        folder, _, name = audio.rpartition("/")
        links = self._links_on_plain_way(folder)
        if links is None or name in links:
            self.target(audio, where)

    def target(self, path: str, where: str) -> Path | None:
        """Return where a link leads, if that is out of the root and may be.

        Raises:
            CorpusError: it leads out of the root, and not where it may.
        """
        target = Path(os.path.realpath(self._root / path))
        if target.is_relative_to(self.real_root):
            return None
        if self._follow or any(target.is_relative_to(folder) for folder in self._accepted):
            return target
        raise CorpusError(
            f"audio path in {where}",
            expected="a path inside the corpus",
            got=f"{path}, a symbolic link to {target}",
            hint="copy or hard-link what it names into the corpus, or set corpus.follow_links=true",
        )

    @cached_property
    def real_root(self) -> Path:
        """The root, without links."""
        return Path(os.path.realpath(self._root))

    @cached_property
    def _accepted(self) -> list[Path]:
        return [Path(os.path.realpath(folder)) for folder in self._give_accepted()]

    def _find_links(self, folder: str) -> frozenset[str] | None:
        """Return the links in a folder to which none leads; None where one does or nobody knows."""
        if folder.count("/") > _MOST_ABOVE:
            return None  # which a recursion must not go up
        if folder:
            above, _, name = folder.rpartition("/")
            links = self._links_on_plain_way(above)
            if links is None or name in links:
                return None
        try:
            with os.scandir(self._root / folder) as entries:
                return frozenset(entry.name for entry in entries if entry.is_symlink())
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()  # what is missing is said when it is to be decoded
        except (OSError, ValueError):
            return None
