"""fairseq's tables of audio: the root in the first line, then a path and its length in samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat, zip_longest
from typing import Any

from featbank.base.failures import brief
from featbank.corpora.base import Corpus, CorpusRow, Found, bad_row
from featbank.corpora.layouts.by_split import paths_by_split
from featbank.corpora.layouts.cells import check_utf8, open_table
from featbank.corpora.layouts.packed import shown
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, stem, walk_audio
from featbank.errors import CorpusError
from featbank.files.remote import AnyPath

_WORD_END = "|"  # in a text of letters
_DIGITS = 18


class FairseqCorpus(Corpus):
    """Reads fairseq's `.tsv` tables, each a split, and the texts beside them.

    Lengths are not held against the files: a table does not say at which sample rate they count.

    Args:
        tables: the table of each split, absolute or below the root; or one table, whose utterances
            `split_rule` sends to splits.
        texts: ending of the file of texts beside each table: `wrd`, `ltr` (letters, of which words
            are made), `km`; None for none.
        audio_root: stands for the first line of the tables, as where they were made elsewhere:
            `.` for the root, or a folder below it; None takes the line.
        arguments: as of `Corpus`.

    Raises:
        ConfigError: `tables` is of another form.
    """

    version = 1

    def __init__(
        self,
        *,
        tables: Mapping[str, str] | str,
        texts: str | None = None,
        audio_root: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.tables = paths_by_split(tables, "corpus.tables")
        self.texts = texts
        self.audio_root = audio_root

    def read(self, links: Links) -> Iterator[Found]:
        """Read the tables, then give the audio files that there are."""
        hint = "corpus.audio_root, a folder below root or . for root itself, stands for line 1"
        paths = AudioPaths(self.root, links, hint=hint)
        for split, path in self.tables.items():
            yield from self._table(self.root / path, split, paths)
        yield from walk_audio(self.root, links)

    def _table(self, path: AnyPath, split: str, paths: AudioPaths) -> Iterator[Found]:
        name = shown(path, self.root)
        with open_table(path, self.root) as lines:
            folder = self.audio_root
            _, first = next(lines, (1, ""))
            if folder is None:
                folder = first.rstrip("\r\n")
            if not folder or "\t" in first:
                raise CorpusError(
                    f"{name}:1", expected="the folder of the audio", got=brief(repr(first.strip()))
                )
            for (number, line), text in self._with_texts(lines, path, name):
                where = f"{name}:{number}"
                try:
                    row = self._row(line.rstrip("\r\n"), f"{folder}/", where, paths)
                    check_utf8(text, where)
                    paths.check_links(row.audio, where)
                except CorpusError as error:
                    yield bad_row(error, where)
                else:
                    yield row._replace(text=text, split=split)

    def _with_texts(
        self, lines: Iterator[tuple[int, str]], path: AnyPath, name: str
    ) -> Iterator[tuple[tuple[int, str], str]]:
        """Yield each line of a table with its text.

        Raises:
            CorpusError: there are more lines, or fewer, than texts.
        """
        if self.texts is None:
            yield from zip(lines, repeat(""))
            return
        with open_table(path.with_suffix(f".{self.texts}"), self.root) as texts:
            for line, text in zip_longest(lines, texts):
                if line is None or text is None:
                    raise CorpusError(
                        f"{name} and its texts in .{self.texts}",
                        expected="a text for each line behind the first",
                        got="more lines than texts" if line else "more texts than lines",
                    )
                said = text[1].strip(" \t\r\n")
                if self.texts == "ltr":
                    said = " ".join("".join(said.split()).replace(_WORD_END, " ").split())
                yield line, said

    def _row(self, line: str, folder: str, where: str, paths: AudioPaths) -> CorpusRow:
        check_utf8(line, where)
        cells = line.split("\t")
        if len(cells) != 2 or not (cells[1].isascii() and cells[1].isdigit()):
            raise CorpusError(
                where, expected="a path, a tab and a number of samples", got=brief(repr(line))
            )
        if len(cells[1]) > _DIGITS or not int(cells[1]):
            raise CorpusError(where, expected="samples, 1 or more", got=brief(cells[1]))
        if cells[0].startswith("/"):
            raise CorpusError(where, expected="a path below that of line 1", got=cells[0])
        audio = paths.relative(folder + cells[0], where)
        return CorpusRow(id=stem(audio), audio=audio, where=where, language=self.language)
