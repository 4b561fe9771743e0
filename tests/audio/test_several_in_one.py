"""Several files or streams in one: all of it is read, or it is refused by name."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from featbank.audio import audio_digest, load_audio, open_audio, scan_audio
from featbank.audio.containers.pages import ended_page, pages_of
from featbank.errors import AudioError
from tests.ffmpeg_files import ENCODED, NUM_SAMPLES, SPEECH, encode, ffmpeg, needs_ffmpeg

ID3V1 = b"TAG" + b"x" * 125
ID3V1_MORE = b"TAG+" + b"x" * 223 + ID3V1
ID3V2 = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 41, 1, 0xA0000000) + bytes(8)
APE += (
    b"\x01\0\0\0\0\0\0\0k" + b"APETAGEX" + struct.pack("<IIII", 2000, 41, 1, 0x80000000) + bytes(8)
)
BETWEEN = {
    "nothing": b"",
    "ID3v1": ID3V1,
    "a longer ID3v1": ID3V1_MORE,
    "APE and ID3v1": APE + ID3V1,
    "Lyrics3": b"LYRICSBEGININD0000200000021LYRICS200" + ID3V1,
    "ID3v1 and ID3v2": ID3V1 + ID3V2,
    "zeros": bytes(1000),
    "many zeros": bytes(100_000),
}
MORE = 4 * 1152  # samples that encoders add at both ends of two files


def speech() -> np.ndarray:
    return soundfile.read(SPEECH, dtype="float32")[0]


def fault_of(path: Path, **how: list[str]) -> AudioError:
    with pytest.raises(AudioError) as caught:
        scan_audio(path, **how)
    return caught.value


@pytest.fixture(scope="module")
def one_mp3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return an MP3 of the speech that counts its frames, without a tag."""
    path = tmp_path_factory.mktemp("mp3") / "x.mp3"
    soundfile.write(path, speech(), 16_000, format="MP3", subtype="MPEG_LAYER_III")
    return path.read_bytes()


def first_frame(mp3: bytes) -> int:
    """Return the bytes of the frame that holds the count."""
    kbits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[mp3[2] >> 4]
    return 72_000 * kbits // 16_000 + (mp3[2] >> 1 & 1)


def count_at(mp3: bytes) -> int:
    return max(mp3.find(b"Xing"), mp3.find(b"Info")) + 8


