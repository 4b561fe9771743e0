"""What a file really holds, and one utterance of it."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from featbank.audio import (
    audio_digest,
    load_audio,
    read_segment,
    resampled_length,
    scan_audio,
)
from featbank.base.manifest import MIX_CHANNELS
from featbank.errors import AudioError

SPEECH = Path(__file__).parents[2] / "corpora/demo/librivox_austen/sense-01-0870.flac"
WRITERS = {
    "x.wav": ("WAV", "PCM_16"),
    "x-float.wav": ("WAV", "FLOAT"),
    "x-rf64.wav": ("RF64", "PCM_16"),
    "x.flac": ("FLAC", "PCM_16"),
    "x.ogg": ("OGG", "VORBIS"),
    "x.opus": ("OGG", "OPUS"),
    "x.mp3": ("MP3", "MPEG_LAYER_III"),
    "x.aiff": ("AIFF", "PCM_16"),
    "x.au": ("AU", "PCM_16"),
    "x.sph": ("NIST", "PCM_16"),
    "x-ima.wav": ("WAV", "IMA_ADPCM"),
    # libsndfile cannot seek in these
    "x-gsm.wav": ("WAV", "GSM610"),
    "x-nms.wav": ("WAV", "NMS_ADPCM_16"),
    "x-g721.au": ("AU", "G721_32"),
    "x-g723.au": ("AU", "G723_24"),
    "x-dwvw.aiff": ("AIFF", "DWVW_16"),
}
PADDED = {"x-ima.wav": 505, "x-gsm.wav": 320, "x-g721.au": 120, "x-g723.au": 120}  # to whole blocks
NO_LENGTH = 18  # where a FLAC's rate, channels, width and number of samples stand, in 8 bytes


def speech() -> np.ndarray:
    return soundfile.read(SPEECH, dtype="float32")[0]


def write(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    kind, subtype = WRITERS.get(path.name, WRITERS["x.wav"])
    soundfile.write(path, samples, rate, format=kind, subtype=subtype)
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_scan_gives_the_length_of_a_whole_file(tmp_path: Path, name: str) -> None:
    scan = scan_audio(write(tmp_path / name, speech()))
    assert (scan.sample_rate, scan.num_channels) == (16000, 1)
    assert 0 <= scan.num_samples - len(speech()) <= PADDED.get(name, 0)


@pytest.mark.parametrize("kept", [0.9999, 0.5, 0.1])
@pytest.mark.parametrize("name", WRITERS)
def test_scan_refuses_a_file_that_is_cut_short(tmp_path: Path, name: str, kept: float) -> None:
    path = write(tmp_path / name, speech())
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(AudioError) as caught:
        scan_audio(path)
    assert caught.value.expected
    assert caught.value.got
    assert str(path) in str(caught.value)


def test_a_cut_wav_names_the_bytes_that_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", np.zeros(1000, np.float32))
    os.truncate(path, 44 + 600)
    with pytest.raises(AudioError, match=r"cut short: expected 2000 bytes of samples, got 600"):
        scan_audio(path)


def test_a_cut_flac_names_the_samples_that_its_header_promises(tmp_path: Path) -> None:
    path = write(tmp_path / "x.flac", speech())
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(AudioError, match=r"does not decode: expected 113600 samples, got"):
        scan_audio(path)


def test_a_cut_mp3_names_the_samples_that_decode(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp3", speech())
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(AudioError, match=r"expected 113600 samples, got \d+ decoded"):
        scan_audio(path)


def test_scan_takes_a_wav_whose_length_its_writer_could_not_fill_in(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", speech())
    written = bytearray(path.read_bytes())
    written[4:8] = written[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(written)
    assert scan_audio(path).num_samples == len(speech())


def test_scan_takes_tags_around_an_mp3(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp3", speech())
    id3 = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
    path.write_bytes(id3 + path.read_bytes() + b"TAG" + bytes(125))
    assert scan_audio(path).num_samples == len(speech())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected audio, got an empty file"),
        (b"not audio at all", "expected FLAC, WAV, .*, got a file that begins with b'not '"),
        (b"RIFF\x24\0\0\0WAVEjunk", "expected a data chunk, got the end of the file"),
        (b"RIFF\x24\0\0\0AVI LIST", r"x.wav: expected WAVE, got RIFF with b'AVI ' in it"),
        (b"RIFF", r"x.wav: expected WAVE, got RIFF with b'' in it"),
        (b"FORM\0\0\0\x24ILBMBMHD", r"x.wav: expected AIFF or AIFC, got FORM with b'ILBM'"),
        (b"OggS", "expected a page that ends the stream, got part of a page"),
        (b"NIST_1A\n   1024\n", "expected a header with sample_count and sample_n_bytes, got none"),
        (b"fLaC" + bytes(100), "does not decode: expected audio, got"),
    ],
)
def test_scan_refuses_what_is_no_audio(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=message):
        scan_audio(path)


def test_scan_refuses_a_file_without_samples(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", np.zeros(0, np.float32))
    with pytest.raises(AudioError, match="expected at least one sample, got none"):
        scan_audio(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scan_and_load_refuse_samples_that_are_not_finite(tmp_path: Path, bad: float) -> None:
    samples = np.zeros(100_000, np.float32)
    samples[90_000] = bad
    path = write(tmp_path / "x-float.wav", samples)
    with pytest.raises(AudioError, match="expected finite samples, got 1 NaN or infinite"):
        scan_audio(path)
    with pytest.raises(AudioError, match="expected finite samples"):
        load_audio(path, sample_rate=16000, num_samples=100_000)
    assert len(load_audio(path, sample_rate=16000, num_samples=90_000)) == 90_000


@pytest.mark.parametrize("use", [scan_audio, audio_digest])
def test_a_missing_file_a_folder_and_a_pipe_are_faults_of_the_corpus(tmp_path: Path, use) -> None:  # noqa: ANN001
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match="expected a readable file, got No such file"):
        use(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="expected a file, got a folder"):
        use(tmp_path / "folder.wav")
    with pytest.raises(AudioError, match="expected a file, got a pipe"):
        use(tmp_path / "pipe.wav")


def test_digest_of_a_flac_is_the_md5_of_its_samples_whatever_its_tags(tmp_path: Path) -> None:
    samples = (speech() * 32768).astype("<i2")
    path = tmp_path / "x.flac"
    soundfile.write(path, samples, 16000)
    assert audio_digest(path) == f"md5:{hashlib.md5(samples.tobytes()).hexdigest()}"  # noqa: S324
    before = path.read_bytes()
    with soundfile.SoundFile(path, "w", 16000, 1) as file:
        file.title = "another"
        file.write(samples)
    assert path.read_bytes() != before
    assert audio_digest(path) == f"md5:{hashlib.md5(samples.tobytes()).hexdigest()}"  # noqa: S324


def test_digest_of_a_flac_without_md5_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.flac", speech())
    written = bytearray(path.read_bytes())
    written[26:42] = bytes(16)
    path.write_bytes(written)
    assert audio_digest(path) == f"sha256:{hashlib.sha256(written).hexdigest()}"
    assert scan_audio(path).num_samples == len(speech())


def test_digest_of_another_format_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", speech())
    assert audio_digest(path) == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_scan_checks_the_md5_of_a_flac(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, np.stack([speech(), -speech()], axis=1), 16000, subtype=subtype)
    assert scan_audio(path).num_channels == 2
    written = bytearray(path.read_bytes())
    written[26] ^= 1
    path.write_bytes(written)
    with pytest.raises(AudioError, match=r"is damaged: expected samples of md5:.*, got md5:"):
        scan_audio(path)


@pytest.mark.parametrize("channel", [0, 1, MIX_CHANNELS])
@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_a_flac_whose_md5_is_checked_gives_the_floats_of_its_decoder(
    tmp_path: Path, subtype: str, channel: int
) -> None:
    path, extremes = tmp_path / "x.flac", np.array([-1, 1, 2**-23, -(2**-15)])
    samples = np.concatenate([speech(), extremes])
    soundfile.write(path, np.stack([samples, -0.3 * samples], axis=1), 16000, subtype=subtype)
    place = {"sample_rate": 16000, "num_samples": len(samples), "channel": channel}
    checked = load_audio(path, **place, digest=audio_digest(path))
    decoded = soundfile.read(path, dtype="float32")[0]
    expected = decoded.mean(axis=1) if channel == MIX_CHANNELS else decoded[:, channel]
    assert checked.dtype == np.float32
    assert checked.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"x.mp3", "x.opus"}))
def test_a_segment_is_that_part_of_the_whole(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, speech())
    whole = load_audio(path, sample_rate=16000, num_samples=len(speech()))
    # the last page of this Vorbis stream, where libsndfile's own seek goes astray, begins at 107008
    for start in (0, 1, 33_333, 107_522, 110_000):
        part = load_audio(path, sample_rate=16000, start_sample=start, num_samples=3000)
        np.testing.assert_array_equal(part, whole[start : start + 3000])


@pytest.mark.parametrize(("name", "tolerance"), [("x.mp3", 1e-6), ("x.opus", 5e-3)])
def test_a_segment_of_a_lossy_file_is_close_and_repeatable(
    tmp_path: Path, name: str, tolerance: float
) -> None:
    path = write(tmp_path / name, speech())
    whole = load_audio(path, sample_rate=16000, num_samples=len(speech()))
    for start in (1, 33_333, 110_000):
        part, again = (
            load_audio(path, sample_rate=16000, start_sample=start, num_samples=3000)
            for _ in range(2)
        )
        np.testing.assert_allclose(part, whole[start : start + 3000], atol=tolerance)
        np.testing.assert_array_equal(part, again)


@pytest.mark.parametrize("name", ["x.mp3", "x.opus"])
def test_a_lossy_segment_is_decoded_from_a_second_before_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / name, speech())
    sought: list[int] = []
    seek = soundfile.SoundFile.seek

    def spy(file: soundfile.SoundFile, frames: int, *rest: int) -> int:
        sought.append(frames)
        return seek(file, frames, *rest)

    monkeypatch.setattr(soundfile.SoundFile, "seek", spy)
    load_audio(path, sample_rate=16000, start_sample=50_000, num_samples=100)
    assert sought == [34_000]
    load_audio(path, sample_rate=16000, start_sample=500, num_samples=100)
    assert sought == [34_000, 0]
    load_audio(path, sample_rate=16000, num_samples=100)
    assert sought == [34_000, 0]  # what begins with its file needs no seek


def test_load_refuses_a_file_that_decodes_to_less_than_it_promises(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mp3", speech())
    os.truncate(path, path.stat().st_size // 2)
    for start in (0, 100_000):
        with pytest.raises(AudioError, match=r"cut short: expected \d+ samples, got \d+ decoded"):
            load_audio(
                path, sample_rate=16000, start_sample=start, num_samples=len(speech()) - start
            )


def streamed_flac(path: Path, *, md5: bool) -> Path:
    """Write a FLAC as an encoder does that cannot seek back to fill in its header."""
    written = bytearray(write(path, speech()).read_bytes())
    packed = int.from_bytes(written[NO_LENGTH : NO_LENGTH + 8], "big")
    written[NO_LENGTH : NO_LENGTH + 8] = (packed >> 36 << 36).to_bytes(8, "big")
    if not md5:
        written[26:42] = bytes(16)
    path.write_bytes(written)
    return path


@pytest.mark.parametrize("md5", [True, False])
def test_a_flac_that_states_no_length_is_read_whole(tmp_path: Path, md5: bool) -> None:
    path = streamed_flac(tmp_path / "x.flac", md5=md5)
    scan = scan_audio(path)
    assert scan.num_samples == len(speech())
    assert scan.digest.startswith("md5:" if md5 else "sha256:")
    whole = load_audio(path, sample_rate=16000, num_samples=len(speech()))
    np.testing.assert_array_equal(whole, speech())
    for start in (1, 33_333, 113_599):
        part = load_audio(path, sample_rate=16000, start_sample=start, num_samples=1)
        np.testing.assert_array_equal(part, whole[start : start + 1])
    with pytest.raises(AudioError, match="cut short: expected 2 samples, got 1 decoded"):
        load_audio(path, sample_rate=16000, start_sample=113_599, num_samples=2)


def test_a_flac_that_states_no_length_and_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = streamed_flac(tmp_path / "x.flac", md5=False)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(AudioError, match=r"does not decode: expected audio, got .*lost sync"):
        scan_audio(path)
    path = streamed_flac(tmp_path / "x.flac", md5=True)
    written = path.read_bytes()
    path.write_bytes(written[: written.rindex(b"\xff\xf8")])  # between two frames
    with pytest.raises(AudioError, match=r"is damaged: expected samples of md5:"):
        scan_audio(path)


@pytest.mark.parametrize("footer", [b"", b"3DI\x04\0\x10\0\0\x01\x0a"])
def test_digest_of_a_flac_behind_tags_is_the_md5_of_its_samples(
    tmp_path: Path, footer: bytes
) -> None:
    path = write(tmp_path / "x.flac", speech())
    digest = audio_digest(path)
    flags = b"\x10" if footer else b"\0"
    tag = b"ID3\x04\0" + flags + b"\0\0\x01\x0a" + bytes(128 + 10) + footer
    path.write_bytes(tag + tag + path.read_bytes())
    assert audio_digest(path) == digest


def test_scan_takes_a_flac_behind_tags_and_checks_its_md5(tmp_path: Path) -> None:
    path = write(tmp_path / "x.flac", speech())
    whole, tag = path.read_bytes(), b"ID3\x03\0\0\0\0\x01\x0a" + bytes(128 + 10)
    path.write_bytes(tag + whole)
    assert scan_audio(path).digest == f"md5:{whole[26:42].hex()}"
    path.write_bytes(tag + whole[:26] + bytes([whole[26] ^ 1]) + whole[27:])
    with pytest.raises(AudioError, match="is damaged"):
        scan_audio(path)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        # 128 kbit/s, 44100 Hz, one channel, and nothing allocated: silence
        (b"\xff\xfd\x80\xc4", "expected MPEG layer III, got MPEG layer II$"),
        (b"\xff\xff\x40\xc4", "expected MPEG layer III, got MPEG layer I$"),
    ],
)
def test_layers_i_and_ii_of_mpeg_are_refused_with_tags_and_without(
    tmp_path: Path, frame: bytes, message: str
) -> None:
    path = tmp_path / "x.mp3"
    length = 417 if frame[1] == 0xFD else 136
    frames = frame.ljust(length, b"\0") * 100
    path.write_bytes(frames)
    with pytest.raises(AudioError, match=r"expected FLAC, WAV, .*, got a file that begins with"):
        scan_audio(path)
    path.write_bytes(b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + frames)
    with pytest.raises(AudioError, match=message):
        scan_audio(path)


def test_scan_steps_over_a_chunk_of_odd_length(tmp_path: Path) -> None:
    written = write(tmp_path / "x.wav", speech()).read_bytes()
    odd = tmp_path / "odd.wav"
    odd.write_bytes(written[:36] + b"note\x03\0\0\0abc\0" + written[36:])
    assert scan_audio(odd).num_samples == len(speech())
    os.truncate(odd, odd.stat().st_size - 2)
    with pytest.raises(AudioError, match="expected 227200 bytes of samples, got 227198"):
        scan_audio(odd)


def test_scan_reads_a_big_endian_wav(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, speech(), 16000, format="WAV", endian="BIG")
    assert path.read_bytes()[:4] == b"RIFX"
    assert scan_audio(path).num_samples == len(speech())
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(AudioError, match="expected 227200 bytes of samples, got"):
        scan_audio(path)


def test_scan_counts_the_channels_of_a_nist_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x.sph", np.stack([speech(), -speech()], axis=1))
    assert (scan_audio(path).num_channels, scan_audio(path).num_samples) == (2, len(speech()))
    os.truncate(path, path.stat().st_size * 3 // 4)
    with pytest.raises(AudioError, match="expected 454400 bytes of samples, got"):
        scan_audio(path)


def test_scan_takes_an_au_whose_length_its_writer_could_not_fill_in(tmp_path: Path) -> None:
    path = write(tmp_path / "x.au", speech())
    written = bytearray(path.read_bytes())
    written[8:12] = struct.pack(">I", 0xFFFFFFFF)
    path.write_bytes(written)
    assert scan_audio(path).num_samples == len(speech())


@pytest.mark.parametrize("name", ["x.ogg", "x.opus"])
def test_scan_refuses_an_ogg_that_is_cut_between_two_pages(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, speech())
    os.truncate(path, path.read_bytes().rindex(b"OggS"))
    with pytest.raises(
        AudioError, match="expected a page that ends the stream, got a page of its middle"
    ):
        scan_audio(path)


def test_load_picks_a_channel_or_mixes(tmp_path: Path) -> None:
    left, right = np.full(800, 0.25, np.float32), np.full(800, -0.75, np.float32)
    path = write(tmp_path / "x-float.wav", np.stack([left, right], axis=1))
    for channel, value in ((0, 0.25), (1, -0.75), (MIX_CHANNELS, -0.25)):
        waveform = load_audio(path, sample_rate=16000, num_samples=800, channel=channel)
        assert waveform.dtype == np.float32
        np.testing.assert_array_equal(waveform, np.full(800, value, np.float32))


def test_load_resamples_as_soxr_does(tmp_path: Path) -> None:
    path = write(tmp_path / "x-float.wav", speech(), rate=22050)
    waveform = load_audio(path, sample_rate=22050, num_samples=50_000, target_rate=16000)
    expected = soxr.resample(speech()[:50_000], 22050, 16000, quality="HQ")
    np.testing.assert_array_equal(waveform, expected)
    assert len(waveform) == resampled_length(50_000, 22050, 16000)


def test_load_refuses_a_file_that_is_not_as_the_manifest_says() -> None:
    with pytest.raises(AudioError, match="expected 8000 Hz, got 16000 Hz"):
        load_audio(SPEECH, sample_rate=8000, num_samples=10)
    with pytest.raises(AudioError, match="expected a channel 1, got 1 channels"):
        load_audio(SPEECH, sample_rate=16000, num_samples=10, channel=1)
    with pytest.raises(AudioError, match="expected samples up to 113601, got 113600"):
        load_audio(SPEECH, sample_rate=16000, start_sample=1, num_samples=113_600)


RATES = st.sampled_from([7999, 8000, 11025, 12345, 16000, 22050, 24000, 32000, 44100, 48000, 96000])


@settings(max_examples=400, deadline=None)
@given(num_samples=st.integers(1, 200_000), sample_rate=RATES, target_rate=RATES)
def test_resampled_length_is_what_soxr_gives(
    num_samples: int, sample_rate: int, target_rate: int
) -> None:
    waveform = np.zeros(num_samples, np.float32)
    resampled = soxr.resample(waveform, sample_rate, target_rate, quality="HQ")
    assert len(resampled) == resampled_length(num_samples, sample_rate, target_rate)


def test_resampled_length_is_what_soxr_gives_where_the_rational_half_rounds_down() -> None:
    waveform = np.zeros(1000, np.float32)
    assert len(soxr.resample(waveform, 24000, 44100, quality="HQ")) == 1837  # 1837.5 exactly
    assert resampled_length(1000, 24000, 44100) == 1837


@pytest.mark.parametrize("name", ["x.flac", "x.wav"])
def test_load_takes_the_digest_that_the_file_has_and_no_other(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, speech())
    place = {"sample_rate": 16000, "num_samples": 100, "digest": audio_digest(path)}
    waveform = load_audio(path, **place)
    np.testing.assert_array_equal(waveform, load_audio(path, start_sample=0, **place))
    write(path, -speech())  # as long, another sound
    with pytest.raises(AudioError, match=r"has changed since the manifest was made") as caught:
        load_audio(path, **place)
    assert caught.value.kind == "changed"
    assert (caught.value.expected, caught.value.got) == (place["digest"], audio_digest(path))


def _flac_frames(data: bytes) -> list[int]:
    """Where the frames of a FLAC begin, of a file short enough that none looks like one."""
    first = data.index(b"\xff\xf8")
    head = data[first : first + 4]
    return [at for at in range(first, len(data)) if data[at : at + 4] == head]


def _lost(data: bytes, at: list[int]) -> bytes:
    return data[: at[10]] + data[at[11] :]


def _doubled(data: bytes, at: list[int]) -> bytes:
    return data[: at[11]] + data[at[10] :]


def _swapped(data: bytes, at: list[int]) -> bytes:
    return data[: at[10]] + data[at[11] : at[12]] + data[at[10] : at[11]] + data[at[12] :]


def _flipped(data: bytes, at: list[int]) -> bytes:
    middle = (at[10] + at[11]) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [_lost, _doubled, _swapped, _flipped])
@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_a_flac_of_other_samples_under_the_md5_of_its_manifest_is_damaged(
    tmp_path: Path,
    subtype: str,
    damage,  # noqa: ANN001
) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, np.stack([speech(), -0.5 * speech()], 1), 16000, subtype=subtype)
    scan = scan_audio(path)
    place = {"sample_rate": 16000, "num_samples": scan.num_samples, "digest": scan.digest}
    assert len(load_audio(path, **place, channel=1)) == scan.num_samples
    data = path.read_bytes()
    path.write_bytes(damage(data, _flac_frames(data)))
    assert audio_digest(path) == scan.digest  # its header says so still
    with pytest.raises(AudioError) as caught:
        load_audio(path, **place, channel=1)
    assert caught.value.kind == "damaged"


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("x.wav", {"changed"}),
        ("x.flac", {"changed", "damaged"}),
        ("x.ogg", {"changed", "damaged", "truncated"}),
    ],
)
def test_a_file_that_is_written_to_while_it_is_read_fails(
    tmp_path: Path, name: str, kinds: set[str]
) -> None:
    path = write(tmp_path / name, np.tile(speech(), 10))
    scan = scan_audio(path)
    blocks = read_segment(
        path, sample_rate=16000, num_samples=scan.num_samples - 1, digest=scan.digest
    )
    next(blocks)
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other" / name, np.tile(speech()[::-1], 10))
    path.write_bytes(other.read_bytes())  # into the very file, as rsync --inplace does
    with pytest.raises(AudioError) as caught:
        list(blocks)
    assert caught.value.kind in kinds


def test_a_file_that_is_touched_while_it_is_read_is_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", np.tile(speech(), 10))
    scan = scan_audio(path)
    place = {"sample_rate": 16000, "num_samples": scan.num_samples, "digest": scan.digest}
    blocks = read_segment(path, **place)
    first = next(blocks)
    os.utime(path, ns=(0, 0))
    assert len(first) + sum(map(len, blocks)) == scan.num_samples


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "x.flac", np.tile(speech(), 10))
    scan = scan_audio(path)
    place = {"sample_rate": 16000, "num_samples": scan.num_samples, "digest": scan.digest}
    whole = load_audio(path, **place)
    blocks = read_segment(path, **place)
    first = next(blocks)
    write(tmp_path / "y.flac", -speech()).replace(path)
    np.testing.assert_array_equal(np.concatenate([first, *blocks]), whole)
    with pytest.raises(AudioError, match="has changed"):
        load_audio(path, **place)
