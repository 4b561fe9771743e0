"""Files that only ffmpeg decodes, encoded by ffmpeg itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

FFMPEG = shutil.which("ffmpeg")
needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
SPEECH = ROOT / "corpora/demo/librivox_austen/sense-01-0870.flac"
NUM_SAMPLES = 113_600

# the arguments that encode each; how many samples it may have more or less than its source
ENCODED: dict[str, tuple[list[str], int]] = {
    "x.m4a": (["-c:a", "aac"], 1024),
    "faststart.m4a": (["-c:a", "aac", "-movflags", "faststart"], 1024),
    "alac.m4a": (["-c:a", "alac"], 0),
    "alac.caf": (["-c:a", "alac"], 0),
    "opus.caf": (["-c:a", "libopus", "-ar", "16000"], 1024),
    "x.mp4": (["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"], 2048),
    "x.3gp": (["-c:a", "aac"], 1024),
    "x.aac": (["-c:a", "aac"], 2048),
    "x.mka": (["-c:a", "aac"], 2048),
    "x.webm": (["-c:a", "libvorbis"], 1024),
    "x.wma": (["-c:a", "wmav2"], 2048),
    "x.g722": (["-c:a", "g722"], 0),
    "mp3.wav": (["-c:a", "libmp3lame"], 3 * 576),
    "wma.wav": (["-c:a", "wmav2"], 2048),
    "mp3.w64": (["-c:a", "libmp3lame"], 3 * 576),
    "ima.caf": (["-c:a", "adpcm_ima_qt"], 64),
    "speex.oga": (["-c:a", "libspeex"], 640),
}


def ffmpeg(*arguments: str | Path) -> None:
    assert FFMPEG
    command = [FFMPEG, "-nostdin", "-y", "-v", "error", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def encode(path: Path, source: Path = SPEECH) -> Path:
    ffmpeg("-i", source, *ENCODED[path.name][0], path)
    return path