@needs_ffmpeg
@pytest.mark.parametrize("between", BETWEEN)
def test_mp3s_in_a_row_are_read_to_the_last_whatever_is_between(
    between: str, one_mp3: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(one_mp3 + BETWEEN[between] + one_mp3 + BETWEEN[between])
    assert 0 <= scan_audio(path).num_samples - 2 * NUM_SAMPLES <= MORE
    # the second half is the speech again
    found = load_audio(path, sample_rate=16_000, num_samples=2 * NUM_SAMPLES)[NUM_SAMPLES:]
    excerpt = speech()[60_000:62_000]
    match = np.correlate(found, excerpt).max() / np.dot(excerpt, excerpt)
    assert 0.9 < match < 1.1


@needs_ffmpeg
def test_mp3s_in_a_row_that_count_nothing_are_read_to_the_last(
    one_mp3: bytes, tmp_path: Path
) -> None:
    bare, path = one_mp3[first_frame(one_mp3) :], tmp_path / "x.mp3"
    path.write_bytes(bare + ID3V1 + bare + ID3V1)
    assert 0 <= scan_audio(path).num_samples - 2 * NUM_SAMPLES <= MORE


def test_an_mp3_between_tags_is_for_libsndfile(one_mp3: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(ID3V2 + one_mp3 + APE + ID3V1_MORE + bytes(5000))
    assert scan_audio(path).num_samples == NUM_SAMPLES
    with open_audio(path) as file:
        assert file.can_seek


@pytest.mark.parametrize("garbage", [b"\x55" * 700, b"not audio", b"\xff\xfb" * 30])
def test_garbage_between_frames_is_damage_and_behind_them_nothing(
    garbage: bytes, one_mp3: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(one_mp3 + garbage + one_mp3)
    error = fault_of(path)
    assert (error.kind, error.expected) == ("damaged", "frames and tags")
    assert error.got == f"something else at byte {len(one_mp3)}"
    path.write_bytes(one_mp3 + garbage)
    assert scan_audio(path).num_samples == NUM_SAMPLES
    path.write_bytes(one_mp3[first_frame(one_mp3) :] + garbage)  # nothing counts it
    assert fault_of(path).kind == "damaged"


@pytest.mark.parametrize(("rate", "channels"), [(22_050, 1), (16_000, 2), (44_100, 1)])
def test_mp3s_in_a_row_of_two_forms_are_refused(
    rate: int, channels: int, one_mp3: bytes, tmp_path: Path
) -> None:
    path, other = tmp_path / "x.mp3", tmp_path / "other.mp3"
    sound = np.stack([speech()[:rate]] * channels, axis=1)
    soundfile.write(other, sound, rate, format="MP3", subtype="MPEG_LAYER_III")
    path.write_bytes(one_mp3 + ID3V1 + other.read_bytes())
    error = fault_of(path)
    assert (error.kind, error.expected) == ("unknown_format", "16000 Hz mono throughout")
    assert error.got == f"{rate} Hz {'mono' if channels == 1 else 'stereo'}"


@needs_ffmpeg
def test_a_count_that_holds_its_own_frame_is_no_other(one_mp3: bytes, tmp_path: Path) -> None:
    path, at = tmp_path / "x.mp3", count_at(one_mp3)
    count = int.from_bytes(one_mp3[at : at + 4], "big")
    path.write_bytes(one_mp3[:at] + struct.pack(">I", count + 1) + one_mp3[at + 4 :])
    assert 0 <= scan_audio(path).num_samples - NUM_SAMPLES <= MORE
    path.write_bytes(one_mp3[:at] + struct.pack(">I", count + 3) + one_mp3[at + 4 :])
    assert fault_of(path).kind == "truncated"
    path.write_bytes(one_mp3[:at] + struct.pack(">I", count // 2) + one_mp3[at + 4 :])
    assert 0 <= scan_audio(path).num_samples - NUM_SAMPLES <= MORE  # read whole all the same


@needs_ffmpeg
def test_fraunhofer_s_count_is_held_against_the_frames(one_mp3: bytes, tmp_path: Path) -> None:
    own, path = first_frame(one_mp3), tmp_path / "x.mp3"
    count = int.from_bytes(one_mp3[count_at(one_mp3) :][:4], "big")
    vbri = struct.pack(">4sHHHIIHHHH", b"VBRI", 1, 0, 50, len(one_mp3), count, 0, 1, 2, 0)
    frame = (one_mp3[:4] + bytes(32) + vbri).ljust(own, b"\0")
    path.write_bytes(frame + one_mp3[own:])
    assert 0 <= scan_audio(path).num_samples - NUM_SAMPLES <= MORE
    path.write_bytes((frame + one_mp3[own:])[: len(one_mp3) // 2])
    error = fault_of(path)
    assert (error.kind, error.expected) == ("truncated", f"{count} frames")


def test_an_mp3_that_counts_nothing_and_ends_in_a_frame_is_cut_short(
    one_mp3: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(one_mp3[first_frame(one_mp3) : -10])
    error = fault_of(path)
    assert (error.kind, error.got) == ("truncated", "one that lacks 10 bytes")


@needs_ffmpeg
def test_what_ffmpeg_leaves_out_of_the_frames_is_found(
    one_mp3: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(one_mp3 + ID3V1 + one_mp3)
    monkeypatch.setattr(
        "featbank.audio.ffmpeg._input",
        lambda pieces: f"subfile,,start,0,end,{len(one_mp3)},,:/dev/fd/{pieces[0][0]}",
    )
    error = fault_of(path)
    assert error.kind == "truncated"
    assert "does not decode to its end" in str(error)


def without_end(path: Path) -> Path:
    """Take the mark off the last page, as a muxer leaves it that never knows its last."""
    with path.open("rb") as file:
        page = pages_of(file, path.stat().st_size).streams[-1].page
        [(flags_at, flags), (crc_at, _)] = ended_page(file, page)
    data = bytearray(path.read_bytes())
    assert data[flags_at : flags_at + 1] == flags  # it is marked, under the checksum that is there
    data[flags_at] &= ~4
    data[crc_at : crc_at + 4] = _crc(data[page:], crc_at - page)
    path.write_bytes(data)
    return path


def _crc(page: bytes | bytearray, at: int) -> bytes:
    """Compute the checksum of a page bit by bit (RFC 3533)."""
    crc = 0
    for byte in page[:at] + bytes(4) + page[at + 4 :]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return struct.pack("<I", crc)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_its_end_mark_is_taken_where_that_is_tolerated(
    subtype: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.ogg"
    soundfile.write(path, speech(), 16_000, format="OGG", subtype=subtype)
    whole = load_audio(path, sample_rate=16_000, num_samples=NUM_SAMPLES)
    without_end(path)
    error = fault_of(path)
    assert (error.kind, error.expected) == ("truncated", "a page that ends the stream")
    assert "tolerate: [ogg_end]" in error.hint
    scan = scan_audio(path, tolerate=["ogg_end"])
    assert scan.num_samples == NUM_SAMPLES  # by its last page: not up to a whole packet
    # at extraction the digest says that it is the file that was taken
    place = {"sample_rate": 16_000, "num_samples": NUM_SAMPLES}
    np.testing.assert_array_equal(load_audio(path, digest=scan.digest, **place), whole)
    with pytest.raises(AudioError, match="cut short"):
        load_audio(path, **place)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_that_ends_in_a_page_is_cut_short_whatever_is_tolerated(
    subtype: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.ogg"
    soundfile.write(path, speech(), 16_000, format="OGG", subtype=subtype)
    data = path.read_bytes()
    last = data.rindex(b"OggS")
    for stop in (len(data) - 1, last + 27, last + 4, last + 3, last + 1):
        path.write_bytes(data[:stop])
        error = fault_of(path, tolerate=["ogg_end"])
        assert (error.kind, error.got, error.hint) == ("truncated", "part of a page", "")


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["libvorbis", "flac", "libspeex"])
def test_a_tolerated_ogg_is_that_with_its_end(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    ffmpeg("-i", SPEECH, "-c:a", codec, path)
    num_samples = scan_audio(path).num_samples
    assert fault_of(without_end(path)).kind == "truncated"
    assert scan_audio(path, tolerate=["ogg_end"]).num_samples == num_samples


@needs_ffmpeg
def test_an_ogg_in_a_row_with_itself_is_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    soundfile.write(path, speech(), 16_000, format="OGG", subtype="VORBIS")
    path.write_bytes(path.read_bytes() * 2)  # of one serial number
    assert 0 <= scan_audio(path).num_samples - 2 * NUM_SAMPLES <= 2048


def _vorbis(path: Path, sound: np.ndarray, rate: int) -> bytes:
    soundfile.write(path, sound, rate, format="OGG", subtype="VORBIS")
    return path.read_bytes()


def test_streams_of_an_ogg_that_are_not_alike_or_not_whole_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    one = _vorbis(path, speech(), 16_000)
    for other in (
        _vorbis(path, speech(), 22_050),
        _vorbis(path, np.stack([speech()] * 2, 1), 16_000),
    ):
        path.write_bytes(one + other)
        error = fault_of(path)
        assert error.kind == "unknown_format"
        assert "Vorbis of 16000 Hz and 1 channels, Vorbis of" in str(error.got)
    path.write_bytes(one[: one.rindex(b"OggS")] + one)
    for tolerate in ([], ["ogg_end"]):
        assert fault_of(path, tolerate=tolerate).kind == "truncated"
    path.write_bytes(one[:5000] + b"\x55" * 99 + one[5000:])
    assert fault_of(path).kind in ("damaged", "truncated")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_damaged_page_is_damage_even_if_it_is_the_last(subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    soundfile.write(path, speech(), 16_000, format="OGG", subtype=subtype)
    whole = path.read_bytes()
    for at in (whole.rindex(b"OggS"), whole.index(b"OggS", len(whole) // 2)):
        data = bytearray(whole)
        data[whole.find(b"OggS", at + 1) - 1] ^= 1  # its last byte; of the last page, the file's
        path.write_bytes(data)
        error = fault_of(path)
        assert (error.kind, error.got) == ("damaged", f"another at byte {at}")


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["flac", "libvorbis", "libopus"])
def test_a_page_that_is_missing_is_damage(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    ffmpeg("-i", SPEECH, "-c:a", codec, "-page_duration", "100000", path)
    data = path.read_bytes()
    pages = [at for at in range(len(data)) if data.startswith(b"OggS\0", at)]
    path.write_bytes(data[: pages[9]] + data[pages[10] :])
    error = fault_of(path)
    assert (error.kind, error.got) == (
        "damaged", f"one that is missing before byte {pages[9]}",
    )  # fmt: skip


@needs_ffmpeg
@pytest.mark.parametrize("name", ["x.m4a", "x.mka"])
def test_of_several_tracks_none_is_taken(name: str, tmp_path: Path) -> None:
    two = ["-i", SPEECH, "-i", SPEECH, "-map", "0:a", "-map", "1:a"]
    ffmpeg(*two, *ENCODED[name][0], tmp_path / name)
    error = fault_of(tmp_path / name)
    assert (error.kind, error.expected, error.got) == (
        "unknown_format", "one track of sound", "several",
    )  # fmt: skip


@needs_ffmpeg
@pytest.mark.parametrize("name", ["x.m4a", "x.mka", "x.wma"])
def test_a_second_file_behind_one_of_ffmpeg_is_refused(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name)
    one, num_samples = path.read_bytes(), scan_audio(path).num_samples
    for between in (b"", ID3V1, bytes(100)):
        path.write_bytes(one + between + one)
        assert fault_of(path).kind in ("surplus", "truncated")
    path.write_bytes(one + ID3V1 + bytes(100))
    assert scan_audio(path).num_samples == num_samples


@needs_ffmpeg
def test_aac_in_a_row_is_read_over_tags_and_refused_over_garbage(tmp_path: Path) -> None:
    path = encode(tmp_path / "x.aac")
    one, num_samples = path.read_bytes(), scan_audio(path).num_samples
    for between in (b"", ID3V1, ID3V2, APE):
        path.write_bytes(one + between + one)
        assert 0 <= 2 * num_samples - scan_audio(path).num_samples <= 1024
    path.write_bytes(one + b"\x55" * 300 + one)
    assert fault_of(path).kind == "damaged"
    path.write_bytes(one[:-5])
    assert fault_of(path).kind == "truncated"
    ffmpeg("-i", SPEECH, "-ar", "24000", "-c:a", "aac", tmp_path / "other.aac")
    path.write_bytes(one + (tmp_path / "other.aac").read_bytes())
    assert fault_of(path).kind == "unknown_format"


def flac(path: Path, sound: np.ndarray, *, stated: int | None = None, md5: bool = True) -> bytes:
    """Write a FLAC that states another number of samples, or no MD5."""
    soundfile.write(path, sound, 16_000, format="FLAC", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    if stated is not None:
        packed = int.from_bytes(data[18:26], "big")
        data[18:26] = (packed >> 36 << 36 | stated).to_bytes(8, "big")
    if not md5:
        data[26:42] = bytes(16)
    path.write_bytes(data)
    return bytes(data)


@pytest.mark.parametrize("md5", [True, False])
@pytest.mark.parametrize("stated", [1, 4096, 100_000, NUM_SAMPLES - 1])
def test_a_flac_that_states_less_than_it_holds_is_refused(
    stated: int, md5: bool, tmp_path: Path
) -> None:
    flac(tmp_path / "x.flac", speech(), stated=stated, md5=md5)
    error = fault_of(tmp_path / "x.flac")
    assert (error.kind, error.expected, error.got) == (
        "surplus", f"{stated} samples", str(NUM_SAMPLES),
    )  # fmt: skip


def test_a_short_flac_that_states_less_is_refused(tmp_path: Path) -> None:
    flac(tmp_path / "x.flac", speech()[:1000], stated=999, md5=False)
    assert fault_of(tmp_path / "x.flac").got == "1000"


@pytest.mark.parametrize("md5", [True, False])
def test_flacs_in_a_row_are_refused(md5: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    one = flac(path, speech(), md5=md5)
    path.write_bytes(one + one)
    error = fault_of(path)
    assert (error.kind, error.got) == ("surplus", f"another from byte {len(one)} on")


@pytest.mark.parametrize("md5", [True, False])
@pytest.mark.parametrize("tail", ["ID3v1", "a longer ID3v1", "APE and ID3v1", "Lyrics3"])
def test_tags_behind_a_flac_are_left_out(tail: str, md5: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(flac(path, speech(), md5=md5) + BETWEEN[tail])
    assert scan_audio(path).num_samples == NUM_SAMPLES
    found = load_audio(path, sample_rate=16_000, start_sample=100_000, num_samples=13_600)
    np.testing.assert_array_equal(found, speech()[100_000:])


def test_garbage_behind_a_flac_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(flac(path, speech()) + b"\x55" * 5000)
    assert fault_of(path).kind == "damaged"


def test_the_speech_of_the_demo_corpus_is_whole() -> None:
    for path in SPEECH.parents[1].rglob("*.flac"):
        assert scan_audio(path).digest == audio_digest(path)
