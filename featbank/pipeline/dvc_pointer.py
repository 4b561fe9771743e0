"""Describe an output that only DVC's remote has, as `dvc add` does one on this disk.

DVC knows a folder by an object that lists its files, and that object by a `.dvc` file in git.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from featbank.errors import ConfigError
from featbank.files.provenance import write_atomic
from featbank.pipeline.dvc_outputs import dvc_project

SUFFIX = ".dvc"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedFile:
    """A file as an object of DVC.

    Args:
        md5: of its bytes: the name of the object.
        num_bytes: its size.
    """

    md5: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderObject:
    """The object that lists the files of a folder.

    Args:
        name: of the object: `<md5>.dir`.
        data: its bytes.
        num_bytes: of all files.
        num_files: that it lists.
    """

    name: str
    data: bytes
    num_bytes: int
    num_files: int


def folder_object(entries: Mapping[str, PushedFile]) -> FolderObject:
    """Return the object that DVC would make of a folder.

    Args:
        entries: its files, by their paths in it.
    """
    # imported here: it takes a second
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree = Tree()  # type: ignore[no-untyped-call]
    for path, entry in entries.items():
        tree.add(tuple(path.split("/")), None, HashInfo("md5", entry.md5))
    tree.digest()
    return FolderObject(
        name=str(tree.oid),
        data=tree.as_bytes(),
        num_bytes=sum(entry.num_bytes for entry in entries.values()),
        num_files=len(entries),
    )


def check_pointer(pointer: Path) -> None:
    """Refuse a place for a `.dvc` file at which DVC would not see it.

    Raises:
        ConfigError: git ignores it, or another output is there.
    """
    # imported here: it takes a second
    from dvc.exceptions import DvcException, OutputNotFoundError
    from dvc.scm import SCMError

    place = _place(pointer).absolute()
    try:
        with dvc_project() as repo:
            if repo.scm.is_ignored(str(pointer.absolute())):
                raise ConfigError(
                    f"place of {pointer}",
                    expected="one that git does not ignore: DVC reads no other",
                    got="a rule of .gitignore",
                    hint="pushed=FOLDER is another",
                )
            try:
                outs = repo.find_outs_by_path(str(place), strict=False)
            except OutputNotFoundError:
                return
            for out in outs:
                if Path(out.stage.path) != pointer.absolute():
                    raise ConfigError(
                        f"place of {pointer}",
                        expected="one of its own",
                        got=f"an output of {out.stage.addressing}",
                        hint="pushed=FOLDER is another",
                    )
    except (DvcException, SCMError) as error:
        raise ConfigError("project of DVC", expected="one that it reads", got=error) from error


def write_pointer(pointer: Path, listing: FolderObject) -> None:
    """Write the `.dvc` file of a folder, and have git ignore the folder beside it."""
    place = _place(pointer)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    with dvc_project() as repo, repo.scm_context(quiet=True) as scm:
        scm.ignore(str(place.absolute()))
    out = {
        "md5": listing.name,
        "size": listing.num_bytes,
        "nfiles": listing.num_files,
        "hash": "md5",
        "path": place.name,
    }
    write_atomic(pointer, yaml.safe_dump({"outs": [out]}, sort_keys=False))


def _place(pointer: Path) -> Path:
    """Return the folder that a `.dvc` file is about: its name may have dots of its own."""
    return pointer.with_name(pointer.name.removesuffix(SUFFIX))
