"""Files of a corpus by the split that each is of, as a definition names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featbank.base.failures import brief
from featbank.base.split_names import check_split
from featbank.errors import ConfigError


def paths_by_split(given: object, key: str) -> dict[str, str]:
    """Return the path of each split that a definition names.

    >>> paths_by_split({"train": "train.tsv", "dev": "valid.tsv"}, "corpus.tables")
    {'train': 'train.tsv', 'dev': 'valid.tsv'}
    >>> paths_by_split("all.tsv", "corpus.tables")  # which names no split: a rule makes them
    {'': 'all.tsv'}

    Args:
        given: paths by split, or one path.
        key: of the definition, for messages.

    Raises:
        ConfigError: it is neither, or a name is none of a split.
    """
    if isinstance(given, str) and given:
        return {"": given}
    if not (isinstance(given, Mapping) and given) or not all(
        isinstance(path, str) and path for path in given.values()
    ):
        raise ConfigError(
            key,
            expected="paths by split, such as {train: PATH, dev: PATH}, or one path",
            got=repr(given),
        )
    return {check_split(split, key, ConfigError): path for split, path in given.items()}


def lists_by_split(given: object, key: str, expected: str) -> dict[str, tuple[str, ...]]:
    """Return the paths of each split that a definition names, of which each may have several.

    >>> lists_by_split({"train": ["a.tsv", "b.tsv"], "dev": "c.tsv"}, "corpus.table", "paths")
    {'train': ('a.tsv', 'b.tsv'), 'dev': ('c.tsv',)}
    >>> lists_by_split(["a.tsv", "b.tsv"], "corpus.table", "paths")  # which name no split
    {'': ('a.tsv', 'b.tsv')}

    Args:
        given: a path or several, or these by split.
        key: of the definition, for messages.
        expected: what is, for messages.

    Raises:
        ConfigError: it is none of these, or a name is none of a split.
    """
    by_split: Mapping[str, Any] = given if isinstance(given, Mapping) else {"": given}
    lists = {split: [some] if isinstance(some, str) else some for split, some in by_split.items()}
    if not lists or not all(map(_are_paths, lists.values())):
        raise ConfigError(key, expected=expected, got=brief(repr(given)))
    if by_split is given:
        for split in lists:
            check_split(split, key, ConfigError)
    return {split: tuple(some) for split, some in lists.items()}


def _are_paths(some: object) -> bool:
    return (
        isinstance(some, Sequence)
        and bool(some)
        and all(isinstance(path, str) and path for path in some)
    )
