"""Corpus layout of long recordings whose segments a JSON file lists, as GigaSpeech has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from featbank.base.failures import brief
from featbank.corpora.base import Corpus, CorpusRow, Found, bad_row
from featbank.corpora.layouts.cells import parse_row, text_lines
from featbank.corpora.layouts.columns import COLUMNS, MappedValues, as_text, utterance_row
from featbank.corpora.layouts.json_items import JsonText
from featbank.corpora.layouts.packed import PACKED, open_packed
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, checked_replacements, walk_audio
from featbank.errors import ConfigError, CorpusError

_KINDS = (".json", ".jsonl")
_MOST_NAMED = 100


class RecordingsCorpus(Corpus):
    """Reads a JSON file of recordings, each with a list of segments, which are the utterances.

    It is JSON lines (`.jsonl`), a list, or an object with a list (`.json`), packed or not. Memory
    holds one recording with its segments.

    Args:
        table: path of the file, relative to the root.
        recordings: name of the list of recordings in an object; empty where the file is the list,
            or its lines.
        segments: name of the list of segments in a recording.
        recording_keys: what a recording calls a value -> what it is called here, of those of a
            table: `{path: path, speaker: speaker}`.
        segment_keys: what a segment calls a value -> what it is called here: `{sid: id, begin_time:
            start, end_time: end}`. What a segment says holds, where a recording says it, too.
        subsets: name of a list in a segment that tells what subsets it is in. It is taken where it
            is in one that `splits` names, which is its split. Empty takes all.
        values: other values for some, by their names here: `{speaker: {N/A: ""}}`.
        replacements: where paths of audio may begin -> the folder below the root that this stands
            for.
        arguments: as of `Corpus`.
    """

    version = 1
    has_columns = True

    def __init__(
        self,
        *,
        table: str,
        recording_keys: Mapping[str, str],
        segment_keys: Mapping[str, str],
        recordings: str = "",
        segments: str = "segments",
        subsets: str = "",
        values: Mapping[str, Mapping[Any, Any]] | None = None,
        replacements: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.table, self.recordings, self.segments = table, recordings, segments
        self.recording_keys = _keys(recording_keys, "corpus.recording_keys")
        segment_keys = self.parts.added_to(segment_keys, "corpus.segment_keys")
        self.segment_keys = _keys(segment_keys, "corpus.segment_keys")
        names = {*self.recording_keys.values(), *self.segment_keys.values()}
        if len(names & {"path", "audio"}) != 1 or "start" not in names:
            raise ConfigError(
                "corpus.recording_keys and corpus.segment_keys",
                expected="a path of the audio, and a start of the segments",
                got=", ".join(sorted(names)),
            )
        self.subsets = subsets
        self.values = MappedValues(values or {})
        self.replacements = checked_replacements(replacements)
        path = self.root / table
        self._kind = path.with_suffix("").suffix if path.suffix in PACKED else path.suffix
        if self._kind not in _KINDS:
            raise ConfigError(
                "corpus.table",
                expected="a .json or .jsonl file, or one of these with .gz or .zst behind",
                got=repr(table),
            )
        if subsets and not arguments.get("splits"):
            raise ConfigError(
                "corpus.splits", expected="the subsets to take: {L: train}", got="none"
            )
        self._passed: set[str] = set()  # subsets that are not taken
        self._wanted = frozenset(map(str, arguments.get("splits") or {}))

    def read(self, links: Links) -> Iterator[Found]:
        """Read the recordings, then give the audio files that there are."""
        paths = AudioPaths(self.root, links, replacements=self.replacements)
        is_met = False
        self._passed.clear()
        for where, text in self._texts():
            try:
                recording = parse_row(text, where)
                known = self._known(recording, self.recording_keys, where)
                segments = recording.get(self.segments)
                if not isinstance(segments, list):
                    raise CorpusError(
                        where, expected=f"a list of {self.segments}", got=brief(repr(segments))
                    )
            except CorpusError as error:
                yield bad_row(error, where)
                continue
            for number, segment in enumerate(segments):
                there = f"{where}.{self.segments}[{number}]"
                try:
                    row = self._row(known, segment, there, paths)
                except CorpusError as error:
                    yield bad_row(error, there)
                    continue
                if row:
                    is_met = True
                    paths.check_links(row.audio, there)
                    yield row
        if self._passed and not is_met:
            raise CorpusError(
                f"{self.subsets} in {self.table}",
                expected=f"some of corpus.splits: {', '.join(sorted(self._wanted))}",
                got=brief(", ".join(sorted(self._passed))),
            )
        yield from walk_audio(self.root, links)

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Give the JSON of each recording behind its place."""
        path = self.root / self.table
        if self._kind == ".jsonl":
            yield from text_lines(path, self.root)
            return
        with open_packed(path, self.root) as file:
            whole = JsonText(file, self.table)
            texts = whole.items_of(self.recordings) if self.recordings else whole.items()
            for number, text in enumerate(texts):
                yield f"{self.table}:{self.recordings}[{number}]", text
            whole.check_end()

    def _known(
        self, said: Mapping[str, Any], keys: Mapping[str, str], where: str
    ) -> dict[str, str]:
        return {
            name: as_text(said[key], f"{key} in {where}")
            for key, name in keys.items()
            if said.get(key) is not None
        }

    def _row(
        self, known: Mapping[str, str], segment: Any, where: str, paths: AudioPaths
    ) -> CorpusRow | None:
        """Return the row of a segment; None where it is in no subset to take."""
        if not isinstance(segment, Mapping):
            raise CorpusError(where, expected="an object", got=brief(repr(segment)))
        texts = {**known, **self._known(segment, self.segment_keys, where)}
        if self.subsets:
            subsets = segment.get(self.subsets)
            if not isinstance(subsets, list) or not all(isinstance(one, str) for one in subsets):
                raise CorpusError(
                    f"{self.subsets} in {where}",
                    expected="a list of names",
                    got=brief(repr(subsets)),
                )
            wanted = sorted(self._wanted.intersection(subsets))
            if len({self.splits.name(one, where) for one in wanted}) > 1:
                raise CorpusError(
                    f"{self.subsets} in {where}",
                    expected="subsets of one split",
                    got=", ".join(wanted),
                    hint="name one of them in corpus.splits",
                )
            if not wanted:
                if len(self._passed) < _MOST_NAMED:
                    self._passed.update(subsets)
                return None
            texts["split"] = wanted[0]
        if "start" not in texts:
            got = f"none; it has {', '.join(map(str, segment))}"
            raise CorpusError(where, expected="a start", got=brief(got))
        row = tuple(map(texts.get, COLUMNS))
        return utterance_row(self.values.put(row), where, paths, self.language)


def _keys(keys: Mapping[str, str], setting: str) -> dict[str, str]:
    """Return names by keys, if they are among `COLUMNS`, each once.

    Raises:
        ConfigError: they are not.
    """
    names = list(keys.values())
    if unknown := sorted({str(name) for name in names} - set(COLUMNS)):
        raise ConfigError(
            setting, expected=f"names among {', '.join(COLUMNS)}", got=", ".join(unknown)
        )
    if len(set(names)) != len(names):
        raise ConfigError(setting, expected="each name once", got=", ".join(sorted(names)))
    return dict(keys)
