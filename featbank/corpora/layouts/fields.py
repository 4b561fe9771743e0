"""Fields that lie beside audio in a container, and the utterance that they describe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from featbank.base.failures import brief
from featbank.corpora.base import CorpusRow
from featbank.corpora.layouts.columns import COLUMNS, as_text, utterance_row
from featbank.corpora.parts import PartRule
from featbank.corpora.paths import AudioPaths
from featbank.errors import ConfigError, CorpusError

_OURS = frozenset(COLUMNS) - {"path", "audio"}


class Fields:
    """Reads those fields of a container that `columns` names; any other may hold anything.

    Args:
        columns: what the container calls a field -> what it is called here, as of a table.
        language: of utterances that do not say their own.
        parts: names the field that has the part, if one has.

    Raises:
        ConfigError: a name that says nothing of an utterance, or one for two fields.
    """

    def __init__(self, columns: Mapping[str, str], language: str, parts: PartRule) -> None:
        self.columns = parts.added_to(columns, "corpus.columns")
        self._of_part = parts.column
        self._language = language
        self._met: set[str] = set()
        names = list(self.columns.values())
        if unknown := sorted(set(names) - _OURS):
            raise ConfigError(
                "corpus.columns",
                expected=f"names among {', '.join(one for one in COLUMNS if one in _OURS)}",
                got=", ".join(unknown),
                hint="columns: {what the corpus calls one: its name here}",
            )
        if len(set(names)) != len(names):
            raise ConfigError("corpus.columns", expected="each name once", got=", ".join(names))

    def row(
        self,
        values: Mapping[str, Any],
        *,
        audio: str,
        name: str,
        split: str,
        where: str,
        paths: AudioPaths,
    ) -> CorpusRow:
        """Return the row of an utterance.

        Args:
            values: of fields, those that `columns` does not name among them.
            audio: of the utterance.
            name: its id, unless a field says another.
            split: that its container is of, unless a field says another; empty for none.
            where: it stands, for messages.
            paths: checks that of the audio.

        Raises:
            CorpusError: the values describe no utterance.
        """
        texts = {"audio": audio, "id": name, "split": split or None}
        for field, ours in self.columns.items():
            if field in values:
                self._met.add(field)
                if values[field] is not None:
                    texts[ours] = as_text(values[field], f"{field} in {where}")
        row = utterance_row([texts.get(ours) for ours in COLUMNS], where, paths, self._language)
        paths.check_links(row.audio, where)
        return row

    def check_met(self, there: Iterable[str], where: str) -> None:
        """Refuse a field that `columns` names and that no row had.

        Args:
            there: fields that there are, for the message.
            where: the rows stand.

        Raises:
            CorpusError: with the fields that it has.
        """
        if absent := sorted(self.columns.keys() - self._met):
            setting = "part_from" if absent == [self._of_part] else "columns"
            raise CorpusError(
                f"fields of {where}",
                expected=f"{', '.join(absent)}, as corpus.{setting} says",
                got=brief(", ".join(sorted(there))) or "none",
            )
