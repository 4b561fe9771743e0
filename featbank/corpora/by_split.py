"""Tables of a corpus by the split that each is of, as a definition names them."""

from __future__ import annotations

from collections.abc import Mapping

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
