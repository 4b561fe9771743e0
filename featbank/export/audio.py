"""What the paths of audio that other toolkits read cannot say of an utterance."""

from __future__ import annotations

from featbank.base.places import Place
from featbank.errors import StoreError
from featbank.export.source import ExportRow


def audio_path(row: ExportRow, format_name: str, *, parts: bool) -> str:
    """Return the path of an utterance's audio, relative to its root, if that says all of it.

    Args:
        row: the utterance, with its row of the manifest.
        format_name: for errors.
        parts: whether the format has a place for where an utterance begins in its file.

    Raises:
        StoreError: the audio is inside another file, or the utterance is not the audio itself.
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
    if problem:
        raise StoreError(
            f"utterance {row.id!r} in {format_name}",
            expected="a file of one channel" + (", or a part of one" if parts else ", all of it"),
            got=problem,
            hint="lhotse holds all of these",
        )
    return utterance.audio
