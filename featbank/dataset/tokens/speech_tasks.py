"""Tasks of speech language models: how a sequence is composed of text and speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, Literal, NamedTuple, Protocol

from featbank.errors import ConfigError
from featbank.sequences.alignment import draw_spans


class Segment(NamedTuple):
    """A word or an utterance, which has both text and speech."""

    text: str
    utterance: int
    """Its index in the dataset."""
    frames: range
    """Of that utterance."""


class Piece(NamedTuple):
    """Consecutive segments as text, or as speech."""

    segments: Sequence[Segment]
    is_speech: bool
    is_target: bool
    """Whether a model learns to give it; else it is told."""


class SpeechTask(Protocol):
    """Protocol of a task: how a sequence is composed of segments."""

    @property
    def mark(self) -> str | None:
        """The special token that stands before the sequence; None for none."""

    @property
    def at(self) -> str:
        """Unit of a segment: `words` or `utterances`."""

    def pieces(self, segments: Sequence[Segment], key: object) -> list[Piece]:
        """Return the pieces of text and of speech that a sequence consists of.

        Args:
            segments: of it, in order.
            key: what is drawn follows from it.
        """


@dataclass(frozen=True, kw_only=True)
class _OneAfterTheOther:
    """The text of an utterance and its speech, of which the second is what is to be learned."""

    mark: str | None = None
    learn_prompt: bool = False
    _speech_first: ClassVar[bool]

    @property
    def at(self) -> str:
        """Of whole utterances."""
        return "utterances"

    def pieces(self, segments: Sequence[Segment], key: object) -> list[Piece]:  # noqa: ARG002
        """Return the prompt, and what answers it."""
        first = self._speech_first
        return [
            Piece(segments, is_speech=first, is_target=self.learn_prompt),
            Piece(segments, is_speech=not first, is_target=True),
        ]


@dataclass(frozen=True, kw_only=True)
class TextToSpeech(_OneAfterTheOther):
    """Text-to-speech task: text, then the speech that says it.

    Args:
        mark: the special token that stands before the sequence, such as `<tts>`.
        learn_prompt: whether the text is a target, too.
    """

    _speech_first = False


@dataclass(frozen=True, kw_only=True)
class SpeechToText(_OneAfterTheOther):
    """Speech recognition task: speech, then the text that it says.

    Args:
        mark: the special token that stands before the sequence, such as `<asr>`.
        learn_prompt: whether the speech is a target, too.
    """

    _speech_first = True


@dataclass(frozen=True, kw_only=True)
class Interleaved:
    """Task of text and speech by turns, as SpiRit-LM has it (Nguyen et al., 2025).

    Each word, or utterance, is in the sequence once, as text or as speech, and all of it is a
    target. Speech without a frame is given as text, and what has no text as speech.

    Args:
        at: where turns are taken: between `words` or `utterances`.
        shortest, longest: words, or utterances, of a turn.
        mark: the special token that stands before the sequence.

    Raises:
        ConfigError: the numbers do not fit, or `at` is another.
    """

    at: Literal["words", "utterances"] = "words"
    shortest: int = 3
    longest: int = 10
    mark: str | None = None

    def __post_init__(self) -> None:
        if self.at not in ("words", "utterances"):
            raise ConfigError("at of a sequence", expected="words or utterances", got=self.at)
        draw_spans(0, self.shortest, self.longest)

    def pieces(self, segments: Sequence[Segment], key: object) -> list[Piece]:
        """Return text and speech by turns."""
        found: list[Piece] = []
        for span in draw_spans(len(segments), self.shortest, self.longest, key):
            some = [
                one
                for one in segments[span.parts.start : span.parts.stop]
                if one.frames or one.text
            ]
            if span.is_speech and any(one.frames for one in some):
                kinds = [(True, some)]
            else:
                kinds = [(has, [*these]) for has, these in groupby(some, lambda one: not one.text)]
            for is_speech, these in kinds:
                # where the other kind had nothing
                before = found.pop().segments if found and found[-1].is_speech == is_speech else []
                found.append(Piece([*before, *these], is_speech, is_target=True))
        return found
