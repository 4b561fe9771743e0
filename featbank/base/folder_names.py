"""Names that become folders, such as those of corpora and features."""

from __future__ import annotations

import re

from featbank.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(name: object, where: str) -> str:
    """Return a name that becomes a folder, if it stays below the folder it is meant for.

    Raises:
        ConfigError: it does not.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            where,
            expected="letters, digits, '.', '_' and '-', a letter or digit first",
            got=repr(name),
        )
    return name
