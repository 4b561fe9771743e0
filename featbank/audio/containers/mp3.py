"""Parser of MP3 files: whether libsndfile reads all of one, and whether its frames are complete.

Where the first frame counts none, libsndfile guesses a length from its bit rate and reads no
further: of a variable bit rate it may leave out half of the file, and call the rest whole. Where
there is a count, it reads what was counted and nothing behind it: of several files in a row, the
first. Both are for ffmpeg, which has to decode what has been counted here.
"""

from __future__ import annotations

from fractions import Fraction
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers.container import Container, cut_short, damaged
from featbank.audio.containers.looking import once
from featbank.audio.containers.mpeg import MpegFrames, frames_of
from featbank.errors import AudioError

_DRIFT = Fraction(2, 60_000)  # by which a count may differ from its frames: 2 ms a minute
# frames that are not heard: the count's own, what an encoder needs before and behind its input
_UNHEARD = 4


def mp3(path: str | Path, file: BufferedReader, _size: int) -> Container:
    """Parse an MP3 file, and choose its decoder.

    Raises:
        AudioError: it is cut short, has something else than tags between its frames, or changes
            its sample rate or number of channels.
    """
    frames = once(file, frames_of)
    form = frames.form
    if form is None or not frames.number:
        # layer I or II, which libsndfile names; else a frame without a length, or none at all
        return Container(name="MP3", demuxer="" if frames.layer in (1, 2) else "mp3")
    _refuse_what_is_no_row(path, frames)
    drift = _DRIFT * frames.number
    counted = frames.counted
    if counted is None:
        if frames.lacking:
            raise cut_short(
                path, "a last frame that is whole", f"one that lacks {frames.lacking} bytes"
            )
    elif frames.counter == "VBRI":
        if frames.number < counted - drift:
            raise cut_short(path, f"{counted} frames", frames.number)
    elif frames.number - 1 <= counted + drift and not _counts_itself(frames):
        return Container(name="MP3")
    return Container(
        name="MP3",
        demuxer="mp3",
        parts=frames.parts if len(frames.parts) > 1 else (),
        least_s=max(0, frames.number - _UNHEARD - len(frames.parts)) * form.frame_s,
    )


def _counts_itself(frames: MpegFrames) -> bool:
    """Tell whether a count includes the frame that it stands in, which libsndfile then misses."""
    there = sum(stop - start for start, stop in frames.parts)
    is_cut = frames.lacking or there < (frames.counted_bytes or 0)
    return frames.number == frames.counted and not is_cut


def _refuse_what_is_no_row(path: str | Path, frames: MpegFrames) -> None:
    """Refuse what no decoder tells from sound: another stream, or bytes of no frame between two."""
    if frames.garbage < 0:
        return
    if frames.behind == "frames" or (frames.counted is None and not frames.behind):
        raise damaged(path, "frames and tags", f"something else at byte {frames.garbage}")
    if frames.behind:
        raise AudioError(
            f"audio {path} changes at byte {frames.garbage}",
            kind="unknown_format",
            expected=f"{frames.form} throughout",
            got=frames.behind,
            hint="convert its parts one by one",
        )
