"""Faults of the machine: they end a run, and never enter a failure list, which would keep them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from featbank.audio import audio_digest, load_audio, scan_audio
from tests.conftest import ROOT
from tests.ffmpeg_files import SPEECH, encode, needs_ffmpeg
from tests.waiting import HANG_S

WRITERS = {
    "x.flac": ("FLAC", "PCM_16"),
    "x.wav": ("WAV", "PCM_16"),
    "x-ima.wav": ("WAV", "IMA_ADPCM"),
    "x.ogg": ("OGG", "VORBIS"),
    "x.opus": ("OGG", "OPUS"),
    "x.mp3": ("MP3", "MPEG_LAYER_III"),
    "x.aiff": ("AIFF", "PCM_16"),
    "x.caf": ("CAF", "PCM_16"),
}
needs_seccomp = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="the filter that fails system calls is written for Linux on x86-64",
)

# `fail_reads(descriptor)` has the kernel answer each read and pread of it from now on with EIO
_FILTER = """
import ctypes, errno, os, struct, sys
from featbank.audio import open_audio
from featbank.audio.decoding import decode
from featbank.audio.containers import open_container
from featbank.errors import AudioError

def fail_reads(descriptor):
    load_call, load_argument = (0x20, 0, 0, 0), (0x20, 0, 0, 16)
    program = [load_call, (0x15, 1, 0, 0), (0x15, 0, 3, 17),
               load_argument, (0x15, 0, 1, descriptor),
               (0x06, 0, 0, 0x50000 | errno.EIO), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(38, 1, 0, 0, 0) == 0
    done = prctl(22, 2, ctypes.byref(Program(len(program), ctypes.addressof(code))))
    assert done == 0, os.strerror(ctypes.get_errno())
"""


def run(code: str, *arguments: str | Path) -> str:
    """Run code in a process of its own and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=HANG_S,
    )  # fmt: skip
    return done.stdout.strip()


def write(path: Path) -> Path:
    kind, subtype = WRITERS[path.name]
    soundfile.write(path, soundfile.read(SPEECH)[0], 16_000, format=kind, subtype=subtype)
    return path


@pytest.mark.parametrize("use", [scan_audio, audio_digest])
def test_a_file_whose_first_byte_cannot_be_read_is_not_blamed(use) -> None:  # noqa: ANN001
    with pytest.raises(OSError, match="Input/output error"):
        use("/proc/self/mem")  # nothing is mapped at 0
    with pytest.raises(OSError, match="Input/output error"):
        load_audio("/proc/self/mem", sample_rate=16_000, num_samples=1)


@needs_seccomp
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_whose_reads_fail_in_the_midst_is_not_blamed(name: str, tmp_path: Path) -> None:
    code = """
try:
    with open_audio(sys.argv[1]) as file:
        file.read(10)
        fail_reads(file.name)
        while len(file.read(1 << 16)):
            pass
        file.check_end()
except AudioError as error:
    print("blamed", error)
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print("nothing was seen")
"""
    assert run(_FILTER + code, write(tmp_path / name)) == "EIO"


@needs_seccomp
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_whose_reads_fail_on_opening_is_not_blamed(name: str, tmp_path: Path) -> None:
    code = """
file, container = open_container(sys.argv[1])
fail_reads(file.fileno())
try:
    with decode(sys.argv[1], file, container):
        print("nothing was seen")
except AudioError as error:
    print("blamed", error)
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    assert run(_FILTER + code, write(tmp_path / name)) == "EIO"


@needs_seccomp
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_whose_first_read_fails_for_a_moment_is_not_blamed(
    name: str, tmp_path: Path
) -> None:
    code = """
file, container = open_container(sys.argv[1])
failing = os.dup(file.fileno())  # of the same file, and read first
fail_reads(failing)
from featbank.audio import sndfile
really_decode, descriptors = sndfile._decode, [failing]
sndfile._decode = lambda given, container: really_decode(
    descriptors.pop() if descriptors else given, container
)
try:
    with decode(sys.argv[1], file, container):
        print("nothing was seen")
