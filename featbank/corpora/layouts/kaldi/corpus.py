"""Kaldi's data directories, and ESPnet's: `wav.scp`, `segments`, `utt2spk`, `text`, `utt2lang`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from featbank.base.failures import Failure
from featbank.base.manifest import check_id
from featbank.base.places import Place
from featbank.corpora.base import Corpus, CorpusRow, Found, bad_row
from featbank.corpora.channels import parse_channel
from featbank.corpora.layouts.by_split import paths_by_split
from featbank.corpora.layouts.kaldi.arks import ArkReader
from featbank.corpora.layouts.kaldi.files import (
    AUDIO,
    CHANNELS,
    Entry,
    channels,
    recordings,
    utterances,
)
from featbank.corpora.layouts.kaldi.wav_scp import parse_source
from featbank.corpora.layouts.times import parse_seconds
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, walk_audio
from featbank.errors import CorpusError
from featbank.files.remote import AnyPath, exists

_log = logging.getLogger(__name__)

_SEGMENT = ("recording", "start", "end")
_TO_THE_END = "-1"


class KaldiCorpus(Corpus):
    """Reads data directories of Kaldi or ESPnet, each a split.

    A directory holds `wav.scp`, and where it has them `segments`, `reco2file_and_channel`,
    `utt2spk`, `text`, `utt2lang`, `utt2license` and `utt2consent`, sorted or not. No command of a
    `wav.scp` is run: those that recipes use are read as the file, the channel and the speed that
    they mean, and any other is a failure of its row. Files keep their own sample rate, whatever a
    command converts to.

    Args:
        dirs: the directory of each split, absolute or below the root; or one directory, whose
            utterances `split_rule` sends to splits.
        arguments: as of `Corpus`.

    Raises:
        ConfigError: `dirs` is of another form.
    """

    version = 1

    def __init__(self, *, dirs: Mapping[str, str] | str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.dirs = paths_by_split(dirs, "corpus.dirs")

    def read(self, links: Links) -> Iterator[Found]:
        """Read the directories, then give the audio files that there are."""
        for split, path in self.dirs.items():
            with closing(_Directory(self, self.root / path, split, links)) as directory:
                yield from directory.read()
        yield from walk_audio(self.root, links)


class _Directory:
    """Reads one data directory.

    Args:
        corpus: it is of.
        path: of it.
        split: it is; empty where it names none.
        links: of the corpus that may be followed.
    """

    def __init__(self, corpus: KaldiCorpus, path: AnyPath, split: str, links: Links) -> None:
        self._corpus, self._path, self._split = corpus, path, split
        self._paths = AudioPaths(corpus.root, links)
        self._arks = ArkReader()
        self._recordings: Mapping[str, Entry] = {}
        self._channels: Mapping[str, int | None] = {}
        self._converted = ""  # where a command converts the sample rate

    def close(self) -> None:
        """Close what is open."""
        self._arks.close()

    def read(self) -> Iterator[Found]:
        """Yield an utterance, or a failure, for each id of its files, in order."""
        root, has_segments = self._corpus.root, exists(self._path / "segments")
        has_channels = exists(self._path / CHANNELS)
        if has_segments or has_channels:
            self._recordings, failures = recordings(self._path, root)
            if has_segments:  # else they are utterances, and told as such
                yield from failures
        if has_channels:
            self._channels, failures = channels(self._path, root, self._recordings)
            yield from failures
        for said in utterances(self._path, root, has_segments=has_segments):
            if isinstance(said, Failure):
                yield said
                continue
            try:
                row = self._segment(said) if has_segments else self._whole(said)
            except CorpusError as error:
                yield bad_row(error, said[AUDIO].where)
            else:
                yield row
        if self._converted:
            _log.warning(
                "%s converts sample rates: files keep their own here, and extraction resamples",
                self._converted,
            )

    def _whole(self, said: Mapping[str, Entry]) -> CorpusRow:
        return self._row(said, said[AUDIO], said[AUDIO])

    def _segment(self, said: Mapping[str, Entry]) -> CorpusRow:
        entry = said[AUDIO]
        cells = entry.value.split()
        if len(cells) not in (len(_SEGMENT), len(_SEGMENT) + 1):
            raise CorpusError(
                entry.where,
                expected="utterance, recording, start and end, maybe a channel",
                got=f"{len(cells) + 1} cells",
            )
        if cells[0] not in self._recordings:
            raise CorpusError(
                f"recording in {entry.where}", expected="one of wav.scp", got=repr(cells[0])
            )
        start_s = parse_seconds(cells[1], f"start in {entry.where}")
        duration_s = None
        if cells[2] != _TO_THE_END:
            duration_s = parse_seconds(cells[2], f"end in {entry.where}") - start_s
            if duration_s <= 0:
                raise CorpusError(
                    f"end in {entry.where}", expected=f"above {cells[1]}", got=cells[2]
                )
        channel = None
        if len(cells) > len(_SEGMENT):
            channel = parse_channel(cells[3], f"channel in {entry.where}", CorpusError)
        recording = self._recordings[cells[0]]
        if recording.again:
            raise CorpusError(
                f"recording in {entry.where}",
                expected=f"{cells[0]!r} once in wav.scp",
                got=f"{recording.where} and {recording.again}",
            )
        row = self._row(said, recording, entry, channel)
        return row._replace(start_s=start_s, duration_s=duration_s)

    def _row(
        self,
        said: Mapping[str, Entry],
        recording: Entry,
        entry: Entry,
        channel: int | None = None,
    ) -> CorpusRow:
        """Return the row of an utterance, as long as its recording.

        Args:
            said: what the files say of it.
            recording: its line in `wav.scp`.
            entry: its line in `segments`, else the same.
            channel: that this line gives it.
        """
        where = entry.where if recording is entry else f"{entry.where}, {recording.where}"
        source = parse_source(recording.value, where)
        if source.sample_rate and not self._converted:
            self._converted = recording.where
        audio = self._paths.relative(source.file, where)
        self._paths.check_links(audio, where)
        if source.offset is not None:
            audio = self._place(audio, source.offset, recording.key, where)
        if channel is None:
            channel = self._channel(recording, where) if source.channel is None else None
        elif source.channel not in (None, channel):
            raise CorpusError(
                f"channel in {where}", expected="none, for wav.scp selects one", got=channel
            )
        return CorpusRow(
            id=entry.key,
            audio=audio,
            where=entry.where,
            channel=channel if source.channel is None else source.channel,
            speaker=said["utt2spk"].value if "utt2spk" in said else "",
            language=said["utt2lang"].value if "utt2lang" in said else self._corpus.language,
            text=said["text"].value if "text" in said else "",
            split=self._split,
            speed=source.speed,
            license=said["utt2license"].value if "utt2license" in said else "",
            consent=said["utt2consent"].value if "utt2consent" in said else "",
        )

    def _channel(self, recording: Entry, where: str) -> int | None:
        """Return the channel that a recording has in its file; None where nothing says one."""
        channel = self._channels.get(recording.key)
        if channel is None and recording.key in self._channels:
            raise CorpusError(
                f"channel in {where}",
                expected=f"{recording.key!r} once in {CHANNELS}, as A or B",
                got="several lines, or another channel",
            )
        return channel

    def _place(self, archive: str, offset: int, key: str, where: str) -> str:
        found = self._arks.find(self._corpus.root / archive, offset, where)
        place = Place(container=archive, member=key, start=found.start, num_bytes=found.num_bytes)
        check_id(str(place), CorpusError)
        return str(place)
