"""Paths inside a corpus: none may lead out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from featbank.errors import AudioError, CorpusError
from featbank.manifest import check_id

READABLE_SUFFIXES = frozenset([
    ".flac", ".wav", ".wave", ".bwf", ".rf64", ".w64", ".ogg", ".oga", ".opus", ".mp3", ".aif",
    ".aiff", ".aifc", ".caf", ".au", ".snd", ".sph", ".nist",
    ".m4a", ".m4b", ".aac", ".wma", ".weba", ".mka", ".amr", ".awb", ".g722",  # with ffmpeg
])  # fmt: skip
"""Endings of audio that decodes."""

# videos, of which the sound decodes, and kinds that do not decode are here too: such a file is
# reported, not overlooked
AUDIO_SUFFIXES = READABLE_SUFFIXES | frozenset([
    ".mp4", ".webm", ".3gp", ".mp1", ".mp2", ".mpga", ".wv", ".ape", ".ac3", ".spx", ".tta", ".mpc",
    ".shn", ".voc", ".vox", ".gsm", ".ra", ".raw", ".pcm", ".dsf", ".dff",
])  # fmt: skip


def relative_audio(text: str, root: Path, where: str) -> str:
    """Return the path of an audio file relative to `root`, normalised, with forward slashes.

    The file need not exist: a missing one is found when it is decoded.

    Raises:
        CorpusError: the path is empty, absolute, has `..` or a control character, or a symbolic
            link on its way leads out of `root`.
    """
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or not path.parts:
        raise CorpusError(
            f"audio path in {where}", expected="a path inside the corpus", got=repr(text)
        )
    check_id(str(path), CorpusError)
    _refuse_way_out(Path(root, path), root, where)
    return str(path)


def list_audio(root: Path, folder: Path | None = None) -> Iterator[str]:
    """Yield the audio files below a folder of the corpus, relative to `root`, in no order.

    A name may be no UTF-8, or have a control character: see `check_name`.

    Raises:
        CorpusError: a symbolic link to a folder leads out of `root`. A link that stays inside is
            not followed, since what it shows is found in its own place.
        OSError: a folder cannot be read.
    """
    for at, folders, files in os.walk(folder or root, onerror=_raise):
        for name in folders:
            if Path(at, name).is_symlink():
                _refuse_way_out(Path(at, name), root, f"folder {at}")
        for name in files:
            if Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Path(at, name).relative_to(root).as_posix()


def check_name(audio: str) -> None:
    """Refuse the name of a file that no manifest could hold.

    Raises:
        AudioError: it is not UTF-8, or has a control character or a line separator.
    """
    try:
        check_id(audio, CorpusError)
    except CorpusError as error:
        raise AudioError(
            f"audio {audio}",
            kind="bad_name",
            expected="a name in UTF-8, without control characters",
            got=error.got,
            hint="rename it",
        ) from error


def stem(audio: str) -> str:
    """Return a path without its last suffix.

    >>> stem("june_fr/vm-toreply.flac")
    'june_fr/vm-toreply'
    """
    return str(PurePosixPath(audio).with_suffix(""))


def _refuse_way_out(path: Path, root: Path, where: str) -> None:
    target = os.path.realpath(path)
    if not Path(target).is_relative_to(os.path.realpath(root)):
        raise CorpusError(
            f"audio path in {where}",
            expected="a path inside the corpus",
            got=f"{path.relative_to(root)}, a symbolic link to {target}",
            hint="copy or hard-link what it names into the corpus",
        )


def _raise(error: OSError) -> None:
    raise error
