"""What the lock files of a commit say of stages, their outputs and dependencies, to be changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import md5
from pathlib import PurePosixPath
from typing import Any

from featbank.base.split_names import SUMMARY_NAME
from featbank.pipeline.dvc_pointer import PushedFile, folder_object
from featbank.pipeline.revision_tree import RevisionTree
from featbank.pipeline.revisions import TrackedOutput
from featbank.store.format import HEADER_NAME

_LOCK, _POINTER, _PIPELINE = "dvc.lock", ".dvc", "dvc.yaml"
_CODEBOOK = ".safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedOutput:
    """An output as a lock file of a revision names it.

    Args:
        path: from the project's folder.
        file: the `dvc.lock` or `.dvc` file.
        stage: that makes it, as `dvc.lock` names it; empty of a `.dvc` file.
        entry: what the file says of it, which may be changed.
        is_in_git: git keeps it, and DVC has no object of it.
        files: its objects by their paths in it.
    """

    path: str
    file: str
    stage: str
    entry: dict[str, Any]
    is_in_git: bool
    files: Mapping[str, str]

    @property
    def is_data(self) -> bool:
        """Whether it is stores, manifests or a codebook."""
        names = {path.rpartition("/")[2] for path in self.files}
        return bool(names & {HEADER_NAME, SUMMARY_NAME}) or self.path.endswith(_CODEBOOK)

    @property
    def digest(self) -> str:
        """The name of its object."""
        return str(self.entry["md5"])

    def has(self, path: str) -> bool:
        """Tell whether a path from the project's folder is the output, or in it."""
        return _relative(path, self.path) is not None

    def at(self, file: str) -> str:
        """Return the path of one of its files from the project's folder."""
        return f"{self.path}/{file}" if file else self.path

    def change(self, new: Mapping[str, PushedFile | None], num_bytes: int) -> bytes:
        """Have the lock file name other objects.

        Args:
            new: objects by their paths in the output; None for a file that goes.
            num_bytes: by which the output grows.

        Returns:
            The bytes of the object that lists the new files.
        """
        known = {path: PushedFile(md5=one, num_bytes=0) for path, one in self.files.items()}
        left = {path: one for path, one in (known | dict(new)).items() if one is not None}
        listing = folder_object(left)
        self.entry["md5"] = listing.name
        self.entry["size"] += num_bytes
        self.entry["nfiles"] = listing.num_files
        return listing.data


