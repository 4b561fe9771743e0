"""Files of a commit, and a commit of other files beside it: no branch, index or file is touched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featbank.errors import ConfigError

_NOBODY = ("featbank", "featbank@localhost")  # where git knows no author


class RevisionTree:
    """The files of a project in a commit.

    Args:
        repo: of DVC, opened.
        name: a tag, a branch or a commit.

    Attributes:
        commit: its hash.
        files: blobs by their paths from the project's folder.

    Raises:
        ConfigError: there is no such revision.
    """

    def __init__(self, repo: Any, name: str) -> None:
        # imported here: it comes with DVC
        import pygit2

        self._git: Any = pygit2.Repository(repo.scm.root_dir)
        self._folder = Path(repo.root_dir).relative_to(repo.scm.root_dir)
        try:
            self._commit = self._git.revparse_single(name).peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise ConfigError(
                f"revision {name}", expected="a tag, a branch or a commit", got=error
            ) from error
        self.commit = str(self._commit.id)
        self._index = pygit2.Index()
        self._index.read_tree(self._commit.tree)
        self.files: Mapping[str, str] = {
            Path(entry.path).relative_to(self._folder).as_posix(): str(entry.id)
            for entry in self._index
            if Path(entry.path).is_relative_to(self._folder)
            and entry.mode != pygit2.enums.FileMode.COMMIT  # a submodule
        }

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""
        return bytes(self._git[self.files[path]].data)

    def tagged(self, tag: str) -> tuple[str, tuple[str, ...]] | None:
        """Return the commit that a tag is at, and the parents of that; None where there is none.

        Raises:
            ConfigError: no tag can have this name.
        """
        # imported here: it comes with DVC
        import pygit2

        reference = f"refs/tags/{tag}"
        if not pygit2.reference_is_valid_name(reference):
            raise ConfigError("tag of a twin", expected="a name that git takes", got=repr(tag))
        if reference not in self._git.references:
            return None
        commit = self._git.references[reference].peel(pygit2.Commit)
        return str(commit.id), tuple(map(str, commit.parent_ids))

    def tag_changed(self, tag: str, changes: Mapping[str, bytes | None], message: str) -> str:
        """Commit other files on top of this revision, and tag that commit.

        Args:
            tag: that is not there yet.
            changes: new bytes by path; None for a file that goes.
            message: of the commit.

        Returns:
            The hash of the commit.
        """
        # imported here: it comes with DVC
        import pygit2

        modes = {entry.path: entry.mode for entry in self._index}
        for path, data in changes.items():
            name = (self._folder / path).as_posix()
            if data is None:
                self._index.remove(name)
            else:
                mode = modes.get(name, pygit2.enums.FileMode.BLOB)
                self._index.add(pygit2.IndexEntry(name, self._git.create_blob(data), mode))
        try:
            author = self._git.default_signature
        except KeyError:
            author = pygit2.Signature(*_NOBODY)
        made = self._git.create_commit(
            None, author, author, message, self._index.write_tree(self._git), [self._commit.id]
        )
        self._git.references.create(f"refs/tags/{tag}", made)
        return str(made)
