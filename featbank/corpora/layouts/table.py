"""Corpus layout of a folder of audio with a table that describes it, or with several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from featbank.base.failures import Failure, brief
from featbank.corpora.base import Corpus, Found, bad_row
from featbank.corpora.layouts.by_split import lists_by_split
from featbank.corpora.layouts.cells import Table
from featbank.corpora.layouts.columns import COLUMNS, MappedValues, Texts, as_text, utterance_row
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, checked_replacements, walk_audio
from featbank.corpora.templates import Template
from featbank.errors import ConfigError, CorpusError
from featbank.files.remote import AnyPath

REST = "rest"
"""Ignores every column that is not used."""

_Select = Callable[[list[str]], Texts]


class TableCorpus(Corpus):
    """Reads TSV, CSV or JSON tables with one utterance a row, as they are or in gzip or Zstandard.

    Columns: `path` or `audio` (relative to the root), and optionally `id`, `start` and `duration`
    or `end` in seconds, `channel` (an index from 0, or `mix`), `speaker`, `language`, `split`,
    `text`, `part`, `license` and `consent`. An utterance without an id is named by its path without
    suffix, and by what else it selects: its times in milliseconds, its channel. A segment needs a
    `start`, 0 for one at the beginning of its file: without one, an utterance is the whole file,
    and its `duration` is only held against the length that the file has.

    Args:
        table: path of the table, relative to the root; a list of paths; or a split -> its path, or
            its list of them. A column `split` is then not read.
        columns: what the table calls a column -> what it is called here.
        ignore_columns: columns of the table that are not used, whatever their cells hold; `rest`
            for all but those that `columns` or their own name make one of the above.
        audio_path: path of the audio, made of columns by the names that the table gives them:
            `clips/{path}`; `{split}` is the one that `table` says, and `{id:.4}` four letters.
            Empty takes the column `path` or `audio`.
        values: other values for those of a column, by its name here: `{split: {validated: train}}`.
        replacements: where paths of audio may begin -> the folder below the root that this stands
            for: `{/data/calls: "", $data_root: wav}`.
        header: names of the columns of a table without a first line that has them.
        separator: between cells, where no quoting is meant: `|`. Empty goes by the file's name.
        arguments: as of `Corpus`.
    """

    version = 1
    has_columns = True

    def __init__(
        self,
        *,
        table: str | Sequence[str] | Mapping[str, str | Sequence[str]],
        columns: Mapping[str, str] | None = None,
        ignore_columns: str | Sequence[str] = (),
        audio_path: str = "",
        values: Mapping[str, Mapping[Any, Any]] | None = None,
        replacements: Mapping[str, str] | None = None,
        header: Sequence[str] | None = None,
        separator: str = "",
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        tables = lists_by_split(
            table,
            "corpus.table",
            "a path, a list of paths, or paths by split: {train: train.tsv}",
        )
        self.tables = [(split, self.root / path) for split, some in tables.items() for path in some]
        """Each with the split of its rows; an empty one where they say it themselves."""
        self.columns = self.parts.added_to(columns or {}, "corpus.columns")
        self.ignores_rest = ignore_columns == REST
        if isinstance(ignore_columns, str) and not self.ignores_rest:
            raise ConfigError(
                "corpus.ignore_columns",
                expected=f"a list of columns, or {REST}",
                got=repr(ignore_columns),
            )
        self.ignore_columns = frozenset(() if self.ignores_rest else ignore_columns)
        self.audio_path = Template(audio_path, "corpus.audio_path") if audio_path else None
        self.values = MappedValues(values or {})
        self.replacements = checked_replacements(replacements)
        self.header, self.separator = tuple(header or ()), separator
        # what the definition says itself, and no column
        said = {"path", "audio"} if self.audio_path else set[str]()
        said |= {"split"} if any(split for split, _ in self.tables) else set()
        self._names_of_columns = [name for name in COLUMNS if name not in said]
        if unknown := sorted(set(self.columns.values()) - set(self._names_of_columns)):
            raise ConfigError(
                "corpus.columns",
                expected=f"names among {', '.join(self._names_of_columns)}",
                got=", ".join(unknown),
                hint="columns: {what the corpus calls one: its name here}",
            )
        self._own = set(self._names_of_columns)
        """Columns that are used under their own names."""
        if self.ignores_rest:
            renamed = set(self.columns.values())
            self._own -= renamed | ({"path", "audio"} if renamed & {"path", "audio"} else set())

    def read(self, links: Links) -> Iterator[Found]:
        """Read the tables, then give the audio files that there are."""
        paths = AudioPaths(self.root, links, replacements=self.replacements)
        for split, path in self.tables:
            yield from self._read_table(path, split or None, paths)
        yield from walk_audio(self.root, links)

    def _read_table(self, path: AnyPath, split: str | None, paths: AudioPaths) -> Iterator[Found]:
        ignores = self._ignores if self.ignores_rest or self.ignore_columns else None
        table = Table(
            path, self.root, header=self.header, separator=self.separator, ignores=ignores
        )
        select: _Select | None = None
        put = self.values.put if self.values else None
        has_bad_rows = False
        for cells in table.read():
            if isinstance(cells, Failure):
                has_bad_rows = True
                yield cells
                continue
            where, values = cells
            if select is None and not table.is_json:
                select = self._select(self._names(list(table.columns), table.name), split, table)
            try:
                if isinstance(values, list):
                    assert select
                    texts = select(values)
                else:
                    texts = self._texts(values, where, split)
                if put:
                    texts = put(texts)
                row = utterance_row(texts, where, paths, self.language)
            except CorpusError as error:
                yield bad_row(error, where)
            else:
                paths.check_links(row.audio, where)
                yield row
        if table.columns or not has_bad_rows:
            # of JSON, and of a table without a row
            self._names(list(table.columns), table.name)

    def _name(self, column: str) -> str | None:
        """Return our name of a column; None where it is not used."""
        if column in self.ignore_columns:
            return None
        if (name := self.columns.get(column)) is not None:
            return name
        if column in self._own:
            return column
        is_passed = self.ignores_rest or (self.audio_path and column in self.audio_path.fields)
        return None if is_passed else column

    def _ignores(self, column: str) -> bool:
        is_in_path = self.audio_path and column in self.audio_path.fields
        return not is_in_path and self._name(column) is None

    def _select(self, names: Mapping[str, str], split: str | None, table: Table) -> _Select:
        """Return what puts the cells of a row into the order of `COLUMNS`.

        Args:
            names: column of the table that is used -> our name of it.
            split: of all rows.
            table: that has them.
        """
        places = {names.get(column): place for column, place in table.columns.items()}
        behind: list[str | None] = [split, None]  # what each row has behind its cells
        if split:
            places["split"] = -2
        choose = itemgetter(*(places.get(name, -1) for name in COLUMNS))
        template = self.audio_path
        if not template:
            return lambda cells: choose([*cells, *behind])
        fields = {
            column: place for column, place in table.columns.items() if column in template.fields
        }
        at = {} if split is None else {"split": split}

        def with_path(cells: list[str]) -> Texts:
            filled = {**{column: cells[place] for column, place in fields.items()}, **at}
            return (template.fill(filled), *choose([*cells, *behind])[1:])

        return with_path

    def _texts(self, values: Mapping[str, Any], where: str, split: str | None) -> Texts:
        """Return the values of a JSON row that are used, in the order of `COLUMNS`."""
        texts = {
            name: as_text(value, f"{column} in {where}")
            for column, value in values.items()
            if (name := self._name(column)) is not None
        }
        if split:
            texts["split"] = split
        if self.audio_path:
            filled = {} if split is None else {"split": split}
            for field in self.audio_path.fields - filled.keys():
                if field not in values:
                    raise CorpusError(f"{field} in {where}", expected="text", got="none")
                filled[field] = as_text(values[field], f"{field} in {where}")
            texts["path"] = self.audio_path.fill(filled)
        return tuple(map(texts.get, COLUMNS))

    def _names(self, columns: Sequence[str], table: str) -> dict[str, str]:
        """Return our name of each column of a table that is used."""
        where = f"columns of {table} in {self.root}"
        in_path = self.audio_path.fields if self.audio_path else frozenset[str]()
        if any(split for split, _ in self.tables):
            in_path -= {"split"}
        of_part = {self.parts.column} - {""}
        for setting, wanted in (
            ("part_from", of_part),
            ("columns", self.columns.keys()),
            ("audio_path", in_path),
        ):
            if absent := sorted(wanted - set(columns)):
                raise CorpusError(
                    where,
                    expected=f"{', '.join(absent)}, as corpus.{setting} says",
                    got=brief(", ".join(columns)),
                )
        allowed = self._names_of_columns
        names = {column: name for column in columns if (name := self._name(column)) is not None}
        if unknown := [column for column, name in names.items() if name not in allowed]:
            raise CorpusError(
                where,
                expected=f"only {', '.join(allowed)}",
                got=brief(", ".join(unknown)),
                hint="rename them with corpus.columns, or pass them by: corpus.ignore_columns=rest",
            )
        meant = sorted(names.values())
        num_paths = ("path" in meant) + ("audio" in meant) + (self.audio_path is not None)
        if len(set(meant)) != len(meant) or num_paths != 1:
            raise CorpusError(
                where,
                expected="path or audio, and every other column at most once",
                got=brief(", ".join(meant)),
            )
        return names
