"""What a search for somebody finds: the files and objects that hold them, and what it left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Why = Literal["holds", "lists", "fitted", "made"]
"""Its bytes name somebody, or list files that do; or it was fitted on, or made from, such files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One file or object, in one place, that holds some of what is sought.

    Args:
        place: `workspace`, `work` (below `.featbank`), `cache`, `remote NAME`, `git` or `export`.
        path: of the file, from the project's folder where it lies below it; of an object, where it
            is in the cache or the remote.
        digest: the name of the object of DVC, `<md5>` or `<md5>.dir`, or of the blob of git; empty
            of other files.
        kind: `shard`, `sample`, `manifest`, `pins`, `failures`, `header`, `check`, `stability`,
            `certificate`, `report`, `codebook`, `audio`, `journal`, `listing`, `export`, `text`.
        why: it counts.
        output: of DVC that the file or object is of, from the project's folder; empty for none.
        file: in the output; empty where it is the output.
        revisions: commits that name the object, and `workspace` for what `dvc.lock` says now; none
            of a file, nor of an object that no revision names.
        num_rows: rows of what is sought in it; 0 where it names them without a row of theirs.
        ids: that were found in it, sorted.
        is_sure: false of a text that has no more of them than a number or a short word, which may
            be anything.
    """

    place: str
    path: str
    digest: str = ""
    kind: str
    why: Why = "holds"
    output: str = ""
    file: str = ""
    revisions: tuple[str, ...] = ()
    num_rows: int = 0
    ids: tuple[str, ...] = ()
    is_sure: bool = True


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
