"""What every corpus gives: its utterances as its own files describe them, no audio decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.corpora.splits import SplitRule
from featbank.errors import ConfigError, CorpusError, FeatbankError
from featbank.failures import Failure
from featbank.manifest import MIX_CHANNELS, SPLITS


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusRow:
    """One utterance as the corpus describes it.

    Args:
        id: unique in the corpus.
        audio: path relative to the corpus root, with forward slashes.
        where: the place that describes it, for messages: `transcripts.tsv:12`.
        start_s: start in the file, in seconds.
        duration_s: length, in seconds; None goes on to the end of the file.
        claimed_duration_s: what the corpus says of the length of the whole file, in seconds. It
            selects nothing: it is held against the length that the file has.
        channel: index from 0, or `MIX_CHANNELS`; None when the corpus does not say.
        speaker, language, text, part: as in `Utterance`.
        split: `train`, `dev` or `test`; empty when the corpus gives none.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a corpus holds.

    Args:
        rows: its utterances.
        unlisted: audio files that none of its tables mentions, or that its reader leaves out,
            sorted.
        failures: utterances that no row can name.
    """

    rows: Sequence[CorpusRow]
    unlisted: Sequence[str] = ()
    failures: Sequence[Failure] = ()


class Corpus(ABC):
    """A folder of audio and the rules to read it."""

    def __init__(
        self,
        *,
        name: str,
        root: str | Path,
        license: str,  # noqa: A002 - the word of the configuration
        url: str = "",
        language: str = "",
        channel: int | str | None = None,
        splits: Mapping[str, Any] | None = None,
        labels: str | None = None,
    ) -> None:
        """Describe a corpus.

        Args:
            name: names its outputs.
            root: its folder; manifests hold paths relative to it.
            license: as its publisher states it.
            url: where it comes from.
            language: of utterances that do not say their own.
            channel: of utterances that do not say their own: an index from 0, or `mix`; None
                refuses files of more than one channel.
            splits: fields of a `SplitRule`, for a corpus that gives no splits itself.
            labels: time-aligned labels below the root, such as phones, which `validate` holds
                tokens against; None for none.

        Raises:
            ConfigError: a channel or a split rule that cannot be used.
        """
        self.name = name
        self.root = Path(root)
        self.license = license
        self.url = url
        self.language = language
        self.channel = parse_channel("" if channel is None else str(channel), "corpus.channel")
        self.split_rule = SplitRule.of(splits or {})
        self.labels = labels

    def list_utterances(self) -> Listing:
        """Read the tables or the folder tree.

        Raises:
            CorpusError: the corpus cannot be read, holds nothing, or a row of it cannot be used.
        """
        if not self.root.is_dir():
            raise CorpusError(
                f"corpus {self.name}: root {self.root}",
                expected="a folder",
                got="a file" if self.root.exists() else "nothing there",
                hint="put the corpus there, or set corpus.root",
            )
        listing = self.read()
        if not (listing.rows or listing.failures):
            unlisted = listing.unlisted
            also = f", and {len(unlisted)} audio files not taken: {unlisted[0]}" if unlisted else ""
            raise CorpusError(
                f"corpus {self.name} in {self.root}", expected="utterances", got=f"none{also}"
            )
        return listing

    @abstractmethod
    def read(self) -> Listing:
        """Read the tables or the folder tree under an existing root."""


def parse_channel(text: str, where: str, error: type[FeatbankError] = ConfigError) -> int | None:
    """Read a channel: an index from 0, `mix`, or nothing.

    >>> parse_channel("1", ""), parse_channel("mix", "") == MIX_CHANNELS, parse_channel("", "")
    (1, True, None)

    Raises:
        FeatbankError: as `error`, for anything else.
    """
    if not text:
        return None
    if text == "mix":
        return MIX_CHANNELS
    if text.isascii() and text.isdigit():
        return int(text)
    raise error(where, expected="an index from 0, or mix", got=repr(text))


def check_split(split: str, where: str) -> str:
    """Return `split` when it is one.

    Raises:
        CorpusError: it is none.
    """
    if split not in SPLITS:
        raise CorpusError(f"split in {where}", expected=" or ".join(SPLITS), got=repr(split))
    return split
