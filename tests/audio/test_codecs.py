"""The decoder is chosen by what codes the samples, whatever container they are in."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from featbank.audio import load_audio, open_audio, scan_audio
from featbank.audio.window import FileWindow
from featbank.errors import AudioError
from tests.ffmpeg_files import NUM_SAMPLES, SPEECH, encode, ffmpeg, needs_ffmpeg
from tests.headed_files import HEADERS, RATE, WHOLE, body

_BITS = {8: 1, 12: 2, 16: 4, 20: 5, 24: 6, 32: 7}  # FLAC's codes of widths
_BLOCK = 1024


def _crc(data: bytes, polynomial: int, bits: int) -> bytes:
    crc, top = 0, 1 << bits - 1
    for byte in data:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ (polynomial if crc & top else 0)) & (1 << bits) - 1
    return crc.to_bytes(bits // 8, "big")


def verbatim_flac(samples: np.ndarray, bits: int) -> bytes:
    """Code samples of any width as FLAC does what it cannot shrink (RFC 9639)."""
    frames = b""
    for number, start in enumerate(range(0, len(samples), _BLOCK)):
        block = samples[start : start + _BLOCK]
        head = struct.pack(">HBBBH", 0xFFF8, 0x70, _BITS[bits] << 1, number, len(block) - 1)
        coded = "00000010" + "".join(f"{int(one) & (1 << bits) - 1:0{bits}b}" for one in block)
        coded += "0" * (-len(coded) % 8)
        frame = head + _crc(head, 0x07, 8) + int(coded, 2).to_bytes(len(coded) // 8, "big")
        frames += frame + _crc(frame, 0x8005, 16)
    width = (bits + 7) // 8
    plain = b"".join(int(one).to_bytes(width, "little", signed=True) for one in samples)
    packed = RATE << 44 | bits - 1 << 36 | len(samples)
    info = struct.pack(">HH6sQ", _BLOCK, _BLOCK, b"", packed) + hashlib.md5(plain).digest()  # noqa: S324
    return b"fLaC\x80\0\0\x22" + info + frames


@needs_ffmpeg
@pytest.mark.parametrize("bits", [8, 12, 16, 20, 24])
def test_flac_of_any_width_gives_its_numbers(bits: int, tmp_path: Path) -> None:
    top = 1 << bits - 1
    samples = np.random.default_rng(bits).integers(-top, top, 5000)
    path = tmp_path / "x.flac"
    path.write_bytes(verbatim_flac(samples, bits))
    assert scan_audio(path).num_samples == 5000
    found = load_audio(path, sample_rate=RATE, num_samples=4999, start_sample=1)
    np.testing.assert_array_equal(found, (samples[1:] / top).astype(np.float32))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(AudioError) as caught:
        scan_audio(path)
    assert caught.value.kind in ("truncated", "damaged")


@needs_ffmpeg
def test_flac_of_32_bits_is_decoded_or_blamed_on_ffmpeg(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-(2**31), 2**31, 5000)
    path = tmp_path / "x.flac"
    path.write_bytes(verbatim_flac(samples, 32))
    try:
        found = load_audio(path, sample_rate=RATE, num_samples=5000)
    except AudioError:
        with pytest.raises(AudioError, match="an older ffmpeg may lack its codec") as caught:
            scan_audio(path)
        assert caught.value.kind == "damaged"
    else:
        np.testing.assert_array_equal(found, (samples / 2**31).astype(np.float32))
        assert scan_audio(path).num_samples == 5000


def _wav(tag: int, data: bytes, fact: int = 0) -> bytes:
    form = struct.pack("<HHIIHHH", tag, 1, 16_000, 8000, 1, 16, 0)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"fact" + struct.pack("<II", 4, fact) if fact else b""
    chunks += b"data" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@needs_ffmpeg
def test_aac_in_a_wav_is_decoded_by_its_tag(tmp_path: Path) -> None:
    aac = encode(tmp_path / "x.aac")
    (tmp_path / "x.wav").write_bytes(_wav(0x1600, aac.read_bytes()))
    assert scan_audio(tmp_path / "x.wav").num_samples == scan_audio(aac).num_samples


@needs_ffmpeg
def test_mp3_in_a_wav_is_held_against_the_length_that_is_stated_for_it(tmp_path: Path) -> None:
    mp3, path = tmp_path / "x.mp3", tmp_path / "x.wav"
    ffmpeg("-i", SPEECH, "-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0", mp3)
    data = mp3.read_bytes()
    path.write_bytes(_wav(0x55, data, NUM_SAMPLES))
    assert 0 <= scan_audio(path).num_samples - NUM_SAMPLES <= 4 * 1152
    path.write_bytes(_wav(0x55, data[: len(data) // 2], NUM_SAMPLES))
    with pytest.raises(AudioError) as caught:
        scan_audio(path)
    assert caught.value.kind in ("truncated", "damaged")
    path.write_bytes(_wav(0x55, data)[:-1000])
    with pytest.raises(AudioError, match=f"{len(data)} bytes of samples, got {len(data) - 1000}"):
        scan_audio(path)
    path.write_bytes(_wav(0x55, data) + data)
    with pytest.raises(AudioError, match="goes on behind what it states"):
        scan_audio(path)


@needs_ffmpeg
def test_a_wav_of_no_known_codec_is_no_known_format(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(_wav(0x4321, bytes(1000)))
    with pytest.raises(AudioError) as caught:
        scan_audio(tmp_path / "x.wav")
    assert caught.value.kind in ("unknown_format", "damaged")


@pytest.mark.parametrize("coding", ["pcm,embedded-shorten-v2.00", "ulaw,embedded-shorten-v2.00"])
def test_a_compressed_sphere_file_names_what_opens_it(coding: str, tmp_path: Path) -> None:
    head = HEADERS["NIST"](WHOLE).rstrip()
    line = f"sample_coding -s{len(coding)} {coding}\nend_head\n".encode()
    path = tmp_path / "x.sph"
    path.write_bytes(head.replace(b"end_head", line).ljust(1024) + b"ajkg" + bytes(500))
    with pytest.raises(AudioError) as caught:
        scan_audio(path)
    assert caught.value.kind == "unknown_format"
    assert caught.value.got == "one compressed by embedded-shorten-v2.00"
    assert "sph2pipe" in caught.value.hint


def test_shorten_in_a_sphere_file_that_does_not_say_so_is_known_by_its_bytes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.sph"
    path.write_bytes(HEADERS["NIST"](WHOLE) + b"ajkg" + body("NIST")[4:])
    with pytest.raises(AudioError, match="compressed by shorten"):
        scan_audio(path)


@pytest.mark.parametrize("coding", ["ulaw", "alaw", "pcm"])
def test_a_streamed_sphere_file_is_read_by_its_coding(coding: str, tmp_path: Path) -> None:
    path, plain = tmp_path / "x.sph", tmp_path / "x.wav"
    subtype = {"ulaw": "ULAW", "alaw": "ALAW", "pcm": "PCM_16"}[coding]
    soundfile.write(plain, soundfile.read(SPEECH)[0], RATE, subtype=subtype)
    data = plain.read_bytes()
    at = data.index(b"data") + 8
    width = 2 if coding == "pcm" else 1
    lines = f"NIST_1A\n   1024\nsample_count -i 0\nsample_n_bytes -i {width}\n"
    lines += f"sample_rate -i {RATE}\nsample_coding -s{len(coding)} {coding}\n"
    lines += "sample_byte_format -s2 01\nend_head\n"
    path.write_bytes(lines.encode().ljust(1024) + data[at : at + NUM_SAMPLES * width])
    place = {"sample_rate": RATE, "num_samples": NUM_SAMPLES, "channel": 0}
    np.testing.assert_array_equal(load_audio(path, **place), load_audio(plain, **place))


def test_a_read_that_fails_behind_a_header_without_a_length_is_the_machine_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(HEADERS["WAV"](0) + body("WAV") * 50)
    really_read = os.preadv

    def fail(descriptor: int, buffers: list[memoryview], at: int) -> int:
        if at > 100_000:
            raise OSError(5, "Input/output error")
        return really_read(descriptor, buffers, at)

    monkeypatch.setattr("featbank.audio.window.os.preadv", fail)
    with pytest.raises(OSError, match="Input/output error"):
        scan_audio(path)
    with open_audio(path) as file:
        while len(file.read(1 << 14)):
            pass
        with pytest.raises(OSError, match="Input/output error"):
            file.check_end()


def test_a_window_is_a_part_of_a_file_with_some_bytes_mended(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    with path.open("rb") as file:
        window = FileWindow(file.fileno(), 10, 20, ((9, b"ab"), (12, b"cd"), (19, b"ef")))
        assert window.read() == b"b\x0bcd\x0e\x0f\x10\x11\x12e"
        assert (window.tell(), window.read(5)) == (10, b"")
        assert (window.seek(-3, os.SEEK_END), window.read(2)) == (7, b"\x11\x12")
        assert (window.seek(3), window.read(1)) == (3, b"d")
