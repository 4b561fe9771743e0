"""Parts of a corpus: its utterances share shards with those of their own part alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from featbank.corpora.templates import Template
from featbank.errors import ConfigError

_SETTING = "corpus.part_from"
_EXPECTED = 'null, the name of a column, or how paths of audio begin: "{release}/"'


class PartRule:
    """Says where the part of a row is taken from, if not from where its layout has it.

    The part is a function of the row alone, so that no shard depends on what was there before.

    Args:
        part_from: name of a column or field of the corpus; how paths of audio begin, with
            `{release}` for the part and `{_}` for anything: `{release}/`, `train-{release}-`; or
            None. A row of another path, or with an empty cell, is of the part without a name.
        has_columns: whether the layout reads columns.

    Raises:
        ConfigError: it is none of these.
    """

    def __init__(self, part_from: str | None, *, has_columns: bool) -> None:
        self.said = part_from or ""
        """What the definition says; empty for nothing."""
        self.column = ""
        """That has the part; empty for none."""
        self._paths: Callable[[str], re.Match[str] | None] | None = None
        if part_from is None:
            return
        if not isinstance(part_from, str) or not part_from:
            raise ConfigError(_SETTING, expected=_EXPECTED, got=repr(part_from))
        if "{" in part_from or "}" in part_from or "/" in part_from:
            self._paths = _beginning(part_from).match
        elif has_columns:
            self.column = part_from
        else:
            raise ConfigError(
                _SETTING,
                expected='how paths of audio begin: "{release}/", for this layout has no columns',
                got=repr(part_from),
            )

    @property
    def is_set(self) -> bool:
        """Whether the definition says anything."""
        return bool(self.said)

    @property
    def is_of_paths(self) -> bool:
        """Whether the path of a row's audio says its part."""
        return self._paths is not None

    def of_path(self, audio: str) -> str:
        """Return the part of a row by its audio; empty for one whose path begins otherwise."""
        found = self._paths(audio) if self._paths else None
        return found["release"] if found else ""

    def added_to(self, columns: Mapping[str, str], setting: str) -> dict[str, str]:
        """Return the columns of a layout by their names here, with the one that has the part.

        Args:
            columns: what the corpus calls a column -> what it is called here.
            setting: that says so, for errors: `corpus.columns`.

        Raises:
            ConfigError: it says that the column is something else, or that another has the part.
        """
        if not self.column:
            return dict(columns)
        others = {
            column: name
            for column, name in columns.items()
            if (column == self.column) != (name == "part")
        }
        if others:
            raise ConfigError(
                f"{_SETTING} and {setting}",
                expected=f"{self.column} for the part, and for nothing else",
                got=", ".join(f"{column}: {name}" for column, name in others.items()),
            )
        return {**columns, self.column: "part"}


def _beginning(text: str) -> re.Pattern[str]:
    template = Template(text, _SETTING)
    if "release" not in template.fields or template.fields - {"release", "_"}:
        raise ConfigError(_SETTING, expected=_EXPECTED, got=repr(text))
    if text.endswith("}"):
        raise ConfigError(
            _SETTING, expected='something behind the last name: "{release}/"', got=repr(text)
        )
    return template.pattern()
