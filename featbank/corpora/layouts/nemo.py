"""NeMo's manifests: JSON lines, of files of their own or of members of tars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from featbank.base.failures import brief
from featbank.corpora.base import Corpus, CorpusRow, Found, bad_row
from featbank.corpora.layouts.by_split import paths_by_split
from featbank.corpora.layouts.cells import parse_row, text_lines
from featbank.corpora.layouts.tarred import ShardedTars
from featbank.corpora.layouts.times import name_segment, parse_seconds
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, stem, walk_audio
from featbank.errors import ConfigError, CorpusError
from featbank.files.remote import AnyPath, FileLookup

_AUDIO = ("audio_filepath", "audio_file")
_LANGUAGE = ("lang", "source_lang")


class NemoCorpus(Corpus):
    """Reads NeMo's manifests, each a split: `audio_filepath`, `duration`, `offset`, `text`.

    `speaker`, `lang` (or `source_lang`), `license`, `consent` and `id` are read where a row has
    them, and other fields are not. A relative path is of the manifest's folder where the file is
    there, else of the root. A row with an `offset` is a segment; one without is a whole file,
    against whose length its `duration` is held.

    Args:
        manifests: the manifest of each split, absolute or below the root; or one manifest, whose
            utterances `split_rule` sends to splits.
        tars: of each split whose audio lies in tars, their paths, as NeMo's
            `tarred_audio_filepaths`: `audio_{0..127}.tar`, of which the field `shard_id` of a row
            says one; or one tar. Of one manifest, one such path.
        arguments: as of `Corpus`.

    Raises:
        ConfigError: `manifests` or `tars` is of another form.
    """

    version = 1
    has_columns = True

    def __init__(
        self,
        *,
        manifests: Mapping[str, str] | str,
        tars: Mapping[str, str] | str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.manifests = paths_by_split(manifests, "corpus.manifests")
        self._lookup = FileLookup()
        self.tars = {} if not tars else paths_by_split(tars, "corpus.tars")
        if unknown := sorted(self.tars.keys() - self.manifests.keys()):
            raise ConfigError(
                "corpus.tars",
                expected="splits of corpus.manifests",
                got=unknown[0] or "one for all of them",
            )

    def read(self, links: Links) -> Iterator[Found]:
        """Read the manifests, then give the audio files that there are."""
        paths = AudioPaths(self.root, links)
        for split, path in self.manifests.items():
            tars = None
            if split in self.tars:
                tars = ShardedTars(self.root, self.tars[split], paths)
            yield from self._manifest(self.root / path, split, tars, paths)
        yield from walk_audio(self.root, links)

    def _manifest(
        self, path: AnyPath, split: str, tars: ShardedTars | None, paths: AudioPaths
    ) -> Iterator[Found]:
        for where, line in text_lines(path, self.root):
            try:
                said = parse_row(line, where)
                if not (path_said := _text(said, _AUDIO, where)):
                    raise CorpusError(where, expected="audio_filepath", got="none")
                if tars is None:
                    audio = name = self._audio(path_said, path.parent, where, paths)
                else:
                    audio = tars.find(path_said, said.get("shard_id"), where)
                    name = path_said.removeprefix("./")
                row = self._row(said, audio, stem(name), split, where)
            except CorpusError as error:
                yield bad_row(error, where)
            else:
                yield row
            if tars is not None:
                yield from tars.failures()

    def _audio(self, path: str, folder: AnyPath, where: str, paths: AudioPaths) -> str:
        beside = folder / path
        is_beside = folder != self.root and "\0" not in path and self._lookup.is_file(beside)
        audio = paths.relative(str(beside) if is_beside else path, where)
        paths.check_links(audio, where)
        return audio

    def _row(
        self, said: Mapping[str, Any], audio: str, name: str, split: str, where: str
    ) -> CorpusRow:
        start_s = _seconds(said, "offset", where)
        duration_s = _seconds(said, "duration", where)
        if duration_s == 0:
            raise CorpusError(f"duration in {where}", expected="above 0", got="0")
        if start_s is not None:
            name = name_segment(name, start_s, duration_s)
        is_segment = start_s is not None
        return CorpusRow(
            id=_text(said, ("id",), where) or name,
            audio=audio,
            where=where,
            start_s=start_s or 0.0,
            duration_s=duration_s if is_segment else None,
            claimed_duration_s=None if is_segment else duration_s,
            speaker=_text(said, ("speaker",), where),
            language=_text(said, _LANGUAGE, where) or self.language,
            text=_text(said, ("text",), where),
            part=_text(said, (self.parts.column,), where) if self.parts.column else "",
            split=split,
            license=_text(said, ("license",), where),
            consent=_text(said, ("consent",), where),
        )


def _text(said: Mapping[str, Any], keys: tuple[str, ...], where: str) -> str:
    """Return the first of some fields that a row has, as a text; empty where it has none."""
    for key in keys:
        value = said.get(key)
        if value is None:
            continue
        if isinstance(value, bool | list | dict | float):
            raise CorpusError(f"{key} in {where}", expected="text", got=brief(repr(value)))
        return str(value)
    return ""


def _seconds(said: Mapping[str, Any], key: str, where: str) -> float | None:
    value = said.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise CorpusError(f"{key} in {where}", expected="seconds", got=brief(repr(value)))
    return parse_seconds(str(value), f"{key} in {where}")
