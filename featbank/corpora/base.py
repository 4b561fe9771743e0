"""Contract of a corpus layout: it lists utterances as the corpus describes them."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from featbank.audio import TOLERANCES
from featbank.base.components import Component
from featbank.base.failures import Failure, brief
from featbank.base.nearest import near_folder
from featbank.base.speeds import check_speeds
from featbank.corpora import CORPORA
from featbank.corpora.channels import parse_channel
from featbank.corpora.links import Links
from featbank.corpora.parts import PartRule
from featbank.corpora.requiring import Requirement
from featbank.corpora.splits import HELD_OUT, TRAIN, SplitNames, SplitRule, check_roles
from featbank.errors import ConfigError, CorpusError, FeatbankError
from featbank.files.remote import RemotePath, any_path, check_reachable

EACH = "each"
"""`channel` of a definition that makes an utterance of each channel of a file."""


class CorpusRow(NamedTuple):
    """One utterance as the corpus describes it; a tuple, for there may be ten million of them.

    Args:
        id: unique in the corpus.
        audio: path relative to the corpus root, with forward slashes; or the name of a `Place`.
        where: the place that describes it, for messages: `transcripts.tsv:12`.
        start_s: start in the file, in seconds as it is played.
        duration_s: length, in seconds; None goes on to the end of the file.
        claimed_duration_s: what the corpus says of the length of the whole file, in seconds. It
            selects nothing: it is held against the length that the file has.
        channel: index from 0, or `MIX_CHANNELS`; None when the corpus does not say.
        speaker, language, text, part: as in `Utterance`.
        split: as the corpus names it; empty when it gives none.
        speed: that the corpus plays it at, as `sox speed` in a `wav.scp`; times are those of what
            is played. The speeds of a definition come on top.
        license, consent: as in `Utterance`.
    """

    id: str
    audio: str
    where: str
    start_s: float = 0.0
    duration_s: float | None = None
    claimed_duration_s: float | None = None
    channel: int | None = None
    speaker: str = ""
    language: str = ""
    text: str = ""
    part: str = ""
    split: str = ""
    speed: float = 1.0
    license: str = ""
    consent: str = ""


row_of = functools.partial(tuple.__new__, CorpusRow)
"""Makes a row of all of its fields, in order, at half the usual price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """An audio file that lies in the folders of a corpus, whether or not an utterance names it.

    Args:
        audio: path relative to the corpus root; it may be no UTF-8.
        is_hidden: it, or a folder above it, is hidden or `__MACOSX`: it is counted, no more.
    """

    audio: str
    is_hidden: bool = False


Found = CorpusRow | Failure | Present
"""What reading a corpus gives, one at a time: an utterance, why there is none, or a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The utterances, unlisted files and failures of a corpus, in memory.

    Args:
        rows: its utterances.
        unlisted: audio files that none of its tables mentions, or that its reader leaves out,
            sorted.
        failures: rows that cannot be used, and utterances that no row can name.
        num_hidden: audio files that are hidden, or in a hidden folder.
    """

    rows: Sequence[CorpusRow]
    unlisted: Sequence[str] = ()
    failures: Sequence[Failure] = ()
    num_hidden: int = 0