except AudioError as error:
    print("blamed", error)
except OSError as error:
    print(errno.errorcode[error.errno], error.strerror)
"""
    assert run(_FILTER + code, write(tmp_path / name)) == "EIO a read failed for a moment"


_NO_DESCRIPTORS = """
import errno, resource, sys
from featbank.audio import scan_audio
allowed = 3 + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
try:
    scan_audio(sys.argv[1])
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print("read")
"""


def test_too_many_open_files_are_no_fault_of_the_file() -> None:
    assert run(_NO_DESCRIPTORS, SPEECH, "0") == "EMFILE"
    assert run(_NO_DESCRIPTORS, SPEECH, "1") == "read"  # a file is opened once


@needs_ffmpeg
@pytest.mark.parametrize("left", range(6))
def test_too_many_open_files_around_ffmpeg_are_no_fault_of_the_file(
    left: int, tmp_path: Path
) -> None:
    found = run(_NO_DESCRIPTORS, encode(tmp_path / "x.m4a"), str(left))
    assert found == ("ENOENT" if left == 1 else "EMFILE")  # tempfile finds no folder that works


def test_a_machine_without_descriptors_ends_prepare_and_lists_nothing(tmp_path: Path) -> None:
    code = """
import errno, os, resource, sys
from pathlib import Path
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.prepare import prepare
from featbank.corpora import scanning
root, out = Path(sys.argv[1]), Path(sys.argv[2])
corpus = FolderCorpus(name="c", root=root, license="", split_rule={"by": "hash"})
listing = corpus.list_utterances()
corpus.list_utterances = lambda: listing  # walking the folder takes a descriptor too
used = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
resource.setrlimit(resource.RLIMIT_NOFILE, (max(used) + 1, max(used) + 1))
try:
    prepare(corpus, out / "manifests", failures_path=out / "failures.jsonl", max_failures=9)
except OSError as error:
    print(errno.errorcode[error.errno], list(out.iterdir()) if out.exists() else [])
"""
    root = tmp_path / "corpus"
    root.mkdir()
    shutil.copy(SPEECH, root / "x.flac")
    assert run(code, root, tmp_path / "out") == "EMFILE []"


_NO_MEMORY = """
import ctypes, resource, sys
from featbank.audio import scan_audio
from featbank.errors import AudioError
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
scan_audio(sys.argv[2])  # what is loaded on first use is loaded
size = [line for line in open("/proc/self/status") if line.startswith("VmSize")][0].split()[1]
no_limit = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_AS, (int(size) * 1024 + int(sys.argv[3]), no_limit))
while malloc(4000):
    pass
try:
    scan_audio(sys.argv[1])
    found = "read"
except AudioError as error:
    found = f"blamed {error}"
except MemoryError:
    found = "no memory"
except OSError as error:
    found = "no memory" if error.errno == 12 else repr(error)
resource.setrlimit(resource.RLIMIT_AS, (no_limit, no_limit))
print(found)
"""


@pytest.mark.parametrize("channels", [1, 6])
def test_a_lack_of_memory_is_no_fault_of_the_file(channels: int, tmp_path: Path) -> None:
    # libFLAC gives no samples and no error when it gets no memory
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (100_000, channels))
    soundfile.write(tmp_path / "x.flac", noise, 48_000)
    assert run(_NO_MEMORY, tmp_path / "x.flac", SPEECH, "0") == "no memory"


@needs_ffmpeg
@pytest.mark.parametrize("limit", [10_000_000, 30_000_000, 100_000_000])
def test_a_lack_of_memory_in_ffmpeg_is_no_fault_of_the_file(limit: int, tmp_path: Path) -> None:
    code = """
import resource, sys
from featbank.audio import scan_audio
from featbank.errors import AudioError, FeatbankError
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    scan_audio(sys.argv[1])
except AudioError as error:
    print("blamed", error)
except (FeatbankError, MemoryError, OSError) as error:
    print("the machine")
"""
    # this process is larger than the limit already, and ffmpeg begins below it
    assert run(code, encode(tmp_path / "x.m4a"), str(limit)) == "the machine"
