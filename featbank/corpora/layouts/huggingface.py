"""Corpus layout of Hugging Face's datasets on disk: Parquet or Arrow files with audio in them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from featbank.base.failures import Failure
from featbank.corpora.base import Corpus, Found, bad_row
from featbank.corpora.layouts.dataset_rows import DatasetRow, dataset_rows
from featbank.corpora.layouts.fields import Fields
from featbank.corpora.layouts.shards import Patterns, find_shards
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, checked_replacements, hidden, stem, walk_audio
from featbank.errors import AudioError, CorpusError
from featbank.files.remote import find

_SUFFIXES = (".parquet", ".arrow")
_NUMBERED = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})(?:-[0-9a-f]+)?")
_SPLITS = frozenset(["train", "validation", "valid", "val", "dev", "test"])
_NO_SPLITS = frozenset(["", "data", "default"])


class HuggingFaceCorpus(Corpus):
    """Reads a folder of Parquet shards, or what `save_to_disk` wrote, with a column of audio.

    The audio is read where it lies; where a row has a path and no bytes, it is a file below the
    root. Utterances are named by file and row, so that they lie in a store as in the files: a row
    group of Parquet is then read once. A file named `train-00000-of-00008.parquet` is of the split
    `train`; one with another name is of that of its folder.

    Args:
        audio: column of the audio: bytes and path as datasets writes them, or either.
        columns: other columns -> what they are called here: `{sentence: text, client_id: speaker}`.
            One that is called `id` names the utterances. Others are not read.
        files: patterns of the files, relative to the root, or those of each split:
            `{train: data/train-*.parquet}`; None takes all that there are.
        replacements: where paths of audio may begin -> the folder below the root that this stands
            for: `{/data/calls: ""}`.
        arguments: as of `Corpus`.

    Raises:
        ConfigError: patterns or names that cannot be used.
    """

    version = 1
    has_columns = True

    def __init__(
        self,
        *,
        audio: str = "audio",
        columns: Mapping[str, str] | None = None,
        files: Patterns | Mapping[str, Patterns] | None = None,
        replacements: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.audio = audio
        self.fields = Fields(columns or {}, self.language, self.parts)
        self.files = files
        self.replacements = checked_replacements(replacements)

    def read(self, links: Links) -> Iterator[Found]:
        """Read one file after the other, then give the audio files beside them."""
        paths = AudioPaths(self.root, links, replacements=self.replacements)
        found = list(self._found())
        yield from _missing(name for _, name in found)
        for split, name in found:
            links.check(name, "corpus.files")
            yield from self._file(name, split, paths)
        yield from walk_audio(self.root, links)

    def _found(self) -> Iterator[tuple[str, str]]:
        """Give the split and the path of each file."""
        if self.files is not None:
            for split, name in find_shards(self.root, self.files, "corpus.files"):
                yield split or _split_of(name), name
            return
        by_kind = [names for suffix in _SUFFIXES if (names := list(self._named(suffix)))]
        if len(by_kind) != 1:  # of both, one is most often made of the other
            raise CorpusError(
                f"corpus {self.name} in {self.root}",
                expected="files *.parquet or *.arrow",
                got="both: set corpus.files" if by_kind else "none",
            )
        yield from ((_split_of(name), name) for name in by_kind[0])

    def _named(self, suffix: str) -> Iterator[str]:
        for name in find(self.root, f"**/*{suffix}"):
            *_, last = parts = name.split("/")
            # datasets keeps what it computed of a dataset beside it
            if not last.startswith(("cache-", "tmp")) and not any(map(hidden, parts)):
                yield name

    def _file(self, name: str, split: str, paths: AudioPaths) -> Iterator[Found]:
        try:
            for row in dataset_rows(self.root, name, self.audio, list(self.fields.columns)):
                where = f"{name}:{row.number}"
                try:
                    yield self.fields.row(
                        row.values,
                        audio=_audio(row, where),
                        name=f"{stem(name)}/{row.number:08d}",
                        split=split,
                        where=where,
                        paths=paths,
                    )
                except CorpusError as error:
                    yield bad_row(error, where)
        except AudioError as error:
            yield Failure.of(error, id=name, audio=name, root=self.root)


def _audio(row: DatasetRow, where: str) -> str:
    if row.place is None and not row.path:
        raise CorpusError(f"audio in {where}", expected="bytes or a path", got="neither")
    return row.path if row.place is None else str(row.place)


def _split_of(name: str) -> str:
    """Return the split that a file's name or folder says; empty for none.

    >>> [_split_of(f"{name}.parquet") for name in ("data/dev-00000-of-00002", "en/test/0000", "x")]
    ['dev', 'test', '']
    """
    path = PurePosixPath(name)
    if (numbered := _NUMBERED.fullmatch(path.stem)) and numbered["split"] not in _NO_SPLITS:
        return numbered["split"]
    if path.stem in _SPLITS:
        return path.stem
    return "" if path.parent.name in _NO_SPLITS else path.parent.name


def _missing(names: Iterator[str]) -> Iterator[Failure]:
    """Give the failures of files that are not there though others count them."""
    seen: dict[tuple[str, str, int], set[int]] = defaultdict(set)
    for name in names:
        path = PurePosixPath(name)
        if numbered := _NUMBERED.fullmatch(path.stem):
            prefix = str(path.parent / numbered["split"])
            seen[prefix, path.suffix, int(numbered["total"])].add(int(numbered["number"]))
    for (prefix, suffix, total), numbers in sorted(seen.items()):
        for number in sorted(set(range(total)) - numbers):
            name = f"{prefix}-{number:05d}-of-{total:05d}{suffix}"
            yield Failure(
                id=name,
                audio=name,
                kind="missing",
                error=f"archive {name}",
                expected=f"{total} files",
                got="nothing there",
            )
