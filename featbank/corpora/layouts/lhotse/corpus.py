"""Corpus layout of what lhotse has prepared: cuts, Shar, or recordings and supervisions."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from featbank.base.failures import Failure, brief
from featbank.corpora.base import Corpus, Found, bad_row
from featbank.corpora.layouts.by_split import lists_by_split
from featbank.corpora.layouts.lhotse.lines import JoinedLines, read_lines
from featbank.corpora.layouts.lhotse.rows import FIELDS, CutRows, LhotseCut
from featbank.corpora.layouts.lhotse.said import Said
from featbank.corpora.layouts.lhotse.shar import read_shar
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, checked_replacements, walk_audio
from featbank.corpora.scratch import Scratch
from featbank.errors import ConfigError, CorpusError
from featbank.files.remote import find, is_there

_ROWS = ("supervisions", "cuts")
_GLOB = frozenset("*?[")


class LhotseCorpus(Corpus):
    """Reads lhotse's manifests in JSON lines; lhotse itself is not needed.

    A file may hold cuts, recordings or supervisions: what a line is, it says itself. Recordings and
    supervisions of one split are joined on disk; a folder is a Shar, whose audio is read where it
    lies. Of a cut or supervision its id, times, channel, speaker, language and text are kept;
    features, alignments and custom fields are passed by, unless `fields` names them.

    Nothing that a manifest names is run or downloaded. What is a command, a URL, a mix or
    transformed audio fails by name.

    Args:
        manifests: by split, the files and Shar folders, relative to the root; `*` stands for any
            letters. A list, or one, gives no splits, and `split_rule` does.
        rows: `supervisions` for a row of each, or `cuts` for a row of each cut, or recording.
        fields: where in a supervision, or in a cut where `rows` says so, a field of a row stands
            if that is not the usual place: `{text: custom.texts.0, part: custom.book}`.
        replacements: where the paths of audio begin -> the folder below the root that this stands
            for: `{download/librilight: ""}`.
        arguments: as of `Corpus`. `channel` is taken of what is of several channels.
    """

    version = 1
    has_columns = True

    def __init__(
        self,
        *,
        manifests: Any,
        rows: str = "supervisions",
        fields: Mapping[str, str] | None = None,
        replacements: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.manifests = lists_by_split(
            manifests,
            "corpus.manifests",
            "files by split: {train: [cuts_train.jsonl.gz]}",
        )
        _refuse_json(itertools.chain.from_iterable(self.manifests.values()))
        if rows not in _ROWS:
            raise ConfigError("corpus.rows", expected=" or ".join(_ROWS), got=repr(rows))
        self.rows = rows
        self.fields = dict(fields or {})
        of_part = self.parts.column
        if of_part and self.fields.setdefault("part", of_part) != of_part:
            raise ConfigError(
                "corpus.part_from and corpus.fields",
                expected=f"{of_part} for the part",
                got=self.fields["part"],
            )
        if unknown := sorted(set(self.fields) - set(FIELDS)):
            raise ConfigError(
                "corpus.fields", expected=f"names among {', '.join(FIELDS)}", got=unknown[0]
            )
        self.replacements = checked_replacements(replacements)

    def read(self, links: Links) -> Iterator[Found]:
        """Read the manifests, split by split, then give the audio files that there are."""
        make = CutRows(
            by_cut=self.rows == "cuts",
            fields=self.fields,
            language=self.language,
            channel=self.channel,
            paths=AudioPaths(self.root, links, replacements=self.replacements),
        )
        with Scratch(Path(tempfile.gettempdir())) as scratch:
            for number, (split, names) in enumerate(self.manifests.items()):
                for cut in self._cuts(names, links, JoinedLines(scratch, f"lhotse-{number}")):
                    if isinstance(cut, Failure):
                        yield cut
                    else:
                        yield from make.of(cut, split)
        yield from walk_audio(self.root, links)

    def _cuts(
        self, names: Sequence[str], links: Links, joined: JoinedLines
    ) -> Iterator[LhotseCut | Failure]:
        for name in self._found(names):
            is_shar = not _is_lines(name) and is_there(self.root / name)
            lines = read_shar(name, self.root, links) if is_shar else read_lines(name, self.root)
            for line in lines:
                if isinstance(line, Failure):
                    yield line
                    continue
                said, where = line
                try:
                    if _is_cut(said, where):
                        yield LhotseCut.of(said, where)
                    else:
                        joined.add(said, where)
                except CorpusError as error:
                    yield bad_row(error, where)
        yield from joined.cuts()

    def _found(self, names: Sequence[str]) -> Iterator[str]:
        """Yield the files and folders that names and patterns stand for."""
        for name in names:
            if not _GLOB & set(name):
                yield name
                continue
            found = find(self.root, name)
            if not found:
                raise CorpusError(f"manifests {name} in {self.root}", expected="files", got="none")
            yield from found


def _refuse_json(names: Iterable[str]) -> None:
    """Refuse manifests that are not in lines."""
    for name in names:
        if name.endswith((".json", ".json.gz", ".yaml", ".yaml.gz", ".yml")):
            raise ConfigError(
                "corpus.manifests",
                expected="JSON lines (.jsonl, .jsonl.gz), or folders of Shar",
                got=name,
                hint="`lhotse copy` makes a .jsonl.gz of it",
            )


def _is_lines(name: str) -> bool:
    """Tell whether a name is that of a file, which no server need be asked for."""
    return ".jsonl" in name.rpartition("/")[2]


def _is_cut(said: Said, where: str) -> bool:
    """Tell whether a line is a cut; else it is a recording or a supervision.

    Raises:
        CorpusError: it is none of these.
    """
    if "num_features" not in said:
        if "sources" in said:
            return False
        if "type" in said or "tracks" in said or "recording" in said:
            return True
        if "recording_id" in said:
            return False
    raise CorpusError(
        where,
        expected="a cut, a recording or a supervision of lhotse",
        got=brief(", ".join(said)) or "nothing",
    )
