"""Pictures of a report with their captions, as many as a page can carry."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from featbank.report.aligned import MAX_STRIPS, draw_aligned, strips_of
from featbank.report.charts import draw_lengths
from featbank.report.clips import Clip, Clips, shown_utterances
from featbank.report.words import counted
from featbank.validation.result import CheckResult

MAX_BYTES = 1_200_000
"""Of all pictures and sounds of a page: with its tables it stays below 2 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing with its caption.

    Args:
        title: what is drawn.
        drawing: an SVG element.
        caption: what to see in it, with units.
        sound: address of the sound of what is drawn, which holds all of it; empty for none.
    """

    title: str
    drawing: Markup
    caption: str
    sound: str = ""


class Pictures:
    """The pictures of a page: those that it has no room for are counted, not drawn over.

    Args:
        max_bytes: of all.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._left = max_bytes
        self.num_left_out = 0

    def within(self, pictures: Iterator[Picture]) -> list[Picture]:
        """Return the pictures that the page still has room for."""
        taken = []
        for one in pictures:
            size = len(one.drawing) + len(one.sound) + 2 * len(one.caption)
            if size <= self._left:
                self._left -= size
                taken.append(one)
            else:
                self.num_left_out += 1
        return taken


def lengths_picture(results: Sequence[CheckResult]) -> Iterator[Picture]:
    """Draw the lengths of the manifests' utterances, which all results share."""
    if results and any(sum(counts) for _, counts in results[0].lengths.by_split):
        lengths = results[0].lengths
        yield Picture(
            title="How long the utterances are",
            drawing=Markup(draw_lengths(lengths)),  # noqa: S704 - drawn here, from numbers alone
            caption=f"Utterances of the manifests by length, in bins of {lengths.bin_s:g} s.",
        )


def utterance_pictures(results: Sequence[CheckResult], clips: Clips) -> Iterator[Picture]:
    """Draw an utterance of each split through all choices, with its sound where it was read."""
    by_split = {clip.split: clip for clip in clips.read}
    for split, utterance_id in shown_utterances(results).items():
        clip = by_split.get(split)
        strips = list(strips_of(results, split, utterance_id))
        if clip is None and not strips:
            continue
        told = [f"Utterance {utterance_id}"]
        if clip:
            whole = f" of {clip.whole_s:.1f} s" if clip.whole_s > clip.duration_s else ""
            told.append(
                f"{clip.duration_s:.1f} s{whole} at {clip.sample_rate:,} Hz, energy by frequency "
                "over time, bright for loud"
            )
        if strips:
            beyond = len(strips) - MAX_STRIPS
            more = f", {beyond} more not drawn" if beyond > 0 else ""
            told.append(f"below it, tokens of {counted(len(strips), 'store')}, a colour a token")
            told[-1] += more
        yield Picture(
            title=f"{utterance_id} ({split})",  # by which featbank where finds whose sound it is
            drawing=Markup(draw_aligned(clip, strips[:MAX_STRIPS])),  # noqa: S704
            caption="; ".join(told) + ".",
            sound="" if clip is None else _sound(clip),
        )


def _sound(clip: Clip) -> str:
    return f"data:audio/flac;base64,{base64.b64encode(clip.flac()).decode()}"