class RevisionLocks:
    """All lock files of a revision.

    Args:
        tree: of its files.
        tracked: its outputs, as DVC knows them. What `dvc.lock` says of others is left out: of
            stages that `dvc.yaml` has no more.
        listed: gives the objects of an output by its own.
    """

    def __init__(
        self,
        tree: RevisionTree,
        tracked: Mapping[str, TrackedOutput],
        listed: Callable[[str], Mapping[str, str]],
    ) -> None:
        self._tree = tree
        self._data = {
            path: _parse(tree.read(path))
            for path in sorted(tree.files)
            if PurePosixPath(path).name == _LOCK or path.endswith(_POINTER)
        }
        self._pipelines: dict[str, Any] = {}
        self.outputs: list[LockedOutput] = []
        for file, said in self._data.items():
            for stage, entry in list(_stages(said)):
                outs = {_below(file, one["path"]): one for one in entry.get("outs") or ()}
                if any(
                    path not in tracked or not _is_same(tracked[path], out)
                    for path, out in outs.items()
                ):
                    said.get("stages", {}).pop(stage, None)
                    continue
                for path, out in outs.items():
                    is_in_git = tracked[path].cache is None
                    self.outputs.append(
                        LockedOutput(
                            path=path,
                            file=file,
                            stage=stage,
                            entry=out,
                            is_in_git=is_in_git,
                            files={} if is_in_git else listed(str(out["md5"])),
                        )
                    )

    def objects(self) -> set[str]:
        """Return all objects that the outputs of the revision name."""
        outs = [one for one in self.outputs if not one.is_in_git]
        return {one.digest for one in outs} | {md5 for one in outs for md5 in one.files.values()}

    def stages_of(self, paths: Collection[str]) -> list[LockedOutput]:
        """Return all outputs of the stages that have some, with those of their whole matrix."""
        stages = {_maker(one) for one in self.outputs if one.path in paths}
        return [one for one in self.outputs if _maker(one) in stages]

    def drop(self, outputs: Collection[LockedOutput]) -> None:
        """Take the stages of some outputs out of the lock files, and out of `dvc.yaml`."""
        for file, stage in {_maker(one) for one in outputs}:
            stages = self._data[file]["stages"]
            for name in [one for one in stages if _base(one) == stage]:
                del stages[name]
            path = str(PurePosixPath(file).with_name(_PIPELINE))
            if path not in self._pipelines:
                self._pipelines[path] = _parse(self._tree.read(path))
            del self._pipelines[path]["stages"][stage]
        self.outputs = [one for one in self.outputs if one not in outputs]

    def follow(self, new: Mapping[str, PushedFile | None], sizes: Mapping[str, int]) -> None:
        """Have stages that make data or a codebook depend on the new files.

        Other stages, such as checks, stay as they were made, from the old ones: DVC says so then.
        So does a dependency that was not what the revision has.

        Args:
            new: files by their paths from the project's folder; None for one that goes.
            sizes: of those that they replace, in bytes.
        """
        objects = {one.at(file): md5 for one in self.outputs for file, md5 in one.files.items()}
        makers = {(one.file, one.stage) for one in self.outputs if one.is_data}
        for file, said in self._data.items():
            for stage, entry in _stages(said):
                for dep in (entry.get("deps") or ()) if (file, stage) in makers else ():
                    if "md5" in dep:
                        self._follow(dep, _below(file, dep["path"]), objects, new, sizes)

    def texts(self) -> dict[str, bytes]:
        """Return the bytes of the lock files and of changed pipelines, by path."""
        # imported here: it takes a second
        from dvc.utils.serialize import dumps_yaml

        return {
            path: dumps_yaml(said).encode() for path, said in (self._data | self._pipelines).items()
        }

    def _follow(
        self,
        dep: dict[str, Any],
        path: str,
        objects: Mapping[str, str],
        new: Mapping[str, PushedFile | None],
        sizes: Mapping[str, int],
    ) -> None:
        changed = [(place, one) for one in new if (place := _relative(one, path)) is not None]
        files = self._files_below(path, objects) if changed else {}
        if not changed or _digest(files)[0] != dep["md5"]:
            return
        for place, one in changed:
            made = new[one]
            files[place] = made.md5 if made else None
            dep["size"] += (made.num_bytes if made else 0) - sizes.get(one, 0)
        dep["md5"], num_files = _digest(files)
        if "nfiles" in dep:
            dep["nfiles"] = num_files

    def _files_below(self, path: str, objects: Mapping[str, str]) -> dict[str, str | None]:
        """Return the MD5 of each file of a path, of outputs and of git, by its place in it."""
        found: dict[str, str | None] = {}
        for one, digest in objects.items():
            if (place := _relative(one, path)) is not None:
                found[place] = digest
        for one in self._tree.files:
            if (place := _relative(one, path)) is not None:
                found[place] = md5(self._tree.read(one), usedforsecurity=False).hexdigest()
        return found


def _digest(files: Mapping[str, str | None]) -> tuple[str, int]:
    """Return the name of the object that a file or a folder is, and how many files it has."""
    if (alone := files.get("")) is not None:
        return alone, 1
    listing = folder_object(
        {path: PushedFile(md5=one, num_bytes=0) for path, one in files.items() if one is not None}
    )
    return listing.name, listing.num_files


def _is_same(tracked: TrackedOutput, out: Mapping[str, Any]) -> bool:
    return tracked.digest == out.get("md5")


def _maker(output: LockedOutput) -> tuple[str, str]:
    return output.file, _base(output.stage)


def _base(stage: str) -> str:
    """Return a stage without the place in its matrix."""
    return stage.partition("@")[0]


def _parse(data: bytes) -> Any:
    # imported here: it takes a second
    from dvc.utils.serialize import loads_yaml

    return loads_yaml(data.decode(), typ="rt")


def _stages(said: Any) -> Iterator[tuple[str, Any]]:
    """Give the stages of a `dvc.lock`, or the only one of a `.dvc` file, which has no name."""
    yield from said["stages"].items() if "stages" in said else (("", said),)


def _below(file: str, path: Any) -> str:
    return (PurePosixPath(file).parent / str(path)).as_posix()


def _relative(path: str, folder: str) -> str | None:
    """Return a path from a folder on; None where it is not in it; `""` where it is it."""
    if path == folder:
        return ""
    return path[len(folder) + 1 :] if path.startswith(f"{folder}/") else None
