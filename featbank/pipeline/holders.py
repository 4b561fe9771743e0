"""Find all that holds some utterances: files of a project, objects of DVC, commits, exports.

Each place is scanned itself, for a cache and its remote can differ. What an object holds is read
from its bytes, once for all places that have it, for its name is the MD5 of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from featbank.base.sought import Sought, Traces
from featbank.corpora.paths import AUDIO_SUFFIXES
from featbank.errors import ConfigError, StoreError
from featbank.pipeline.contents import Content
from featbank.pipeline.dvc_outputs import dvc_project
from featbank.pipeline.git_history import GitHistory
from featbank.pipeline.held_exports import held_exports
from featbank.pipeline.held_objects import CODEBOOK, HeldObjects
from featbank.pipeline.held_places import (
    GitPlace,
    HeldPlace,
    LocalPlace,
    cache_place,
    remote_place,
)
from featbank.pipeline.holdings import Holding, Holdings, Unreached
from featbank.pipeline.named_outputs import WORKSPACE, NamedOutput, all_outputs
from featbank.pipeline.project_files import find_files
from featbank.pipeline.scanning import Key, Scan

WORK, EXPORT, GIT = "work", "export", "git"

_PINS = "conf/sample/"
_SHOWN = 3  # of what is wrong in a place
_UNNAMED = "objects of DVC that no revision names"
_BEYOND = {
    "git on other machines": "what was pushed, and commits that no branch or tag has any more",
    "clones": "what others have cloned, pulled, exported or copied is known to nobody here",
}


def find_holdings(
    sought: Sought, *, remotes: bool = True, exports: Sequence[Path] = ()
) -> Holdings:
    """Find what holds some utterances, from within the folder of a project of DVC.

    Args:
        sought: whom.
        remotes: scan DVC's remotes, too.
        exports: folders in which there may be exports, beside the project's own.

    Raises:
        ConfigError: this is no project of DVC in git, or one that DVC does not read; or a folder
            of exports is not there.
    """
    # imported here: it takes a second
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    for folder in exports:
        if not folder.is_dir():
            raise ConfigError("--exports", expected="a folder", got=str(folder))
    try:
        with dvc_project() as repo:
            return Search(repo, Traces(sought), remotes=remotes, exports=exports).run()
    except (DvcException, SCMError) as error:
        raise ConfigError(
            "this folder", expected="a project of DVC, in git", got=str(error).splitlines()[0]
        ) from error


class Search:
    """One search through a project.

    Args:
        repo: of DVC, opened.
        traces: of whom is sought.
        remotes: scan them, too.
        exports: folders in which there may be exports.
    """

    def __init__(
        self, repo: Any, traces: Traces, *, remotes: bool, exports: Sequence[Path]
    ) -> None:
        self._traces = traces
        self._missed: dict[str, dict[str, None]] = {}
        self._history = GitHistory(repo)
        outputs, unread = all_outputs(repo, self._history)
        self._outputs = outputs
        self._objects: list[HeldPlace] = [cache_place(repo)]
        for name in repo.config["remote"]:
            try:
                if remotes:
                    self._objects.append(remote_place(repo, name))
                else:
                    self._miss(f"remote {name}", "it was left out")
            except StoreError as error:
                self._miss(f"remote {name}", str(error))
        caches = [Path(one.path) for one in (repo.cache.local, repo.cache.legacy) if one]
        found = find_files(Path(repo.root_dir), caches, exports)
        for path, why in (*unread.items(), *found.unread.items()):
            self._miss(path, why)
        self._export_folders = found.export_folders
        self._files = [
            LocalPlace(WORKSPACE, found.workspace),
            LocalPlace(WORK, found.work),
            LocalPlace(EXPORT, found.exports),
        ]
        self._git = GitPlace(GIT, self._history)
        self._root = Path(repo.root_dir)
        self._scan = Scan(traces, self._miss)
        self._of_dvc = HeldObjects(outputs, self._objects, self._miss)
        self._held_shards: set[str] = set()

    def run(self) -> Holdings:
        """Read everything, and return what holds whom is sought."""
        self._scan.run(self._objects, [*self._files, self._git], thorough=[WORK, EXPORT])
        self._held_shards.update(self._shard_names())
        scanned = {name for place, name in (*self._scan.contents, *self._scan.headers) if not place}
        found = [*self._of_dvc.holdings(self._content, scanned)]
        found += [*self._of_files(), *self._of_git(), *self._of_exports()]
        places = [*self._files[:2], *self._objects, *self._files[2:], self._git]
        order = {place.name: number for number, place in enumerate(places)}
        found.sort(key=lambda one: (order[one.place], one.output, one.file, one.path))
        return Holdings(
            ids=tuple(sorted({one for holding in found for one in holding.ids})),
            found=tuple(found),
            unreached=tuple(self._unreached()),
            names=self._history.names,
        )

    def _shard_names(self) -> Iterator[str]:
        """Give the names of shards that hold: each stands for the rows of its shard."""
        held = {key for key, content in self._scan.contents.items() if content.kind == "shard"}
        yield from (PurePosixPath(name).name for place, name in held if place)
        for path, digest in self._of_dvc.files():
            if ("", digest) in held:
                yield PurePosixPath(path).name

    def _content(self, key: Key, path: str) -> Content | None:
        """Return what a file holds: by its bytes, by what it lists, or as somebody's audio."""
        if (content := self._scan.content(key)) is not None:
            is_pins = content.kind == "text" and path.startswith(_PINS)
            return replace(content, kind="pins") if is_pins else content
        if (listed := self._scan.header(key)) and listed.shards & self._held_shards:
            return Content(kind="header", why="lists")
        ids = self._traces.in_file(path)
        return Content(kind="audio", ids=tuple(sorted(ids)), num_rows=len(ids)) if ids else None

    def _of_files(self) -> Iterator[Holding]:
        """Give files of the workspace, of runs, and of exports."""
        outputs = {out.path: out for out in self._outputs if WORKSPACE in out.revisions}
        fitted = {out.path for out, at in self._of_dvc.codebooks if WORKSPACE in at}
        for place in self._files:
            for name in place.files:
                content = self._content((place.name, name), name)
                if content is None and place.name == WORKSPACE and name in fitted:
                    content = Content(kind="codebook", why="fitted")
                if content is not None:
                    yield _holding(place.name, name, content, outputs)

    def _of_git(self) -> Iterator[Holding]:
        """Give files of commits."""
        held = {name for place, name in self._scan.contents if place == GIT}
        held |= {blob for blob, path in self._git.files.items() if self._traces.in_file(path)}
        for (path, blob), commits in self._history.files_of(held).items():
            if (content := self._content((GIT, blob), path)) is not None:
                one = _holding(GIT, path, content)
                yield replace(one, digest=blob, revisions=tuple(commits))

    def _of_exports(self) -> Iterator[Holding]:
        """Give exports that were made from what holds."""
        headers = self._scan.headers
        held = {one.export_name for one in self._scan.contents.values() if one.export_name}
        held |= {one.digest for key, one in headers.items() if self._content(key, "")}
        known = {one.digest for one in headers.values()}
        return held_exports(self._export_folders, self._root, held, known, self._miss)

    def _miss(self, place: str, why: str) -> None:
        self._missed.setdefault(place, {})[why] = None  # what is looked at twice is told once

    def _unreached(self) -> Iterator[Unreached]:
        for place, whys in self._missed.items():
            more = f"; {len(whys) - _SHOWN:,} more" if len(whys) > _SHOWN else ""
            yield Unreached(place=place, why="; ".join([*whys][:_SHOWN]) + more)
        yield from self._unread()
        for place, why in _BEYOND.items():
            yield Unreached(place=place, why=why)

    def _unread(self) -> Iterator[Unreached]:
        """Say which files were passed by, but for audio and codebooks, which count by their names.

        Of an object that no revision names, nobody knows what it is.
        """
        unread = self._scan.unread
        paths = {digest: path for path, digest in self._of_dvc.files() if ("", digest) in unread}
        passed: dict[str, list[str]] = {}
        for place, name in sorted(unread):
            if place:
                path = self._git.files[name] if place == GIT else name
            elif name in paths:
                path = paths[name]
            else:
                passed.setdefault(_UNNAMED, []).append(name)
                continue
            if PurePosixPath(path).suffix.lower() not in (*AUDIO_SUFFIXES, CODEBOOK):
                passed.setdefault(place or "objects of DVC", []).append(path)
        for what, names in passed.items():
            # no whole name: a path may tell who somebody is, and receipts repeat this
            ends = sorted({PurePosixPath(one).suffix or "no ending" for one in names})
            told = f"{names[0]} is one" if what == _UNNAMED else ", ".join(ends[:_SHOWN])
            why = f"{len(names):,} that are neither stores nor texts were not read: {told}"
            yield Unreached(place=what, why=why)


def _holding(
    place: str,
    path: str,
    content: Content,
    outputs: Mapping[str, NamedOutput] = MappingProxyType({}),
) -> Holding:
    """Return a file as a holding; of the output that it lies in, where there is one."""
    parents = (path, *map(str, PurePosixPath(path).parents))
    out = next((outputs[one] for one in parents if one in outputs), None)
    is_sample = content.kind == "shard" and out is not None and out.stage.startswith("sample")
    return Holding(
        place=place,
        path=path,
        kind="sample" if is_sample else content.kind,
        why=content.why,
        output=out.path if out else "",
        file=path[len(out.path) + 1 :] if out else "",
        num_rows=content.num_rows,
        ids=content.ids,
        is_sure=content.is_sure,
    )
