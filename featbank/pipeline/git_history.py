"""All commits of a project, as trees whose parts are looked at once: most are those of others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_STASH = "refs/stash"
_REFS = ("refs/heads/", "refs/tags/", "refs/remotes/")

Files = tuple[tuple[str, str], ...]
"""Path and blob of some files of a tree."""


class GitHistory:
    """The commits of all branches, tags and stashes, and those of DVC's experiments.

    Args:
        repo: of DVC, opened.
    """

    def __init__(self, repo: Any) -> None:
        # imported here: it takes a second
        from dvc.repo.experiments.utils import exp_commits

        self._scm = repo.scm
        folder = Path(repo.root_dir).relative_to(repo.scm.root_dir)
        self._folder = folder.parts  # of the project, below the root of git
        stashed = self._stashed()
        found = [*self._scm.list_all_commits(), *exp_commits(self._scm), *stashed]
        self.commits: Sequence[str] = list(dict.fromkeys(found))
        self.names = {**stashed, **self._named()}
        """Tags, branches and stashes, by the commit that they are at."""

    def files_named(self, is_wanted: Callable[[str], bool]) -> Mapping[tuple[str, str], list[str]]:
        """Return the commits that have files of some names, by path and blob."""
        return self._commits_by_file(lambda entry: is_wanted(entry.name))

    def files_of(self, blobs: Collection[str]) -> Mapping[tuple[str, str], list[str]]:
        """Return the commits that have some blobs, by path and blob."""
        return self._commits_by_file(lambda entry: entry.sha in blobs)

    def blobs(self) -> Iterator[tuple[str, Any]]:
        """Give each file of any commit once: a path that it had, and the object that opens it."""
        seen: set[str] = set()
        for commit in self.commits:
            if (tree := self._tree(commit)) is not None:
                yield from _unseen(tree, "", seen)

    def read(self, blob: str) -> bytes:
        """Return the bytes of a file."""
        return bytes(self._scm.pygit2.repo[blob].data)

    def _commits_by_file(
        self, is_wanted: Callable[[Any], bool]
    ) -> Mapping[tuple[str, str], list[str]]:
        memory: dict[str, Files] = {}
        found: dict[tuple[str, str], list[str]] = {}
        for commit in self.commits:
            tree = self._tree(commit)
            for file in _files(tree, memory, is_wanted) if tree is not None else ():
                found.setdefault(file, []).append(commit)
        return found

    def _tree(self, commit: str) -> Any:
        """Return the project's folder in a commit; None where it is not there yet."""
        tree = self._scm.get_tree_obj(commit)
        for name in self._folder:
            tree = next((one for one in tree.scandir() if one.name == name and one.isdir), None)
            if tree is None:
                return None
        return tree

    def _stashed(self) -> dict[str, tuple[str, ...]]:
        """Return the commits of all stashes; those of the index and of new files have no name."""
        git = self._scm.pygit2.repo
        found: dict[str, tuple[str, ...]] = {}
        if _STASH in git.references:
            for number, entry in enumerate(git.references[_STASH].log()):
                commit = git[entry.oid_new]
                found[str(commit.id)] = (f"stash@{{{number}}}",)
                found |= {str(one): () for one in commit.parent_ids[1:]}
        return found

    def _named(self) -> dict[str, tuple[str, ...]]:
        names: dict[str, list[str]] = {}
        for start in _REFS:
            for ref in sorted(self._scm.iter_refs(start)):
                names.setdefault(self._scm.resolve_rev(ref), []).append(ref.removeprefix(start))
        return {commit: tuple(found) for commit, found in names.items()}


def _files(tree: Any, memory: dict[str, Files], is_wanted: Callable[[Any], bool]) -> Files:
    """Return the wanted files below a tree; one that was looked at is remembered."""
    if (known := memory.get(tree.sha)) is not None:
        return known
    found: list[tuple[str, str]] = []
    for entry in tree.scandir():
        if entry.isdir:
            below = _files(entry, memory, is_wanted)
            found += [(f"{entry.name}/{path}", blob) for path, blob in below]
        elif entry.isfile and is_wanted(entry):
            found.append((entry.name, entry.sha))
    return memory.setdefault(tree.sha, tuple(found))


def _unseen(tree: Any, path: str, seen: set[str]) -> Iterator[tuple[str, Any]]:
    if tree.sha in seen:
        return
    seen.add(tree.sha)
    for entry in tree.scandir():
        if entry.isdir:
            yield from _unseen(entry, f"{path}{entry.name}/", seen)
        elif entry.isfile and entry.sha not in seen:
            seen.add(entry.sha)
            yield f"{path}{entry.name}", entry
