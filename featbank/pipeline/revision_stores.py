"""Stores and codebooks of two revisions, compared with no checkout of either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from featbank.comparison.comparing import Version, compare_versions
from featbank.comparison.findings import VersionsDifference
from featbank.comparison.folders import CODEBOOK_SUFFIX
from featbank.comparison.one_side import ShardedStore
from featbank.errors import FeatbankError, StoreError
from featbank.pipeline.revisions import (
    TrackedObjects,
    TrackedOutput,
    not_here,
    read_revisions,
)
from featbank.store import HEADER_NAME, MappedShard
from featbank.store.header_file import parse_header
from featbank.store.remote.store import RemoteStore, open_remote
from featbank.store.soundness import check_when_opened, refuse_differences

_HINT = "remove the object from DVC's cache, and dvc fetch it"


def compare_revisions(
    before: str,
    after: str | None,
    *,
    path: str = "",
    remote: str | None = None,
    limit: int | None = 10,
) -> VersionsDifference:
    """Compare the stores and codebooks of two revisions, as DVC tracks them.

    An output that both have, by its digest, is not looked into.

    Args:
        before: a commit, tag or branch.
        after: the later one; None for what `dvc.lock` says now.
        path: of what is compared, from the root of the project: an output, what lies in one, or a
            folder of several; all outputs where it is empty.
        remote: that is asked for what the cache of this machine lacks, by DVC's name for it.
        limit: as of `compare_versions`.

    Raises:
        StoreError: there is no such revision, or DVC tracks nothing at the path in either.
    """
    revisions = read_revisions([before, after])
    target = PurePosixPath(path.strip("/"))
    tracked = [
        {name: one for name, one in revision.outputs.items() if _touches(target, name)}
        for revision in revisions
    ]
    if not any(tracked):
        raise StoreError(
            f"{path or 'outputs'} in {revisions[0].name} and {revisions[1].name}",
            expected="an output that DVC tracks, or a path in one",
            got="none",
            hint="paths are from the root of the project, as dvc.lock has them",
        )
    ours, theirs = tracked
    paths = ours.keys() | theirs.keys()
    same = {name for name in paths if _digest(ours, name) == _digest(theirs, name)}
    objects = TrackedObjects(remote)
    listed: list[list[_Files]] = [[], []]
    problems, others = [], []
    for name in sorted(paths - same):
        try:
            pair = [
                [_Files(revision.name, outputs[name], objects)] if name in outputs else []
                for revision, outputs in zip(revisions, tracked, strict=True)
            ]
        except StoreError as error:
            problems.append(str(error))
            continue
        if not any(files.is_compared for one in pair for files in one):
            others.append(name)
        for files, more in zip(listed, pair, strict=True):
            files += more
    found = compare_versions(
        *(
            Version(
                name=revision.name,
                stores={path: one for each in files for path, one in each.stores(target)},
                codebooks={path: one for each in files for path, one in each.codebooks()},
            )
            for revision, files in zip(revisions, listed, strict=True)
        ),
        limit=limit,
    )
    return replace(
        found,
        same=tuple(sorted({*same, *found.same})),
        others=tuple(others),
        problems=(*problems, *found.problems),
    )


def _touches(target: PurePosixPath, path: str) -> bool:
    """Tell whether an output lies below a path, or holds it."""
    place = PurePosixPath(path)
    return place.is_relative_to(target) or target.is_relative_to(place)


def _digest(outputs: Mapping[str, TrackedOutput], path: str) -> str | None:
    return outputs[path].digest if path in outputs else None


class _Files:
    """The files of one output in one revision.

    Args:
        revision: its name.
        output: as DVC tracks it.
        objects: of its files.
    """

    def __init__(self, revision: str, output: TrackedOutput, objects: TrackedObjects) -> None:
        self._revision = revision
        self._output = output
        self._objects = objects
        self._digests = objects.listed(output, self._where(output.path))

    @property
    def is_compared(self) -> bool:
        """Whether there is a store or a codebook among them."""
        return bool(self._folders()) or self._is_codebook

    def stores(self, target: PurePosixPath) -> Iterator[tuple[str, ShardedStore | FeatbankError]]:
        """Give those stores that lie at a path or below it, by their own paths."""
        for folder in self._folders():
            path = PurePosixPath(self._output.path) / folder
            if path.is_relative_to(target):
                digests = {
                    name.removeprefix(f"{folder}/" if folder else ""): digest
                    for name, digest in self._digests.items()
                    if PurePosixPath(name).parent.as_posix() == (folder or ".")
                }
                where = self._where(path.as_posix())
                try:
                    store = RevisionStore(where, digests, self._output, self._objects)
                except StoreError as error:
                    yield path.as_posix(), error
                else:
                    yield path.as_posix(), store

    def codebooks(self) -> Iterator[tuple[str, Path | FeatbankError]]:
        """Give the file, where it is a codebook, by its path."""
        if self._is_codebook:
            path = self._objects.path_here(self._output, self._output.digest)
            where = self._where(self._output.path)
            yield (
                self._output.path,
                path or not_here(where, "no object in the cache"),
            )

    @property
    def _is_codebook(self) -> bool:
        return self._output.path.endswith(CODEBOOK_SUFFIX) and "" in self._digests

    def _folders(self) -> list[str]:
        """Return the folders of stores below the output; empty for itself."""
        return [
            name.rpartition("/")[0]
            for name in self._digests
            if name.rpartition("/")[2] == HEADER_NAME
        ]

    def _where(self, path: str) -> str:
        return f"{self._revision}:{path}"


class RevisionStore:
    """A store of a revision: what is in DVC's cache is mapped there, the rest read in the remote.

    Args:
        where: it is, for errors, such as `main:data/tokens/demo/x/units/train`.
        digests: names of the objects of its files, by their names.
        output: of DVC that it lies in.
        objects: of that output.
    """

    def __init__(
        self,
        where: str,
        digests: Mapping[str, str],
        output: TrackedOutput,
        objects: TrackedObjects,
    ) -> None:
        self._where = where
        self._digests = digests
        self._output = output
        self._objects = objects
        self._remote: RemoteStore | None = None
        place = f"{where}/{HEADER_NAME}"
        data = objects.read(output, digests[HEADER_NAME], place)
        self.header = parse_header(data, place, _HINT)

    def open_shard(self, number: int) -> MappedShard:
        """Return the shard that `header.shards[number]` lists.

        Raises:
            StoreError: it is neither in the cache nor in a remote, or damaged.
        """
        info = self.header.shards[number]
        where = f"shard {self._where}/{info.name}"
        if info.name not in self._digests:
            raise StoreError(where, expected="a file of the output", got="none")
        path = self._objects.path_here(self._output, self._digests[info.name])
        if path is None:
            return self._elsewhere(where).open_shard(number)
        shard = _CachedShard(path, info.num_bytes, where)
        refuse_differences(self.header, info, shard)
        check_when_opened(self.header, info, shard)
        return shard

    def _elsewhere(self, where: str) -> RemoteStore:
        if self._remote is None:
            objects = self._objects.elsewhere(self._output, where)
            self._remote = open_remote(objects.place(self._where, self._digests))
        return self._remote


class _CachedShard(MappedShard):
    """A shard that is an object of DVC's cache."""

    def damaged(self, expected: str, got: object) -> StoreError:
        """Return the error that says what is wrong with the file."""
        return StoreError(self.where, expected=expected, got=got, hint=f"{_HINT}: {self.path}")
