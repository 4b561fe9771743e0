"""Names of splits: which ones are valid, how they are ordered, and which a corpus has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from featbank.base.folder_names import check_name
from featbank.errors import ConfigError, FeatbankError, ManifestError
from featbank.files.json_files import read_json

SUMMARY_NAME = "corpus.json"
"""The file beside the manifests that sums a corpus up, and states which splits it has."""

FAILED_NAME = "failures.jsonl"
"""The file beside the manifests that lists what could not be used."""

_SUFFIX = ".jsonl"
_MAX_SPLIT = 64  # characters: locks and unfinished files have longer names
# whose manifest would be the failure list; what metrics.json has beside the splits
_RESERVED = frozenset(["failures", "fit", "stability"])
_ORDER = {"train": 0, "dev": 1, "valid": 1, "validation": 1, "val": 1, "test": 3, "eval": 3}
_FIRST_WORD = re.compile(r"[A-Za-z]*")


def check_split(split: object, where: str, error: type[FeatbankError] = ManifestError) -> str:
    """Return the name of a split that can name a manifest and a folder on any disk.

    Raises:
        FeatbankError: as `error`, when it cannot, or has a meaning of its own.
    """
    try:
        name = check_name(split, where)
    except ConfigError as wrong:
        got = str(wrong.got)[:_MAX_SPLIT]
        hint = "the corpus's definition can name it otherwise: splits: {found: name}"
        raise error(where, expected=wrong.expected, got=got, hint=hint) from wrong
    if len(name) > _MAX_SPLIT:
        raise error(where, expected=f"{_MAX_SPLIT} characters at most", got=len(name))
    if name.lower() in _RESERVED or name.lower().endswith((".json", _SUFFIX)) or name[-1] == ".":
        raise error(where, expected="a name without a meaning of its own here", got=repr(name))
    return name


def check_distinct(splits: Iterable[str], where: str, error: type[FeatbankError]) -> None:
    """Refuse splits whose names differ in the case of letters alone: some disks have one for both.

    Raises:
        FeatbankError: as `error`, when there are two.
    """
    seen: dict[str, str] = {}
    for split in sorted(splits):
        other = seen.setdefault(split.casefold(), split)
        if other != split:
            raise error(
                where,
                expected="names that differ in more than the case of letters",
                got=f"{other} and {split}",
                hint=f"make one of them the other: corpus.splits={{{split}: {other}}}",
            )


def in_order(splits: Iterable[str]) -> list[str]:
    """Return names of splits in order of listing: training first, tests last, else by name.

    >>> in_order(["test-other", "dev", "valid", "train-clean-100", "stories"])
    ['train-clean-100', 'dev', 'valid', 'stories', 'test-other']
    """

    def place(split: str) -> tuple[int, str]:
        [word] = _FIRST_WORD.findall(split)[:1]
        return _ORDER.get(word.lower(), 2), split

    return sorted(splits, key=place)


def split_names(manifests: str | Path) -> tuple[str, ...]:
    """Return the splits of a corpus, in order: those that its summary states, each with a manifest.

    Args:
        manifests: folder with a manifest a split. Where no summary lies beside them, they are all.

    Raises:
        ManifestError: there is none, or the summary states others than there are.
    """
    folder = Path(manifests)
    hint = f"run python stages/prepare.py corpus={folder.name}"
    found = {
        path.name.removesuffix(_SUFFIX)
        for path in folder.glob(f"*{_SUFFIX}")
        if not path.name.startswith(".") and path.name != FAILED_NAME
    }
    summary = folder / SUMMARY_NAME
    if not os.path.lexists(summary):
        stated = found
    else:
        fields = read_json(summary, what="corpus summary", error=ManifestError, hint=hint)
        splits = fields.get("splits")
        if not isinstance(splits, dict):
            raise ManifestError(
                f"corpus summary {summary}", expected="splits", got="none", hint=hint
            )
        stated = set(splits)
    for split in sorted(stated):
        check_split(split, f"split of {folder}")
    if not stated:
        raise ManifestError(f"manifests in {folder}", expected="one a split", got="none", hint=hint)
    if stated != found:
        raise ManifestError(
            f"manifests in {folder}",
            expected=f"those of {', '.join(in_order(stated))}, as {SUMMARY_NAME} states",
            got=", ".join(in_order(found)) or "none",
            hint=hint,
        )
    return tuple(in_order(stated))
