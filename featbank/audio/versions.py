"""Versions of what decides samples besides their file: lossy decoders and the resampler.

A manifest row tells which take part, before any file is opened: by the digest of its audio, the end
of its name, its rate and its speed. FLAC and the samples that a WAV holds are exact, whoever reads
them.
"""

from __future__ import annotations

import functools
import logging
import shutil
import subprocess

import soundfile
import soxr

from featbank.base.manifest import Utterance
from featbank.base.places import audio_suffix

_log = logging.getLogger(__name__)

FFMPEG, LIBSNDFILE, SOXR = "ffmpeg", "libsndfile", "soxr"

_EXACT = frozenset(
    [".flac", ".wav", ".wave", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".sph"]
)
_FFMPEG_ALONE = frozenset(
    [".m4a", ".mp4", ".aac", ".3gp", ".wma", ".mka", ".webm", ".amr", ".g722"]
)


def decided_by(row: Utterance, target_rate: int) -> frozenset[str]:
    """Return the names of what decides an utterance's samples at a rate, besides its file."""
    is_flac = row.audio_digest.startswith("md5:")
    suffix = "" if is_flac else audio_suffix(row.audio)
    return _decided_by(is_flac or suffix in _EXACT, suffix, row.played_rate != target_rate)


@functools.lru_cache(maxsize=256)  # asked for each row of a manifest
def _decided_by(is_exact: bool, suffix: str, is_resampled: bool) -> frozenset[str]:
    decoders = {FFMPEG} if suffix in _FFMPEG_ALONE else {FFMPEG, LIBSNDFILE}
    return frozenset((set() if is_exact else decoders) | ({SOXR} if is_resampled else set()))


def version_here(name: str) -> str:
    """Return the version on this machine of a decoder or the resampler; `none` if there is none."""
    if name == LIBSNDFILE:
        return f"{soundfile.__libsndfile_version__}, soundfile {soundfile.__version__}"
    if name == SOXR:
        return f"{soxr.__libsoxr_version__}, soxr {soxr.__version__}"
    return _of_ffmpeg(shutil.which("ffmpeg")) if name == FFMPEG else "none"


@functools.cache
def _of_ffmpeg(program: str | None) -> str:
    if program is None:
        return "none"
    command = [program, "-nostdin", "-version"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    words = done.stdout.partition("\n")[0].split()  # ffmpeg version 5.1.9-0+deb12u1 Copyright ...
    return words[2] if words[:2] == ["ffmpeg", "version"] and len(words) > 2 else "unknown"


@functools.cache
def warn_of_ffmpeg(suffix: str) -> None:
    """Warn once for each suffix that promises exact samples of a file that ffmpeg decodes."""
    if suffix in _EXACT and suffix != ".flac":  # which is exact in its hands too
        _log.warning(
            "ffmpeg decodes some *%s: as their name promises exact samples, its version is not "
            "recorded; call such files *.mp3, or what they are",
            suffix,
        )
