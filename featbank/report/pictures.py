"""Pictures of a report with their captions, as many as a page can carry."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from featbank.report.aligned import MAX_STRIPS, Strip, draw_aligned, strips_of
from featbank.report.charts import draw_lengths
from featbank.report.clips import Clip, Clips, shown_utterances
from featbank.report.words import counted
from featbank.validation.result import CheckResult, LengthHistogram

MAX_BYTES = 1_400_000
"""Of all pictures and sounds of a page: with its tables it stays below 2 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing with its caption.

    Args:
        title: what is drawn.
        drawing: an SVG element.
        caption: what to see in it, with units.
        sound: address of the sound of what is drawn, which holds all of it; empty for none.
        choice: name of the one that it is of; empty for the corpus.
    """

    title: str
    drawing: Markup
    caption: str
    sound: str = ""
    choice: str = ""


Draw = Callable[[], Picture]
"""Draws a picture, which takes a moment: it is called where the page has room."""


class Pictures:
    """The pictures of a page: those that it has no room for are counted.

    Args:
        max_bytes: of all.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._left = max_bytes
        self.num_left_out = 0

    def within(self, kind: Iterable[Draw]) -> list[Picture]:
        """Return the pictures of a kind that the page still has room for.

        They are about as large as each other: behind the first that is too large, none is drawn.
        """
        taken: list[Picture] = []
        draws = iter(kind)
        for draw in draws:
            one = draw()
            size = len(one.drawing) + len(one.sound) + 2 * len(one.caption)
            if size > self._left:
                self.num_left_out += 1 + sum(1 for _ in draws)
                break
            self._left -= size
            taken.append(one)
        return taken


def lengths_picture(results: Sequence[CheckResult]) -> Iterator[Draw]:
    """Give what draws the lengths of the manifests' utterances, which all results share."""
    if results and any(sum(counts) for _, counts in results[0].lengths.by_split):
        yield partial(_lengths_picture, results[0].lengths)


def _lengths_picture(lengths: LengthHistogram) -> Picture:
    return Picture(
        title="How long the utterances are",
        drawing=Markup(draw_lengths(lengths)),  # noqa: S704 - drawn here, from numbers alone
        caption=f"Utterances of the manifests by length, in bins of {lengths.bin_s:g} s.",
    )


def utterance_pictures(results: Sequence[CheckResult], clips: Clips) -> Iterator[Draw]:
    """Give what draws an utterance of each split through all choices, with its sound if read."""
    by_split = {clip.split: clip for clip in clips.read}
    for split, utterance_id in shown_utterances(results).items():
        clip = by_split.get(split)
        strips = list(strips_of(results, split, utterance_id))
        if clip is not None or strips:
            yield partial(_utterance_picture, f"{utterance_id} ({split})", clip, strips)


def _utterance_picture(title: str, clip: Clip | None, strips: Sequence[Strip]) -> Picture:
    told = []
    if clip:
        whole = f" of {clip.whole_s:.1f} s" if clip.whole_s > clip.duration_s else ""
        told.append(
            f"{clip.duration_s:.1f} s{whole} at {clip.sample_rate:,} Hz: energy by frequency "
            "over time, bright for loud"
        )
    if strips:
        beyond = len(strips) - MAX_STRIPS
        more = f", {beyond} more not drawn" if beyond > 0 else ""
        below = "below it, tokens" if clip else "Tokens"
        told.append(f"{below} of {counted(len(strips), 'store')}, a colour a token{more}")
    return Picture(
        title=title,  # by which featbank where finds whose sound it is
        drawing=Markup(draw_aligned(clip, strips[:MAX_STRIPS])),  # noqa: S704
        caption="; ".join(told) + ".",
        sound="" if clip is None else _sound(clip),
    )


def _sound(clip: Clip) -> str:
    return f"data:audio/flac;base64,{base64.b64encode(clip.flac()).decode()}"
