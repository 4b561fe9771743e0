"""What a revision holds, with no checkout: its outputs, and their files as objects of DVC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from featbank.errors import StoreError
from featbank.files.opening import read_regular
from featbank.pipeline.dvc_listing import parse_listing
from featbank.pipeline.dvc_outputs import dvc_project
from featbank.pipeline.dvc_store import ObjectsElsewhere

_MAX_BYTES = 1 << 30
"""Of a file that is read at once: a listing, with some hundred for each file of an output."""


_NOW = "dvc.lock as it is now"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedOutput:
    """An output of DVC in a revision.

    Args:
        path: from the root of the project.
        digest: name of its object; `<md5>.dir` of a folder.
        hash_name: of the kind of digest, as DVC names it.
        cache: folder of this machine's cache that its objects would be in; None where DVC keeps
            none of it: git does.
    """

    path: str
    digest: str
    hash_name: str
    cache: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit, tag or branch, or the workspace as `dvc.lock` is now.

    Args:
        name: as a person gave it, or what stands for the workspace.
        outputs: by path.
    """

    name: str
    outputs: Mapping[str, TrackedOutput]


def read_revisions(names: Sequence[str | None]) -> list[Revision]:
    """Ask DVC what its outputs are in some revisions; their files need not be here.

    Args:
        names: of commits, tags or branches; None for what `dvc.lock` says now.

    Raises:
        StoreError: there is no such revision, or this is no project of DVC.
    """
    # imported here: it takes a second
    from dvc.exceptions import DvcException
    from dvc.repo.brancher import switch
    from dvc.scm import SCMError

    found: list[Revision] = []
    try:
        with dvc_project() as repo:
            for name in names:
                with switch(repo, name or "workspace"):
                    outputs = [_output(out) for out in repo.index.outs if out.hash_info]
                by_path = {one.path: one for one in outputs}
                found.append(Revision(name=name or _NOW, outputs=by_path))
    except (DvcException, SCMError) as error:
        raise StoreError(
            f"revision {names[len(found)] or _NOW}",
            expected="a commit, tag or branch of a project that DVC reads",
            got=error,
        ) from error
    return found


def _output(out: Any) -> TrackedOutput:
    repo = out.repo
    is_now = out.hash_info.name == repo.cache.local.hash_name
    cache = Path((repo.cache.local if is_now else repo.cache.legacy).path)
    return TrackedOutput(
        path=PurePosixPath(repo.fs.relpath(out.fs_path, repo.root_dir)).as_posix(),
        digest=out.hash_info.value,
        hash_name=out.hash_info.name,
        cache=cache if out.use_cache else None,
    )


class TrackedObjects:
    """Objects of outputs: those in this machine's cache where they lie, the others in a remote.

    Args:
        remote: by DVC's name for it; its default one otherwise. It is asked for what the cache
            lacks, and only then.
    """

    def __init__(self, remote: str | None = None) -> None:
        self._remote = remote
        self._elsewhere: dict[str, ObjectsElsewhere] = {}

    def path_here(self, output: TrackedOutput, digest: str) -> Path | None:
        """Return where the cache has an object of an output; None where it has not."""
        path = output.cache and output.cache / digest[:2] / digest[2:]
        return path if path and path.is_file() else None

    def listed(self, output: TrackedOutput, where: str) -> dict[str, str]:
        """Return the names of the objects of an output's files, by their paths in it.

        There are none of an output that git keeps.

        Args:
            output: of one file, or of a folder.
            where: it is, for errors.

        Raises:
            StoreError: neither the cache nor the remote has what lists them.
        """
        if output.cache is None:
            return {}
        if not output.digest.endswith(".dir"):
            return {"": output.digest}
        data = self.read(output, output.digest, where)
        return parse_listing(data, f"{where}: object {output.digest}")

    def read(self, output: TrackedOutput, digest: str, where: str) -> bytes:
        """Return the bytes of a small object.

        Args:
            output: that it belongs to.
            digest: its name.
            where: its file is, for errors.

        Raises:
            StoreError: neither the cache nor the remote has it.
        """
        path = self.path_here(output, digest)
        if path is None:
            return self.elsewhere(output, where).fetch(digest, where)
        try:
            return read_regular(path, _MAX_BYTES)
        except OSError as error:
            raise StoreError(where, expected="an object that can be read", got=error) from error

    def elsewhere(self, output: TrackedOutput, where: str) -> ObjectsElsewhere:
        """Return the objects of the remote.

        Args:
            output: whose objects are wanted.
            where: the file is that this machine lacks, for errors.

        Raises:
            StoreError: there is no remote that can be asked.
        """
        # imported here: it takes a second
        from dvc.exceptions import DvcException
        from dvc_objects.fs.errors import RemoteMissingDepsError

        if output.hash_name not in self._elsewhere:
            try:
                with dvc_project() as repo:
                    store = repo.cloud.get_remote_odb(self._remote, hash_name=output.hash_name)
                    self._elsewhere[output.hash_name] = ObjectsElsewhere(store)
            except (DvcException, RemoteMissingDepsError, ImportError) as error:
                raise not_here(where, str(error).partition("\n")[0]) from error
        return self._elsewhere[output.hash_name]


def not_here(where: str, got: object) -> StoreError:
    """Return the error that says that a file of a revision is nowhere to be had."""
    return StoreError(
        where,
        expected="it in DVC's cache, or a remote that has it",
        got=got,
        hint="dvc pull in a checkout of that revision, or --remote NAME of one that has it",
    )
