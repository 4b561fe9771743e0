"""Outputs that DVC knows in any revision: every commit of git, experiments, and the workspace.

Of commits, `dvc.lock` and `.dvc` files are read as they are: to have DVC fill `dvc.yaml` in for
each takes half a second. A stage that is gone from `dvc.yaml` counts while `dvc.lock` names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import yaml

from featbank.pipeline.git_history import GitHistory

WORKSPACE = "workspace"
"""Stands among revisions for what `dvc.lock` of the workspace names."""

_LOCK, _POINTER = "dvc.lock", ".dvc"
_FAULTS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedOutput:
    """An output with the bytes that some revisions have of it.

    Args:
        path: from the project's folder.
        digest: the name of its object.
        stage: that makes it, as `dvc.lock` names it; empty of a `.dvc` file.
        inputs: paths that this stage depends on.
        revisions: commits, and `WORKSPACE`.
    """

    path: str
    digest: str
    stage: str
    inputs: tuple[str, ...]
    revisions: tuple[str, ...]


class _Key(NamedTuple):
    path: str
    digest: str
    stage: str
    inputs: tuple[str, ...]


def all_outputs(
    repo: Any, history: GitHistory
) -> tuple[tuple[NamedOutput, ...], Mapping[str, str]]:
    """List the outputs of all revisions of an open project.

    Args:
        repo: of DVC.
        history: its commits.

    Returns:
        The outputs, those with the same bytes once; and by the path of a file that names outputs
        and cannot be read, why.

    Raises:
        DvcException: DVC does not read the workspace.
    """
    found: dict[_Key, dict[str, None]] = {}
    unread: dict[str, str] = {}
    for key in _of_workspace(repo):
        found.setdefault(key, {})[WORKSPACE] = None
    uncached = {_relative(out) for out in repo.index.outs if not out.use_cache}
    files = history.files_named(lambda name: name == _LOCK or name.endswith(_POINTER))
    for (path, blob), commits in files.items():
        try:
            for key in _of_file(PurePosixPath(path), history.read(blob)):
                if key.path in uncached:  # it is in git, and DVC has no object of it
                    continue
                found.setdefault(key, {}).update(dict.fromkeys(commits))
        except _FAULTS as error:
            unread[f"{path} of {commits[0][:10]}"] = f"no such file of DVC: {error!r}"[:200]
    outputs = (NamedOutput(**key._asdict(), revisions=tuple(at)) for key, at in found.items())
    return tuple(sorted(outputs, key=lambda one: (one.path, one.digest))), unread


def _of_workspace(repo: Any) -> Iterator[_Key]:
    for out in repo.index.outs:
        if out.use_cache and out.hash_info and out.hash_info.value:
            inputs = (_relative(dep) for dep in out.stage.deps if dep.is_in_repo)
            yield _Key(
                path=_relative(out),
                digest=str(out.hash_info.value),
                stage=getattr(out.stage, "name", None) or "",
                inputs=tuple(sorted(set(inputs))),
            )


def _relative(out: Any) -> str:
    """Return the path of an output or a dependency from the project's folder."""
    return PurePosixPath(out.repo.fs.relpath(out.fs_path, out.repo.root_dir)).as_posix()


def _of_file(path: PurePosixPath, data: bytes) -> Iterator[_Key]:
    """Give the outputs that a `dvc.lock` or a `.dvc` file names."""
    said = yaml.load(data, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506
    if path.name == _LOCK:
        stages = said.get("stages") or {}
    else:
        stages = {"": {"outs": said.get("outs", ())}}
    for stage, entry in stages.items():
        inputs = tuple(sorted({_below(path, one["path"]) for one in entry.get("deps") or ()}))
        for out in entry.get("outs") or ():
            if digest := out.get("md5"):
                yield _Key(_below(path, out["path"]), str(digest), str(stage), inputs)


def _below(file: PurePosixPath, path: Any) -> str:
    return (file.parent / str(path)).as_posix()
