"""Audio files that cannot be used, one of each kind, and what is said of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from featbank.errors import AudioFault

RATE = 16_000
KINDS = (
    "FLAC, WAV, Ogg (Opus, Vorbis), MP3, W64, AIFF, CAF, AU, NIST, MP4, AAC, Matroska, WMA, AMR or "
    "G.722"
)


def noise(num_samples: int = RATE, channels: int = 1) -> np.ndarray:
    """Return noise, (num_samples, channels): the encoders cannot shrink it much."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (num_samples, channels))


@dataclass(frozen=True, slots=True)
class Bad:
    """A bad file.

    Args:
        make: writes it at a path; it may leave nothing there.
        kind: of the failure.
        expected, got: patterns of what the failure list says.
    """

    make: Callable[[Path], object]
    kind: AudioFault
    expected: str
    got: str


def _encoded(subtype: str | None = None, format: str | None = None) -> Callable[[Path], None]:  # noqa: A002
    return lambda path: soundfile.write(path, noise(), RATE, format=format, subtype=subtype)


def _cut(write: Callable[[Path], object], kept: float | int = 0.5) -> Callable[[Path], None]:
    """Keep a share of a file, or so many bytes."""

    def make(path: Path) -> None:
        write(path)
        size = kept if isinstance(kept, int) else int(path.stat().st_size * kept)
        os.truncate(path, size)

    return make


def _changed(
    write: Callable[[Path], object], change: Callable[[bytearray], None]
) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        write(path)
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)

    return make


def _with_value(value: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        samples = noise()
        samples[5000] = value
        soundfile.write(path, samples, RATE, subtype="FLOAT")

    return make


def _flip_middle(data: bytearray) -> None:
    data[len(data) // 2] ^= 0xFF


def state_no_length(flac: bytearray) -> None:
    flac[22:26] = bytes(4)  # the lower 32 bits of the number of samples; the others are 0


def _socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)  # the whole path may be too long for one
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


_wav, _flac, _mp3 = _encoded(), _encoded(), _encoded()
_ogg, _opus = _encoded("VORBIS"), _encoded("OPUS", "OGG")
_FILE = "a readable file"

BAD: Mapping[str, Bad] = {
    "missing.wav": Bad(lambda _: None, "missing", _FILE, "No such file or directory"),
    "dangling.wav": Bad(
        lambda path: path.symlink_to("nowhere.wav"), "missing", _FILE, "No such file or directory"
    ),
    "good-as-folder.wav/x.wav": Bad(
        lambda path: _wav(path.parent), "missing", _FILE, "Not a directory"
    ),
    "loop.wav": Bad(
        lambda path: path.symlink_to("loop.wav"),
        "unreadable", _FILE, "Too many levels of symbolic links",
    ),
    f"{'long' * 64}.wav": Bad(lambda _: None, "bad_name", _FILE, "File name too long"),
    "folder.wav": Bad(Path.mkdir, "not_a_file", "a file", "a folder"),
    "pipe.wav": Bad(os.mkfifo, "not_a_file", "a file", "a pipe"),
    "socket.wav": Bad(_socket, "not_a_file", "a file", "a socket"),
    "empty.wav": Bad(Path.touch, "empty", "audio", "an empty file"),
    "text.wav": Bad(
        lambda path: path.write_text("not audio"),
        "unknown_format", KINDS, "a file that begins with b'not '",
    ),
    "video.wav": Bad(
        lambda path: path.write_bytes(b"RIFF\x24\0\0\0AVI LIST" + bytes(100)),
        "unknown_format", "WAVE", r"RIFF with b'AVI ' in it",
    ),
    "playlist.m4a": Bad(
        lambda path: path.write_text("#EXTM3U\nfile:///etc/passwd\n"),
        "unknown_format", KINDS, "a file that begins with b'#EXT'",
    ),
    "header-only.wav": Bad(_cut(_wav, 44), "truncated", "32000 bytes of samples", "0"),
    "header-only.flac": Bad(_cut(_flac, 42), "truncated", "16000 samples", "0 decoded"),
    "half-a-header.wav": Bad(_cut(_wav, 30), "truncated", "a data chunk", "the end of the file"),
    "cut.wav": Bad(_cut(_wav, 44 + 20_001), "truncated", "32000 bytes of samples", "20001"),
    "cut.flac": Bad(_cut(_flac), "damaged", "16000 samples", ".*"),
    "cut.mp3": Bad(_cut(_mp3), "truncated", "16000 samples", r"\d+ decoded"),
    "cut.ogg": Bad(_cut(_ogg), "truncated", "a page that ends the stream", ".* page.*"),
    "cut.opus": Bad(_cut(_opus), "truncated", "a page that ends the stream", ".* page.*"),
    "cut.aiff": Bad(_cut(_encoded(), 20_054), "truncated", r"\d+ bytes of samples", r"\d+"),
    "cut.caf": Bad(_cut(_encoded(), 20_000), "truncated", "32000 bytes of samples", r"\d+"),
    "cut.w64": Bad(_cut(_encoded(), 20_000), "truncated", "32000 bytes of samples", r"\d+"),
    "flipped.flac": Bad(_changed(_flac, _flip_middle), "damaged", "16000 samples", ".*"),
    "no-samples.wav": Bad(
        lambda path: soundfile.write(path, noise(0), RATE),
        "no_samples", "at least one sample", "none",
    ),
    "no-samples.flac": Bad(
        _changed(_cut(_flac, 42), state_no_length), "no_samples", "at least one sample", "none"
    ),
    "nan.wav": Bad(_with_value(np.nan), "not_finite", "finite samples", "1 NaN or infinite.*"),
    "inf.wav": Bad(_with_value(np.inf), "not_finite", "finite samples", "1 NaN or infinite.*"),
    "minus-inf.wav": Bad(_with_value(-np.inf), "not_finite", "finite samples", "1 NaN or inf.*"),
}  # fmt: skip
