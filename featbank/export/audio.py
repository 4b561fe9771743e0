"""What the paths of audio that other toolkits read cannot say of an utterance."""

from __future__ import annotations

from pathlib import Path

from featbank.audio import TOLERANCES, UNKNOWN_LENGTH, open_audio
from featbank.base.places import Place, audio_suffix
from featbank.errors import StoreError
from featbank.export.rows import ExportRow

_OF_STATED_LENGTH = (".wav", ".flac")  # whose headers tell the length that decoding gives


def audio_path(row: ExportRow, format_name: str, root: Path, *, parts: bool) -> tuple[str, bool]:
    """Return the path of an utterance's audio, relative to its root, if that says all of it.

    Args:
        row: the utterance, with its row of the manifest.
        format_name: for errors.
        root: that the path is relative to. Where the file is there, its header is held against the
            row: one that is longer, or has more channels, is not the utterance.
        parts: whether the format has a place for where an utterance begins in its file.

    Returns:
        The path, and whether the utterance is seen to be a part of the file.

    Raises:
        StoreError: the audio is inside another file, or the utterance is not the audio itself.
        AudioError: the file is damaged.
    """
    utterance = row.manifest_row
    problem, is_part = "", bool(utterance.start_sample)
    if Place.parse(utterance.audio) is not None:
        problem = "audio inside another file"
    elif is_part and not parts:
        problem = "a part of a file"
    elif utterance.channel:
        problem = "a channel of a file, or a mix of all"
    elif utterance.speed != 1:
        problem = "a file at another speed"
    else:
        num_channels, num_samples = _stated(root / utterance.audio)
        is_part = is_part or num_samples not in (UNKNOWN_LENGTH, utterance.num_samples)
        if num_channels > 1:
            problem = "a channel of a file, or a mix of all"
        elif is_part and not parts:
            problem = "a part of a file"
    if problem:
        raise StoreError(
            f"utterance {row.id!r} in {format_name}",
            expected="a file of one channel" + (", or a part of one" if parts else ", all of it"),
            got=problem,
            hint="lhotse holds all of these",
        )
    return utterance.audio, is_part


def _stated(path: Path) -> tuple[int, int]:
    """Return the channels and samples that a file's header states, 1 and none that cannot be told.

    Raises:
        AudioError: the file is damaged.
    """
    if audio_suffix(path.name) not in _OF_STATED_LENGTH or not path.exists():
        return 1, UNKNOWN_LENGTH
    with open_audio(path, tolerate=TOLERANCES) as file:
        return file.channels, file.frames