class Corpus(Component, ABC):
    """Base class of corpus layouts: a folder of audio and the rules to read it."""

    registry = CORPORA

    has_columns: ClassVar[bool] = False
    """Whether the layout reads columns or fields, one of which may have the part."""

    def __init__(
        self,
        *,
        name: str,
        root: str | Path,
        license: str,  # noqa: A002 - the word of the configuration
        url: str = "",
        language: str = "",
        channel: int | str | None = None,
        speeds: Sequence[float] = (1.0,),
        part_from: str | None = None,
        splits: Mapping[str, str] | None = None,
        split_rule: Mapping[str, Any] | None = None,
        train: Sequence[str] = TRAIN,
        held_out: Sequence[str] = HELD_OUT,
        labels: str | Mapping[str, Any] | None = None,
        require: Mapping[str, str | Sequence[str]] | None = None,
        follow_links: bool = False,
        segment_tolerance_s: float = 0.1,
        tolerate: Sequence[str] = (),
    ) -> None:
        """Describe a corpus.

        Args:
            name: names its outputs.
            root: its folder, or a URL: `s3://bucket/corpus`; manifests hold paths relative to it.
            license: as its publisher states it; of utterances that do not say their own.
            url: where it comes from.
            language: of utterances that do not say their own.
            channel: of utterances that do not say their own: an index from 0, `mix`, or `each` for
                an utterance of each channel; None refuses files of more than one channel.
            speeds: that the utterances of `train` are played at: each is one for each speed.
            part_from: where the part of an utterance is taken from, as of a `PartRule`: a column,
                or how paths of audio begin; None leaves it to the layout.
            splits: other names for splits, by what the corpus calls them: `{validation: dev}`. What
                is not among them is a split of its own name.
            split_rule: fields of a `SplitRule`, for a corpus that gives no splits itself.
            train: splits that codebooks may be fitted on; see `sample`.
            held_out: splits that nothing is fitted on; see `validate`.
            labels: time-aligned labels below the root, such as phones, which `validate` holds
                tokens against: their path, or the fields of a `LabelSource`; None for none.
                No byte of a manifest follows from them.
            require: what rows are taken, by their terms: `{license: [CC0*, CC-BY-4.0]}`; see
                `Requirement`. None takes all.
            follow_links: take files that symbolic links lead to, wherever these lie.
            segment_tolerance_s: seconds by which a segment may end behind its file, as rounded
                times do; it is then cut at the file's end, and counted.
            tolerate: faults of audio to take it in spite of, of `TOLERANCES`.

        Raises:
            ConfigError: a channel, speed, part, split, split rule, requirement, tolerance or fault
                that cannot be used; or a root elsewhere with labels, or without its package.
        """
        self.name = name
        self.root = any_path(root)
        self.license = license
        self.url = url
        self.language = language
        self.each_channel = channel == EACH
        said = "" if channel is None or self.each_channel else str(channel)
        self.channel = parse_channel(said, "corpus.channel", others=f", or {EACH}")
        self.speeds = check_speeds(speeds, "corpus.speeds", ConfigError)
        self.parts = PartRule(part_from, has_columns=self.has_columns)
        self.splits = SplitNames(splits or {})
        self.split_rule = SplitRule.of(split_rule or {})
        check_roles(train, held_out)
        self.train = tuple(train)
        self.labels = labels
        self.requirement = Requirement.of(require or {}, license)
        self.follow_links = follow_links
        if not (math.isfinite(segment_tolerance_s) and segment_tolerance_s >= 0):
            raise ConfigError(
                "corpus.segment_tolerance_s", expected="seconds, 0 or more", got=segment_tolerance_s
            )
        self.segment_tolerance_s = segment_tolerance_s
        if unknown := [one for one in tolerate if one not in TOLERANCES]:
            raise ConfigError(
                "corpus.tolerate", expected=", ".join(sorted(TOLERANCES)), got=repr(unknown[0])
            )
        self.tolerate = frozenset(one for one in TOLERANCES if one in tolerate)
        if isinstance(self.root, RemotePath):
            self._check_elsewhere(self.root)

    def _check_elsewhere(self, root: RemotePath) -> None:
        if self.labels:
            raise ConfigError(
                "corpus.labels",
                expected=f"null, for labels are read on this machine and corpus.root is {root}",
                got=self.labels,
            )
        check_reachable(root)

    def list_utterances(self) -> Listing:
        """Read the whole corpus into memory; `prepare` reads it in a stream.

        Raises:
            CorpusError: the corpus cannot be read, or holds nothing.
        """
        rows: list[CorpusRow] = []
        failures: list[Failure] = []
        present: set[str] = set()
        num_hidden = 0
        for found in self.stream(Links(self.root, follow=self.follow_links)):
            match found:
                case CorpusRow():
                    rows.append(found)
                case Failure():
                    failures.append(found)
                case Present(is_hidden=True):
                    num_hidden += 1
                case Present():
                    present.add(found.audio)
        mentioned = {row.audio for row in rows} | {failure.audio for failure in failures}
        unlisted = sorted(present - mentioned)
        if not (rows or failures):
            raise self.holds_nothing(unlisted)
        return Listing(rows=rows, unlisted=unlisted, failures=failures, num_hidden=num_hidden)

    def stream(self, links: Links) -> Iterator[Found]:
        """Yield rows and audio files of the corpus; memory holds no more than a folder's names.

        Args:
            links: which symbolic links may lead out of the root.

        Raises:
            CorpusError: the corpus cannot be read, or a link leads out of it.
        """
        if isinstance(self.root, Path) and not self.root.is_dir():
            raise CorpusError(
                f"corpus {self.name}: root {self.root}",
                expected="a folder",
                got="a file" if self.root.exists() else "nothing there",
                hint=near_folder(self.root, before="corpus.root=")
                or "put the corpus there, or type where it is: corpus.root=FOLDER",
            )
        for found in self.read(links):
            if type(found) is not CorpusRow:
                yield found
                continue
            row = found
            if self.parts.is_of_paths:
                row = row._replace(part=self.parts.of_path(row.audio))
            yield self._with_split(row) if row.split else row

    def _with_split(self, row: CorpusRow) -> CorpusRow | Failure:
        """Return a row whose split has its name; one that names none that can be is a failure."""
        try:
            split = self.splits.name(row.split, row.where)
        except CorpusError as error:
            return bad_row(error, row.where, row.audio)
        return row if split == row.split else row._replace(split=split)

    def holds_nothing(self, unlisted: Sequence[str]) -> CorpusError:
        """Return the error of a corpus without utterances."""
        also = f", and {len(unlisted)} audio files not taken: {unlisted[0]}" if unlisted else ""
        return CorpusError(
            f"corpus {self.name} in {self.root}",
            expected="utterances",
            got=f"none{also}",
            hint="is the audio elsewhere, or of another layout? corpus.root=FOLDER names its "
            "folder, and python stages/prepare.py --help lists the layouts: corpus=NAME",
        )

    @abstractmethod
    def read(self, links: Links) -> Iterator[Found]:
        """Yield rows and audio files below a root that exists; see `stream`.

        A row that cannot be used is a `Failure` (see `bad_row`), and no error. Every audio file of
        the folders that the corpus is about is given as `Present`, too; where an utterance names it
        besides, it may be left out.
        """


def bad_row(error: FeatbankError, where: str, audio: str = "") -> Failure:
    """Return the failure of a table row that cannot be used, under its place: `transcripts.tsv:12`.

    What is quoted of it is cut short: nobody reads a cell of a megabyte.
    """
    what = error.what if where in error.what else f"{where}: {error.what}"
    got = brief(error.got or "")
    return Failure(
        id=where,
        audio=audio,
        kind="bad_row",
        error=brief(what),
        expected=brief(error.expected or ""),
        got=f"{got}; {error.hint}" if error.hint else got,
    )
