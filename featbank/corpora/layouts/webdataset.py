"""Corpus layout of WebDataset: tars in which files of one name but for their ends are a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import PurePosixPath
from typing import Any

from featbank.audio.containers import open_archive
from featbank.audio.tars import TarMember, members_of
from featbank.base.failures import Failure
from featbank.corpora.base import Corpus, Found, Present, bad_row
from featbank.corpora.layouts.cells import check_utf8
from featbank.corpora.layouts.fields import Fields
from featbank.corpora.layouts.shards import Patterns, find_shards
from featbank.corpora.links import Links
from featbank.corpora.paths import AUDIO_SUFFIXES, READABLE_SUFFIXES, AudioPaths, hidden, stem
from featbank.errors import AudioError, CorpusError
from featbank.files.json_files import parse_json
from featbank.files.remote import AnyPath, read_part

_MOST_TEXT = 16 << 20  # bytes of a member that describes
_MOST_FIELDS = 1000  # that are named where one is missed


@dataclass(slots=True, kw_only=True)
class _Sample:
    """The members of a tar that share a key: they follow each other."""

    key: str
    audio: list[TarMember] = field(default_factory=list)
    others: dict[str, TarMember] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)  # ends that two of the others share
    unread: list[Present] = field(default_factory=list)  # audio that is no utterance
    is_whole: bool = True  # nothing of it may lie behind a cut

    def add(self, member: TarMember, end: str, tar: str) -> None:
        """Add a member, by what it is."""
        suffix = PurePosixPath(member.name).suffix.lower()
        is_hidden = any(map(hidden, member.name.split("/")))
        if suffix in READABLE_SUFFIXES and not is_hidden:
            self.audio.append(member)
        elif suffix in AUDIO_SUFFIXES:
            self.unread.append(Present(audio=str(member.place(tar)), is_hidden=is_hidden))
        elif not is_hidden:
            if end in self.others:
                self.repeated.add(end)
            self.others[end] = member


class WebDatasetCorpus(Corpus):
    """Reads tars of samples: `KEY.flac` and, before or behind it, `KEY.json`, `KEY.txt`, `KEY.cls`.

    The audio is read where it lies. An utterance is named by its key, which is the path in the tar
    up to the first dot of its name; of a sample of several audio files each is an utterance.

    Args:
        shards: patterns of tars, relative to the root: `train-{0000..0127}.tar`, `*.tar`; one,
            several, or those of each split: `{train: train-*.tar, dev: dev-*.tar}`, which
            `{split}-*.tar` says, too. Where they say none, `split_rule` goes by utterance.
        columns: a field of `KEY.json`, or the end of a text beside the audio -> what it is called
            here: `{txt: text, cls: language, speaker_id: speaker}`. Others are not read.
        shard_ids: put the tar's path before the key, where keys repeat in several tars.
        arguments: as of `Corpus`.

    Raises:
        ConfigError: patterns or names that cannot be used.
    """

    version = 1
    has_columns = True

    def __init__(
        self,
        *,
        shards: Patterns | Mapping[str, Patterns] = "*.tar",
        columns: Mapping[str, str] | None = None,
        shard_ids: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.shards = shards
        self.fields = Fields(columns or {}, self.language, self.parts)
        self.shard_ids = shard_ids

    def read(self, links: Links) -> Iterator[Found]:
        """Read one tar after the other: their headers, and the members that describe."""
        paths = AudioPaths(self.root, links)
        there: set[str] = set()
        for split, tar in find_shards(self.root, self.shards, "corpus.shards"):
            links.check(tar, "corpus.shards")
            yield from self._shard(tar, split, paths, there)
        if there:
            self.fields.check_met(there, f"the samples in {self.root}")

    def _shard(self, tar: str, split: str, paths: AudioPaths, there: set[str]) -> Iterator[Found]:
        try:
            with open_archive(self.root / tar) as file:
                for sample in _samples(file, self.root / tar, tar):
                    yield from sample.unread
                    if sample.audio or sample.others:
                        yield from self._rows(sample, tar, split, file, paths, there)
        except AudioError as error:
            yield Failure.of(error, id=tar, audio=tar, root=self.root)

    def _rows(
        self,
        sample: _Sample,
        tar: str,
        split: str,
        file: BufferedReader,
        paths: AudioPaths,
        there: set[str],
    ) -> Iterator[Found]:
        """Give the utterances of a sample."""
        where = f"{tar}: {sample.key}"
        try:
            if not sample.is_whole:
                raise CorpusError(
                    f"sample {where}", expected="all of its files", got="the first before a cut"
                )
            if not sample.audio:
                ends = ", ".join(f".{end}" for end in sorted(sample.others))
                raise CorpusError(f"sample {where}", expected="a file of audio", got=ends)
            values = self._values(sample, where, file, there)
        except CorpusError as error:
            yield bad_row(error, where)
            return
        for member in sample.audio:
            audio = str(member.place(tar))
            if member.fault:
                fault = AudioError(
                    f"audio {audio}", kind="not_a_file", expected="a file", got=member.fault
                )
                yield Failure.of(fault, id=where, audio=audio, root=self.root)
                continue
            name = stem(member.name)
            try:
                yield self.fields.row(
                    values,
                    audio=audio,
                    name=f"{stem(tar)}/{name}" if self.shard_ids else name,
                    split=split,
                    where=where,
                    paths=paths,
                )
            except CorpusError as error:
                yield bad_row(error, where, audio)

    def _values(
        self, sample: _Sample, where: str, file: BufferedReader, there: set[str]
    ) -> dict[str, Any]:
        """Return what stands beside the audio: fields of JSON, and texts by the end of their name.

        Raises:
            CorpusError: it cannot be read.
        """
        values: dict[str, Any] = {}
        if not self.fields.columns:
            return values
        if twice := sorted(sample.repeated & {"json", *self.fields.columns}):
            raise CorpusError(
                f"sample {where}", expected="each file once", got=f"two of .{twice[0]}"
            )
        if found := sample.others.get("json"):
            values |= parse_json(_text(found, where, file), f"{where}.json", CorpusError, nan=True)
        for end in self.fields.columns.keys() & sample.others.keys():
            values[end] = _text(sample.others[end], where, file).strip()
        if len(there) < _MOST_FIELDS:
            there |= values.keys() | sample.others.keys() | {_key(sample.audio[0].name)[1]}
        return values


def _samples(file: BufferedReader, path: AnyPath, tar: str) -> Iterator[_Sample]:
    """Give the samples of a tar; the last one before a cut may lack some of its files.

    Raises:
        AudioError: as `tar_members` does, in the end.
    """
    sample: _Sample | None = None
    try:
        for member in members_of(file, path):
            key, end = _key(member.name)
            if sample is None or sample.key != key:
                if sample:
                    yield sample
                sample = _Sample(key=key)
            sample.add(member, end, tar)
    except AudioError as error:
        if sample:
            sample.is_whole = error.kind == "surplus"
            yield sample
        raise
    if sample:
        yield sample


def _key(name: str) -> tuple[str, str]:
    """Split the name of a member at the first dot of its last part.

    >>> _key("a.b/0001.left.flac"), _key("0001")
    (('a.b/0001', 'left.flac'), ('0001', ''))
    """
    folder, slash, last = name.rpartition("/")
    key, _, end = last.partition(".")
    return folder + slash + key, end.lower()


def _text(member: TarMember, where: str, file: BufferedReader) -> str:
    if member.fault or member.num_bytes > _MOST_TEXT:
        got = member.fault or f"{member.num_bytes} bytes"
        raise CorpusError(f"{member.name} in {where}", expected="a text", got=got)
    data = read_part(file, member.num_bytes, member.start)
    text = data.decode(errors="surrogateescape")
    check_utf8(text, f"{member.name} in {where}")
    return text
