"""Data directories of Kaldi and ESPnet."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest
import soundfile

from featbank.audio import audio_digest, load_audio
from featbank.base.manifest import MIX_CHANNELS, read_manifest
from featbank.base.places import Place
from featbank.corpora.base import Listing
from featbank.corpora.layouts.kaldi.corpus import KaldiCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import ConfigError, CorpusError

Recorder = Callable[..., Path]

DEMO = Path(__file__).parents[2] / "corpora" / "demo"


def write(root: Path, files: Mapping[str, str], folder: str = "data/train") -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / folder / name).write_text(text, encoding="utf-8")


def kaldi(root: Path, dirs: Any = "data/train", **arguments: Any) -> KaldiCorpus:
    return KaldiCorpus(name="c", root=root, license="", dirs=dirs, **arguments)


def listed(root: Path, files: Mapping[str, str], **arguments: Any) -> Listing:
    write(root, files)
    return kaldi(root, **arguments).list_utterances()


def test_the_demo_corpus_as_kaldi_has_it_is_the_same_corpus(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    shutil.copytree(DEMO, root)
    with open(DEMO / "transcripts.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for split in ("train", "dev", "test"):
        mine = [row for row in rows if row["split"] == split]
        ids = [row["path"].removesuffix(".flac") for row in mine]
        audio = [f"flac -c -d -s {root}/{row['path']} |" for row in mine]
        columns = {
            "wav.scp": audio,
            "utt2spk": [row["speaker"] for row in mine],
            "utt2lang": [row["language"] for row in mine],
            "text": [row["text"] for row in mine],
        }
        files = {
            name: "".join(f"{one} {value}\n" for one, value in zip(ids, values, strict=True))
            for name, values in columns.items()
        }
        write(root, files, f"data/{split}")
    dirs = {split: f"data/{split}" for split in ("train", "dev", "test")}
    corpora = {
        "kaldi": kaldi(root, dirs),
        "table": TableCorpus(name="c", root=root, license="", table="transcripts.tsv"),
    }
    for name, corpus in corpora.items():
        prepare(corpus, tmp_path / name, failures_path=tmp_path / "failures.jsonl")
    for split in dirs:
        lines = [(tmp_path / name / f"{split}.jsonl").read_bytes() for name in corpora]
        assert lines[0] == lines[1]
        assert lines[0]


def test_segments_name_recordings_by_their_ids(root: Path, record: Recorder) -> None:
    record("a.wav"), record("b.wav")
    listing = listed(
        root,
        {
            "wav.scp": "rec-b cat b.wav |\nrec-a a.wav\n",
            "segments": "utt-2 rec-a 0.02 0.05\nutt-1 rec-a 0.0 0.02\nutt-3 rec-b 0.01 -1\n",
            "utt2spk": "utt-1 ann\nutt-3 ben\nutt-2 ann\n",
            "text": "utt-1 hello\tthere  you\nutt-2\nutt-3 \u3000caf\u00e9 \n",
        },
        language="en",
    )
    assert [
        (row.id, row.audio, row.start_s, row.duration_s, row.speaker, row.text, row.where)
        for row in listing.rows
    ] == [
        ("utt-1", "a.wav", 0.0, 0.02, "ann", "hello\tthere  you", "data/train/segments:2"),
        ("utt-2", "a.wav", 0.02, pytest.approx(0.03), "ann", "", "data/train/segments:1"),
        ("utt-3", "b.wav", 0.01, None, "ben", "\u3000caf\u00e9", "data/train/segments:3"),
    ]
    assert {row.language for row in listing.rows} == {"en"}
    assert (listing.failures, listing.unlisted) == ([], [])


def test_directories_are_splits_of_their_names_in_the_definition(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("a.wav"), record("b.wav"), record("c.wav")
    write(root, {"wav.scp": "a a.wav\n"}, "dump/raw/train_sp")
    write(root, {"wav.scp": f"b {root}/b.wav\n"}, "dump/raw/valid")
    write(tmp_path, {"wav.scp": "c c.wav\n"}, "elsewhere/data")
    dirs = {
        "train": "dump/raw/train_sp",
        "dev": "dump/raw/valid",
        "extra": str(tmp_path / "elsewhere/data"),
    }
    listing = kaldi(root, dirs).list_utterances()
    assert [(row.id, row.split) for row in listing.rows] == [
        ("a", "train"), ("b", "dev"), ("c", "extra"),
    ]  # fmt: skip
    [only] = kaldi(root, "dump/raw/valid").list_utterances().rows
    assert only.split == ""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('u sox "|touch x" -t wav - |', "reads '|touch x', which is no file"),
        ("u cat a.wav; touch x |", "';', which a shell would interpret"),
        ("u /etc/passwd", "a path inside the corpus"),
        ("u /etc/passwd", "corpus.root is the folder into which absolute paths must lead"),
        ("u cat /etc/passwd |", "a path inside the corpus"),
        ("u cat ../a.wav |", "a path inside the corpus"),
        ("u data/../../a.wav", "a path inside the corpus"),
        ("u", "no file"),
        ("u\ta\x01.wav", "a control character"),
        ("a/../u a.wav", "an empty segment, '.' or '..'"),
        ("u none.ark:12", "archive in data/train/wav.scp:1"),
        ("u data:12", "a folder"),
        ("u a.wav:1", "audio: a WAV that states its length"),
        ("u a.wav:999999999999999999", "audio: a WAV that states its length"),
    ],
)
def test_a_line_that_is_not_understood_is_a_failure_of_its_row(
    root: Path, record: Recorder, line: str, told: str
) -> None:
    record("a.wav"), record("b.wav")
    listing = listed(root, {"wav.scp": f"{line}\nv b.wav\n"})
    [failure] = listing.failures
    assert (failure.kind, failure.id) == ("bad_row", "data/train/wav.scp:1")
    assert told in f"{failure.error} {failure.expected} {failure.got}"
    assert [row.id for row in listing.rows] == ["v"]
    assert sorted(path.name for path in root.iterdir()) == ["a.wav", "b.wav", "data"]


def test_a_link_out_of_the_corpus_is_not_followed(root: Path, record: Recorder) -> None:
    record("a.wav")
    (root / "out.wav").symlink_to("/etc/hostname")
    [failure] = listed(root, {"wav.scp": "u cat out.wav |\n"}).failures
    assert failure.got.startswith("out.wav, a symbolic link to /etc/hostname")
    [row] = kaldi(root, follow_links=True).list_utterances().rows
    assert row.audio == "out.wav"


@pytest.mark.parametrize(
    ("segment", "told"),
    [
        ("u r 0.0", "got 3 cells|3 cells"),
        ("u r 0 1 0 9", "6 cells"),
        ("u other 0 1", "one of wav.scp"),
        ("u r x 1", "seconds, 0 or more"),
        ("u r 0.5 0.5", "above 0.5"),
        ("u r 0.5 0.2", "above 0.5"),
        ("u r 0 1 z", "an index from 0"),
    ],
)
def test_a_bad_segment_is_a_failure_of_its_row(root: Path, segment: str, told: str) -> None:
    listing = listed(root, {"wav.scp": "r a.wav\n", "segments": f"{segment}\nv r 0 1\n"})
    [failure] = listing.failures
    assert failure.id == "data/train/segments:1"
    assert any(
        one in f"{failure.error} {failure.expected} {failure.got}" for one in told.split("|")
    )
    assert [row.id for row in listing.rows] == ["v"]


def test_what_has_no_audio_or_is_told_twice_is_a_failure(root: Path) -> None:
    listing = listed(
        root,
        {
            "wav.scp": "a a.wav\nb b.wav\nc c.wav\nb d.wav\n",
            "text": "a one\nz no audio\nc two\nc three\n",
            "utt2spk": "z spk\n",
        },
    )
    assert [row.id for row in listing.rows] == ["a"]
    assert sorted((failure.id, failure.expected) for failure in listing.failures) == [
        ("data/train/text:2", "an utterance of wav.scp"),
        ("data/train/text:4", "an id once"),
        ("data/train/wav.scp:4", "an id once"),
    ]


def test_text_that_is_not_utf_8_is_a_failure_of_its_line(root: Path) -> None:
    write(root, {"wav.scp": "a a.wav\nb b.wav\n"})
    (root / "data/train/text").write_bytes(b"a caf\xe9\nb ok\n")
    [failure] = (listing := kaldi(root).list_utterances()).failures
    assert (failure.id, failure.expected) == ("data/train/text:1", "UTF-8")
    assert [(row.id, row.text) for row in listing.rows] == [("a", ""), ("b", "ok")]


def test_channels_come_from_wav_scp_then_segments_then_the_table_of_recordings(
    root: Path,
) -> None:
    listing = listed(
        root,
        {
            "wav.scp": (
                "call-A call.wav\ncall-B call.wav\nmono-B mono-B.wav\n"
                "sph sph2pipe -f wav -p -c 2 x.sph |\nmix sox m.wav -c 1 -t wav - |\n"
            ),
            "reco2file_and_channel": "call-A call A\ncall-B call B\nmono-B mono B\nsph x A\n",
            "segments": (
                "1 call-A 0 1\n2 call-B 0 1\n3 mono-B 0 1\n4 sph 0 1\n5 mix 0 1\n"
                "6 mono-B 0 1 1\n7 sph 0 1 0\n8 call-A 0 1 1\n9 sph 0 1 1\n"
            ),
        },
    )
    assert [(row.id, row.channel) for row in listing.rows] == [
        ("1", 0), ("2", 1), ("3", None), ("4", 1), ("5", MIX_CHANNELS), ("6", 1),
        ("8", 1), ("9", 1),
    ]  # fmt: skip
    [failure] = listing.failures
    assert "wav.scp selects one" in failure.expected


def test_recordings_of_one_file_are_its_channels_without_segments_too(root: Path) -> None:
    files = {
        "wav.scp": "call-A call.wav\ncall-B call.wav\n",
        "reco2file_and_channel": "call-A call A\ncall-B call x\n",
    }
    listing = listed(root, files)
    assert [(row.id, row.channel) for row in listing.rows] == [("call-A", 0)]
    assert [failure.id for failure in listing.failures] == [
        "data/train/reco2file_and_channel:2", "data/train/wav.scp:2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "said", ["call-A call A\ncall-B call C\n", "call-B call A\ncall-A call A\ncall-B call B\n"]
)
def test_a_recording_of_a_channel_that_nobody_can_tell_does_not_take_the_usual_one(
    root: Path, said: str
) -> None:
    files = {
        "wav.scp": "call-A call.wav\ncall-B call.wav\n",
        "reco2file_and_channel": said,
        "segments": "1 call-A 0 1\n2 call-B 0 1\n3 call-B 0 1 1\n",
    }
    listing = listed(root, files, channel=0)
    assert [(row.id, row.channel) for row in listing.rows] == [("1", 0), ("3", 1)]
    assert listing.failures[-1].id == "data/train/segments:2"
    assert "'call-B' once in reco2file_and_channel, as A or B" in listing.failures[-1].expected


def test_segments_of_a_recording_that_is_there_twice_are_of_neither(root: Path) -> None:
    files = {"wav.scp": "a a.wav\nb b.wav\na c.wav\n", "segments": "1 a 0 1\n2 b 0 1\n"}
    listing = listed(root, files)
    assert [row.id for row in listing.rows] == ["2"]
    assert [(one.id, one.got) for one in listing.failures] == [
        ("data/train/wav.scp:3", "'a' again"),
        ("data/train/segments:1", "data/train/wav.scp:1 and data/train/wav.scp:3"),
    ]


def test_a_rate_that_commands_convert_to_is_told_and_left_to_extraction(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed(root, {"wav.scp": "a a.wav\nb sox b.wav -r 8k -t wav - |\nc sox c.wav -r 8k -t wav - |"})
    [told] = caplog.messages
    assert told.startswith("data/train/wav.scp:2 converts sample rates: files keep their own")


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_entries_of_archives_are_places(root: Path, kind: str) -> None:
    audio = {name: np.arange(n, dtype=np.int16) for name, n in (("utt-a", 300), ("utt-b", 500))}
    ark = root / "dump" / "audio.ark"
    ark.parent.mkdir()
    flac = {"write_function": "soundfile", "write_kwargs": {"format": "flac"}}
    entries = {name: (16000, samples) for name, samples in audio.items()}
    kaldiio.save_ark(str(ark), entries, scp=f"{root}/scp", **({} if kind == "wav" else flac))
    listing = listed(root, {"wav.scp": (root / "scp").read_text()})
    assert listing.failures == []
    end = 0
    for row in listing.rows:
        place = Place.parse(row.audio)
        assert place is not None
        assert place.start is not None
        assert place.num_bytes is not None
        assert (place.container, place.member) == ("dump/audio.ark", row.id)
        end = place.start + place.num_bytes
        (root / "payload").write_bytes(ark.read_bytes()[place.start : end])
        found, rate = soundfile.read(root / "payload", dtype="int16")
        assert rate == 16000
        assert np.array_equal(found, audio[row.id])
    assert end == ark.stat().st_size
    ark.write_bytes(ark.read_bytes()[:-1])
    [failure] = kaldi(root).list_utterances().failures
    assert "cut short" in failure.got


def test_an_archive_may_hold_sphere_and_one_flac_but_no_features(
    root: Path, record: Recorder
) -> None:
    soundfile.write(root / "a.nist", np.zeros(100), 8000, format="NIST", subtype="PCM_16")
    sphere, flac = (root / "a.nist").read_bytes(), record("b.flac").read_bytes()
    (root / "x.ark").write_bytes(b"a " + sphere + b"b " + flac)
    kaldiio.save_ark(f"{root}/m.ark", {"m": np.zeros((3, 4), np.float32)})
    at = 2 + len(sphere) + 2
    wav = bytearray(record("c.wav").read_bytes())
    wav[4:8] = b"\xff\xff\xff\xff"  # as programs write it into a pipe
    (root / "piped.ark").write_bytes(b"c " + wav)
    listing = listed(
        root, {"wav.scp": f"a x.ark:2\nb wav-copy x.ark:{at} - |\nc piped.ark:2\nm m.ark:2\n"}
    )
    assert [row.audio for row in listing.rows] == [
        f"x.ark!/a@2+{len(sphere)}", f"x.ark!/b@{at}+{len(flac)}",
    ]  # fmt: skip
    assert [failure.got for failure in listing.failures] == [
        "a WAV that does not state its length", "a matrix of features",
    ]  # fmt: skip


def test_a_directory_that_is_not_there_ends_the_run(root: Path) -> None:
    with pytest.raises(CorpusError, match=r"table data/train/wav\.scp in .*: expected a readable"):
        kaldi(root).list_utterances()
    (root / "data/train/wav.scp").mkdir(parents=True)
    with pytest.raises(CorpusError, match="a readable file, got a folder"):
        kaldi(root).list_utterances()


@pytest.mark.parametrize("dirs", [{}, "", ["data"], {"fit": "x"}, {"train": 5}, {"a/b": "x"}])
def test_directories_of_another_form_are_refused(root: Path, dirs: Any) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.dirs"):
        kaldi(root, dirs)


def test_manifests_hold_segments_in_samples(root: Path, record: Recorder, tmp_path: Path) -> None:
    record("a.wav", num_samples=16000)
    write(root, {"wav.scp": "r a.wav\n", "segments": "u r 0.25 0.75\n", "utt2spk": "u ann\n"})
    prepare(kaldi(root, {"train": "data/train"}), tmp_path / "out", failures_path=tmp_path / "f")
    [row] = read_manifest(tmp_path / "out" / "train.jsonl")
    assert (row.id, row.start_sample, row.num_samples, row.speaker) == ("u", 4000, 8000, "ann")


def test_audio_in_archives_is_that_of_its_files(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    files = sorted(DEMO.glob("june_fr/*.flac"))[:5]
    write(root, {"utt2spk": "".join(f"{path.stem} june\n" for path in files)})
    lines = ""
    with open(root / "flac.ark", "wb") as ark:
        for path in files:
            data = path.read_bytes()
            ark.write(f"{path.stem} ".encode())
            lines += f"{path.stem} flac.ark:{ark.tell()}\n"
            ark.write(b"AUDIO\x03" + len(data).to_bytes(3, "little") + data)  # as ESPnet has it
    write(root, {"wav.scp": lines})
    prepare(kaldi(root, {"train": "data/train"}), tmp_path / "out", failures_path=tmp_path / "f")
    rows = read_manifest(tmp_path / "out" / "train.jsonl")
    assert [row.id for row in rows] == [path.stem for path in files]
    for row, path in zip(rows, files, strict=True):
        whole = {"sample_rate": row.sample_rate, "num_samples": row.num_samples}
        found, expected = load_audio(root / row.audio, **whole), load_audio(path, **whole)
        assert np.array_equal(found, expected)
        assert row.audio_digest == audio_digest(path)


def test_a_speed_of_sox_is_the_speed_of_the_row(root: Path, record: Recorder) -> None:
    record("a.wav")
    files = {
        "wav.scp": "sp0.9-r sox -t wav a.wav -t wav - speed 0.9 |\nr a.wav\n",
        "segments": "sp0.9-u sp0.9-r 0 0.1\nu r 0 0.1\n",
    }
    rows = listed(root, files).rows
    assert [(row.id, row.speed) for row in rows] == [("sp0.9-u", 0.9), ("u", 1.0)]
