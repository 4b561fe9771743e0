"""Headers that state less or more than their file holds: read exactly, or refused by name."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from featbank.audio import load_audio, open_audio, scan_audio
from featbank.errors import AudioError
from tests.headed_files import (
    FRAME,
    HEADERS,
    NUM_SAMPLES,
    RATE,
    WHOLE,
    body,
    chunk_behind,
    samples,
)

SHORT = ["WAV", "RIFX", "extensible WAV", "AU", "AIFF", "AIFC", "AIFF with an offset"]
LONG = ["RF64", "BW64", "W64", "CAF"]
UNKNOWN_SHORT = [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFF000, 0x7FFFEFDC, 0xFFFFF000]
UNKNOWN_LONG = [0, 0xFFFFFFFF, 0x7FFFFFFF, 2**63 - 1, 2**64 - 1]
UNKNOWN = [
    *((name, stated) for name in SHORT for stated in UNKNOWN_SHORT),
    *((name, stated) for name in LONG for stated in UNKNOWN_LONG),
    ("NIST", 0),
]
TAG = b"TAG" + b"x" * 125
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 9, 1, 0x80000000 | 0x20000000) + bytes(8)
APE += (
    b"\x01\0\0\0\0\0\0\0k" + b"APETAGEX" + struct.pack("<IIII", 2000, 41, 1, 0x80000000) + bytes(8)
)
TAILS = {
    "nothing": b"",
    "4 KiB of zeros": bytes(4096),
    "ID3v1": TAG,
    "ID3v2": b"ID3\x03\0\0\0\0\0\x0a" + bytes(10),
    "APE": APE,
    "APE and ID3v1": APE + TAG,
    "Lyrics3": b"LYRICSBEGININD0000200000021LYRICS200" + TAG,
}
GOES_ON = {
    "noise": np.random.default_rng(1).bytes(5000),
    "a few bytes": b"\x01\x02\x03\x04",
    "over 4 KiB of zeros": bytes(4097),
    "a second chunk of samples": b"data\x10\0\0\0" + b"\x05" * 16,
    "a chunk longer than the file": b"LIST\xff\0\0\0" + b"INFO",
    "a tag and noise": TAG + b"\x01" * 5000,
}


def write(
    path: Path, name: str, stated: int, tail: bytes = b"", sound: bytes | None = None
) -> Path:
    path.write_bytes(HEADERS[name](stated) + (body(name) if sound is None else sound) + tail)
    return path


def assert_holds_the_samples(path: Path) -> None:
    scan = scan_audio(path)
    assert (scan.num_samples, scan.num_channels, scan.sample_rate) == (NUM_SAMPLES, 2, RATE)
    expected = samples().astype(np.float32) / 32768
    for channel in (0, 1):
        for start in (0, 1234):
            found = load_audio(
                path, sample_rate=RATE, start_sample=start, num_samples=NUM_SAMPLES - start,
                channel=channel,
            )  # fmt: skip
            np.testing.assert_array_equal(found, expected[start:, channel])


def kind_of(path: Path) -> AudioError:
    with pytest.raises(AudioError) as caught:
        scan_audio(path)
    return caught.value


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", HEADERS)
def test_what_is_no_sound_behind_the_samples_is_left_out(
    name: str, tail: str, tmp_path: Path
) -> None:
    assert_holds_the_samples(write(tmp_path / "x", name, WHOLE, TAILS[tail]))


@pytest.mark.parametrize("name", [name for name in HEADERS if chunk_behind(name)])
def test_chunks_behind_the_samples_are_left_out(name: str, tmp_path: Path) -> None:
    chunk = chunk_behind(name)
    assert_holds_the_samples(write(tmp_path / "x", name, WHOLE, chunk + chunk + TAG + bytes(9)))


@pytest.mark.parametrize("tail", GOES_ON)
@pytest.mark.parametrize("name", HEADERS)
def test_what_may_be_sound_behind_the_samples_is_refused_with_both_numbers(
    name: str, tail: str, tmp_path: Path
) -> None:
    behind = GOES_ON[tail]
    error = kind_of(write(tmp_path / "x", name, WHOLE, behind))
    assert error.kind == "surplus"
    assert (str(WHOLE) in str(error.expected), error.got) == (True, str(WHOLE + len(behind)))


@pytest.mark.parametrize("name", HEADERS)
def test_a_second_file_behind_the_first_is_refused(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x", name, WHOLE)
    path.write_bytes(path.read_bytes() * 2)
    assert kind_of(path).kind == "surplus"


@pytest.mark.parametrize("stated", [FRAME, WHOLE // 3, WHOLE - FRAME])
@pytest.mark.parametrize("name", HEADERS)
def test_a_length_that_leaves_samples_out_is_refused(
    name: str, stated: int, tmp_path: Path
) -> None:
    error = kind_of(write(tmp_path / "x", name, stated))
    assert (error.kind, error.expected) == ("surplus", f"{stated} bytes of samples")
    assert error.got == str(WHOLE)


@pytest.mark.parametrize(("name", "stated"), UNKNOWN)
def test_a_length_that_its_writer_did_not_know_goes_to_the_end(
    name: str, stated: int, tmp_path: Path
) -> None:
    assert_holds_the_samples(write(tmp_path / "x", name, stated))


@pytest.mark.parametrize("rest", [1, 3])
@pytest.mark.parametrize("name", HEADERS)
def test_a_last_sample_that_is_not_whole_does_not_count(
    name: str, rest: int, tmp_path: Path
) -> None:
    assert_holds_the_samples(write(tmp_path / "x", name, 0, b"\x01" * rest))


@pytest.mark.parametrize("stated", [WHOLE + FRAME, 2 * WHOLE, 0x7FFE0000, 0x80000004])
@pytest.mark.parametrize("name", HEADERS)
def test_a_length_that_is_not_there_is_cut_short(name: str, stated: int, tmp_path: Path) -> None:
    error = kind_of(write(tmp_path / "x", name, stated))
    assert (error.kind, error.expected) == ("truncated", f"{stated} bytes of samples")
    assert error.got == str(WHOLE)


@pytest.mark.parametrize("name", HEADERS)
def test_no_sample_is_no_sample_whatever_chunk_follows(name: str, tmp_path: Path) -> None:
    assert kind_of(write(tmp_path / "x", name, 0, chunk_behind(name), b"")).kind == "no_samples"


@pytest.mark.parametrize(("stated", "tail"), [(WHOLE, b""), (WHOLE, b"chunk"), (0xFFFFFFFF, b"")])
@pytest.mark.parametrize("name", SHORT)
def test_a_file_over_4_gib_is_read_to_its_end(
    name: str, stated: int, tail: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    header = HEADERS[name](stated)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 2**32)  # a hole, which takes no room
        file.seek(0, os.SEEK_END)
        file.write(body(name) + (tail and chunk_behind(name)))
    count = 2**32 // FRAME + NUM_SAMPLES
    with open_audio(path) as audio:
        assert audio.frames == count
    found = load_audio(
        path, sample_rate=RATE, start_sample=count - NUM_SAMPLES, num_samples=NUM_SAMPLES, channel=1
    )
    np.testing.assert_array_equal(found, samples()[:, 1].astype(np.float32) / 32768)


@pytest.mark.parametrize(
    ("subtype", "endian"),
    [("PCM_U8", "LITTLE"), ("PCM_24", "BIG"), ("PCM_24", "LITTLE"), ("PCM_32", "LITTLE"),
     ("FLOAT", "LITTLE"), ("DOUBLE", "BIG"), ("ULAW", "LITTLE"), ("ALAW", "LITTLE")],
)  # fmt: skip
def test_every_coding_of_a_stream_gives_the_numbers_of_its_file(
    subtype: str, endian: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, samples()[:2999], RATE, subtype=subtype, endian=endian)
    place: dict[str, Any] = {
        "sample_rate": RATE,
        "start_sample": 7,
        "num_samples": 2992,
        "channel": 1,
    }
    expected = load_audio(path, **place)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    assert scan_audio(path).num_samples == 2999
    np.testing.assert_array_equal(load_audio(path, **place), expected)


@pytest.mark.parametrize("stated", [0, 0x7FFFF000, 0xFFFFFFFF])
@pytest.mark.parametrize("coding", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "NMS_ADPCM_16"])
def test_samples_in_blocks_of_a_stream_are_those_of_its_file(
    coding: str, stated: int, tmp_path: Path
) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, samples()[:, 0], 8000, subtype=coding)
    count = scan_audio(path).num_samples
    place: dict[str, Any] = {"sample_rate": 8000, "start_sample": 5, "num_samples": count - 5}
    expected = load_audio(path, **place)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data = data[: at + 4 + int.from_bytes(data[at : at + 4], "little")]
    data[at : at + 4] = struct.pack("<I", stated)
    path.write_bytes(data)
    assert scan_audio(path).num_samples == count
    np.testing.assert_array_equal(load_audio(path, **place), expected)


@pytest.mark.parametrize(
    ("frames", "kind"),
    [(0, None), (0xFFFFFFFF, None), (NUM_SAMPLES - 1, "surplus"), (NUM_SAMPLES + 1, "truncated")],
)
def test_an_aiff_whose_number_of_samples_is_not_their_length_is_refused(
    frames: int, kind: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "x.aiff"
    head = bytearray(HEADERS["AIFF"](WHOLE))
    at = head.index(b"COMM") + 10
    head[at : at + 4] = struct.pack(">I", frames)
    path.write_bytes(head + body("AIFF"))
    if kind is None:
        assert_holds_the_samples(path)
    else:
        assert kind_of(path).kind == kind


def test_an_aiff_of_unknown_length_is_as_long_as_its_number_of_samples(tmp_path: Path) -> None:
    head = bytearray(HEADERS["AIFF"](WHOLE))
    at = head.index(b"SSND") + 4
    head[at : at + 4] = bytes(4)
    path = tmp_path / "x.aiff"
    path.write_bytes(head + body("AIFF") + chunk_behind("AIFF"))
    assert_holds_the_samples(path)


def test_a_header_that_was_written_twice_is_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    head = HEADERS["WAV"](0)
    path.write_bytes(head + head + body("WAV"))
    error = kind_of(path)
    assert (error.kind, error.expected) == ("damaged", "samples behind its header")


def test_a_wav_without_a_format_in_front_of_its_samples_is_damaged(tmp_path: Path) -> None:
    head = HEADERS["WAV"](WHOLE)
    (tmp_path / "x.wav").write_bytes(head[:12] + head[36:] + body("WAV") + head[12:36])
    assert kind_of(tmp_path / "x.wav").expected == "a fmt chunk in front of the data"


@pytest.mark.parametrize("length", [2**62, 2**63 - 1])
@pytest.mark.parametrize("name", ["W64", "CAF"])
def test_a_chunk_that_no_disk_holds_is_a_fault_of_the_file(
    name: str, length: int, tmp_path: Path
) -> None:
    data = bytearray(write(tmp_path / "x", name, WHOLE).read_bytes())
    at, code = (56, "<Q") if name == "W64" else (12, ">q")
    struct.pack_into(code, data, at, length)
    (tmp_path / "x").write_bytes(data)
    assert kind_of(tmp_path / "x").expected == "a data chunk"


@pytest.mark.parametrize("field", ["sample_count", "channel_count", "sample_rate"])
def test_a_number_of_thousands_of_digits_is_a_fault_of_the_file(field: str, tmp_path: Path) -> None:
    lines = HEADERS["NIST"](WHOLE).decode().rstrip().splitlines()
    lines = [f"{field} -i {'9' * 5000}" if line.startswith(field) else line for line in lines]
    (tmp_path / "x").write_bytes("\n".join(lines).encode().ljust(8192))
    assert kind_of(tmp_path / "x").kind == "truncated"


def test_a_walk_over_gigabytes_of_empty_chunks_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(HEADERS["WAV"](WHOLE)[:36])
    os.truncate(path, 2**32)  # a hole, which takes no room
    assert kind_of(path).expected == "a data chunk"


def test_a_format_that_contradicts_itself_is_damaged(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "x.wav", "WAV", WHOLE).read_bytes())
    struct.pack_into("<H", data, 34, 24)  # bits, in blocks of two samples of 16
    (tmp_path / "x.wav").write_bytes(data)
    error = kind_of(tmp_path / "x.wav")
    assert (error.kind, error.got) == ("damaged", "2 channels of 24 bits in 4 bytes")
