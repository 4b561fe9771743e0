"""Find every object that holds some utterances: in the workspace, DVC's cache, its remotes, exports.

Each place is scanned itself, for a cache and its remote can differ. What an object holds is read
from its bytes, once for all places that have it, for its name is the MD5 of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from featbank.base.sought import Sought

WORKSPACE = "workspace"
"""A place; and among revisions, what `dvc.lock` of the workspace names."""
WORK = "work"
CACHE = "cache"
EXPORT = "export"
REMOTE = "remote "
"""Before the name of a remote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One file or object, in one place, that holds some of what is sought.

    Args:
        place: `workspace`, `work` (unfinished runs and records below `.featbank`), `cache`,
            `remote NAME` or `export`.
        path: of the file, from the project's folder where it lies below it; of an object, where the
            cache or the remote has it.
        digest: the name of the object, `<md5>` or `<md5>.dir`; empty for a file.
        kind: `shard`, `sample`, `manifest`, `pins`, `failures`, `header`, `check`, `stability`,
            `report`, `codebook`, `audio`, `journal`, `listing` (of DVC), `export`, `text`.
        why: `holds` (its bytes do), `lists` (objects that hold), `fitted` or `made` from what holds.
        output: of DVC that the file or object is of, from the project's folder; empty for none.
        file: it is in the output; empty where it is the output.
        revisions: commits whose outputs name the object, and `workspace`; none of a file, nor of an
            object that no revision names.
        num_rows: rows of what is sought in it; 0 where it names them without a row of them.
        ids: that were found in it, sorted.
    """

    place: str
    path: str
    digest: str = ""
    kind: str
    why: Literal["holds", "lists", "fitted", "made"] = "holds"
    output: str = ""
    file: str = ""
    revisions: tuple[str, ...] = ()
    num_rows: int = 0
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """A place that was not scanned, or not all of it, and why.

    Args:
        place: as a person names it.
        why: it was not.
    """

    place: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """All that holds what was sought.

    Args:
        ids: all that were found, of every version, sorted.
        found: the holdings, place by place.
        unreached: what was not scanned.
        names: tags and branches, by the commit that they are at.
    """

    ids: tuple[str, ...]
    found: tuple[Holding, ...]
    unreached: tuple[Unreached, ...]
    names: Mapping[str, tuple[str, ...]]


def find_holdings(
    sought: Sought, *, remotes: bool = True, exports: Sequence[Path] = ()
) -> Holdings:
    """Find what holds some utterances, from the folder of a project of DVC.

    Args:
        sought: whom.
        remotes: scan DVC's remotes, too.
        exports: folders in which there may be exports, beside the project's own.

    Raises:
        ConfigError: this is no project of DVC.
    """
    raise NotImplementedError
