"""What the paths of audio that other toolkits read cannot say of an utterance."""

from __future__ import annotations

from pathlib import Path

from featbank.audio import TOLERANCES, UNKNOWN_LENGTH, open_audio
from featbank.base.places import Place, audio_suffix
from featbank.errors import StoreError
from featbank.export.rows import ExportRow

_OF_STATED_LENGTH = (".wav", ".flac")  # whose headers tell the length that decoding gives


def audio_path(row: ExportRow, format_name: str, root: Path, *, parts: bool) -> str:
    """Return the path of an utterance's audio, relative to its root, if that says all of it.

    Args:
        row: the utterance, with its row of the manifest.
        format_name: for errors.
        root: that the path is relative to. Where the file is there, its header is held against the
            row: one that is longer, or has more channels, is not the utterance.
        parts: whether the format has a place for where an utterance begins in its file.

    Raises:
        StoreError: the audio is inside another file, or the utterance is not the audio itself.
        AudioError: the file is damaged.
    """
    utterance = row.manifest_row
    problem = ""
    if Place.parse(utterance.audio) is not None:
        problem = "audio inside another file"
    elif utterance.start_sample and not parts:
        problem = "a part of a file"
    elif utterance.channel:
        problem = "a channel of a file, or a mix of all"
    elif utterance.speed != 1:
        problem = "a file at another speed"
    else:
        problem = _more_in_file(row, root, parts=parts)
    if problem:
        raise StoreError(
            f"utterance {row.id!r} in {format_name}",
            expected="a file of one channel" + (", or a part of one" if parts else ", all of it"),
            got=problem,
            hint="lhotse holds all of these",
        )
    return utterance.audio


def _more_in_file(row: ExportRow, root: Path, *, parts: bool) -> str:
    """Say what a file has that the utterance has not; nothing where that cannot be seen."""
    utterance = row.manifest_row
    path = root / utterance.audio
    if audio_suffix(utterance.audio) not in _OF_STATED_LENGTH or not path.exists():
        return ""
    with open_audio(path, tolerate=TOLERANCES) as file:
        if file.channels > 1:
            return "a channel of a file, or a mix of all"
        if not parts and file.frames not in (UNKNOWN_LENGTH, utterance.num_samples):
            return "a part of a file"
    return ""
