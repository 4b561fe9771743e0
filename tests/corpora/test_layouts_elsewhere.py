"""Each layout in a bucket gives what it gives in a folder, also of audio inside archives there."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import soundfile

from featbank.audio import load_audio
from featbank.audio.inside import close_payloads
from featbank.base.places import Place
from featbank.corpora import Corpus
from featbank.corpora.layouts.fairseq import FairseqCorpus
from featbank.corpora.layouts.huggingface import HuggingFaceCorpus
from featbank.corpora.layouts.kaldi.corpus import KaldiCorpus
from featbank.corpora.layouts.lhotse.corpus import LhotseCorpus
from featbank.corpora.layouts.librispeech import LibriSpeechCorpus
from featbank.corpora.layouts.mls import MLSCorpus
from featbank.corpora.layouts.nemo import NemoCorpus
from featbank.corpora.layouts.recordings import RecordingsCorpus
from featbank.corpora.layouts.timit import TimitCorpus
from featbank.corpora.layouts.tree import TreeCorpus
from featbank.corpora.layouts.webdataset import WebDatasetCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import AudioError
from featbank.files.remote import RemoteError, open_parts, parts, read_part, requests, spool
from tests.extracting import files
from tests.inside_files import ALL_TRAIN, clip, demo_rows, write_tar
from tests.servers import BUSY, Bucket

_CUT: dict[str, Any] = {
    "id": "a", "type": "MonoCut", "start": 0.0, "duration": 1.0, "channel": 0,
    "supervisions": [{"id": "a", "recording_id": "a", "start": 0, "duration": 1, "text": "one"}],
    "recording": {
        "id": "a", "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0,
        "sources": [{"type": "file", "channels": [0], "source": "wav/a.wav"}],
    },
}  # fmt: skip

LISTED: dict[str, tuple[Callable[..., Corpus], dict[str, str]]] = {
    "librispeech": (
        LibriSpeechCorpus,
        {"dev/1/2/1-2.trans.txt": "1-2-3 ONE TWO\n", "dev/1/2/1-2-3.flac": "", ".x/y.txt": ""},
    ),
    "mls": (
        MLSCorpus,
        {"dev/transcripts.txt": "1_2_3\tone\n", "dev/audio/1/2/1_2_3.flac": ""},
    ),
    "timit": (
        TimitCorpus,
        {"TRAIN/DR1/FCJF0/SA1.WAV": "", "TRAIN/DR1/FCJF0/SA1.TXT": "0 46797 She had.\n"},
    ),
    "tree": (
        partial(TreeCorpus, paths="wav/{speaker}/{name}.wav", text_path="txt/{name}.txt"),
        {"wav/p1/a.wav": "", "wav/p1/b.wav": "", "txt/a.txt": "one\n"},
    ),
    "fairseq": (
        partial(FairseqCorpus, tables={"train": "t.tsv"}, texts="wrd", audio_root="."),
        {"t.tsv": "/there\na.wav\t16000\n", "t.wrd": "one\n", "a.wav": "", "b.wav": ""},
    ),
    "nemo": (
        partial(NemoCorpus, manifests={"train": "m/train.json"}),
        {
            "m/train.json": '{"audio_filepath": "a.wav", "duration": 1}\n'
            '{"audio_filepath": "wav/b.wav", "duration": 1}\n',
            "m/a.wav": "", "wav/b.wav": "",
        },
    ),
    "kaldi": (
        partial(KaldiCorpus, dirs={"train": "data"}),
        {
            "data/wav.scp": "r cat wav/r.wav |\n", "data/segments": "u r 0.5 1.5\n",
            "data/utt2spk": "u anna\n", "wav/r.wav": "",
        },
    ),
    "lhotse": (
        partial(LhotseCorpus, manifests={"train": "cuts*.jsonl"}),
        {"cuts-0.jsonl": json.dumps(_CUT) + "\n", "wav/a.wav": ""},
    ),
    "recordings": (
        partial(
            RecordingsCorpus, table="all.jsonl", recording_keys={"path": "path"},
            segment_keys={"begin": "start", "end": "end"},
        ),
        {"all.jsonl": '{"path": "a.wav", "segments": [{"begin": 1, "end": 2}]}\n', "a.wav": ""},
    ),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _one_client() -> Iterator[None]:
    """A client is made once, for it takes a second, and not left to tests of other servers."""
    requests.forget_clients()
    yield
    spool.close_spool()
    close_payloads()
    requests.forget_clients()


@pytest.mark.parametrize("layout", LISTED)
def test_a_layout_in_a_bucket_lists_what_it_lists_in_a_folder(
    layout: str, bucket: Bucket, tmp_path: Path
) -> None:
    make, texts = LISTED[layout]
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    bucket.put_folder(tmp_path, "corpus")
    some = {"name": "demo", "license": "free"}
    here, there = (
        make(root=root, **some).list_utterances() for root in (tmp_path, f"{bucket.url}/corpus")
    )
    assert here.rows
    assert not here.failures
    assert sorted(there.rows) == sorted(here.rows)
    assert replace(there, rows=()) == replace(here, rows=())


def test_urls_in_a_manifest_are_read_where_they_lead_into_the_root_and_refused_elsewhere(
    bucket: Bucket,
) -> None:
    rows = [f"{bucket.url}/corpus/a.wav", "s3://other/b.wav"]
    lines = [json.dumps({"audio_filepath": row, "duration": 1}) for row in rows]
    bucket.put("corpus/all.json", "\n".join(lines).encode())
    listing = NemoCorpus(
        name="demo", license="free", root=f"{bucket.url}/corpus", manifests="all.json"
    ).list_utterances()
    assert [row.audio for row in listing.rows] == ["a.wav"]
    assert [failure.id for failure in listing.failures] == ["all.json:2"]


def clips(number: int = 3) -> dict[str, bytes]:
    return {row["path"].replace("/", "-"): clip(row) for row in demo_rows()[:number]}


def as_webdataset(root: Path) -> Callable[..., Corpus]:
    members: dict[str, bytes] = {}
    for name, data in clips().items():
        members |= {name: data, name.replace(".flac", ".txt"): b"said"}
    write_tar(root / "all-0.tar", members)
    return partial(WebDatasetCorpus, shards="*.tar", columns={"txt": "text"})


def as_nemo_tars(root: Path) -> Callable[..., Corpus]:
    write_tar(root / "audio_0.tar", clips())
    lines = [json.dumps({"audio_filepath": name, "shard_id": 0}) for name in clips()]
    (root / "all.json").write_text("\n".join(lines))
    return partial(NemoCorpus, manifests="all.json", tars="audio_{0..1}.tar")


def as_shar(root: Path) -> Callable[..., Corpus]:
    members: dict[str, bytes] = {}
    lines = []
    for name, data in clips().items():
        key = name.removesuffix(".flac")
        members |= {name: data, f"{key}.json": b"{}"}
        info = soundfile.info(io.BytesIO(data))
        length = {"num_samples": info.frames, "duration": info.duration}
        recording = {**_CUT["recording"], **length, "id": key, "sampling_rate": info.samplerate}
        cut = {**_CUT, "id": key, "duration": info.duration, "recording": recording}
        lines.append(json.dumps({**cut, "supervisions": []}))
    write_tar(root / "shar" / "recording.000000.tar", members)
    (root / "shar" / "cuts.000000.jsonl").write_text("\n".join(lines))
    return partial(LhotseCorpus, manifests="shar", rows="cuts")


def as_kaldi_ark(root: Path) -> Callable[..., Corpus]:
    ark, lines = io.BytesIO(), []
    for name, data in clips().items():
        ark.write(f"{name} ".encode())
        lines.append(f"{name} wav.ark:{ark.tell()}\n")
        ark.write(b"AUDIO\x08" + struct.pack("<q", len(data)) + data)
    (root / "wav.ark").write_bytes(ark.getvalue())
    (root / "wav.scp").write_text("".join(lines))
    return partial(KaldiCorpus, dirs=".")


def as_table(kind: str, root: Path) -> Callable[..., Corpus]:
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{"audio": {"bytes": data, "path": name}} for name, data in clips().items()]
    table = pa.Table.from_pylist(rows)
    if kind == "parquet":
        parquet.write_table(table, root / "data.parquet", row_group_size=2)
    else:
        with pa.ipc.new_stream(root / "data.arrow", table.schema) as stream:
            stream.write_table(table)
    return HuggingFaceCorpus


INSIDE: dict[str, Callable[[Path], Callable[..., Corpus]]] = {
    "webdataset": as_webdataset, "nemo": as_nemo_tars, "shar": as_shar, "ark": as_kaldi_ark,
    "parquet": partial(as_table, "parquet"), "arrow": partial(as_table, "arrow"),
}  # fmt: skip


def prepared(make: Callable[..., Corpus], root: Path | str, out: Path) -> Mapping[str, bytes]:
    corpus = make(name="demo", license="free", root=root, split_rule=ALL_TRAIN)
    prepare(corpus, out / "manifests", failures_path=out / "failed.jsonl", num_workers=1)
    return files(out / "manifests")


@pytest.mark.parametrize("form", INSIDE)
def test_audio_inside_files_of_a_bucket_is_that_of_the_folder(
    form: str, bucket: Bucket, tmp_path: Path
) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    make = INSIDE[form](root)
    bucket.put_folder(root, "corpus")
    expected = prepared(make, root, tmp_path / "here")
    assert len(expected["train.jsonl"].splitlines()) == len(clips())
    assert prepared(make, f"{bucket.url}/corpus", tmp_path / "there") == expected


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The first byte, and that behind the last, of each request for bytes."""
    spans: list[tuple[int, int]] = []
    read = requests.read_remote

    def told(path: Any, start: int, end: int, num_bytes: int) -> bytes:
        spans.append((start, end))
        return read(path, start, end, num_bytes)

    monkeypatch.setattr(spool, "read_remote", told)
    monkeypatch.setattr(parts, "read_remote", told)
    return spans


def test_a_member_is_one_request_though_the_bucket_is_busy_and_its_segments_are_no_more(
    bucket: Bucket, asked: list[tuple[int, int]]
) -> None:
    data = next(iter(clips().values()))
    bucket.put("all.tar", bytes(700) + data + bytes(1000))
    BUSY.add(f"/{bucket.url.removeprefix('s3://')}/all.tar")
    place = Place(container="all.tar", member="x.flac", start=700, num_bytes=len(data))
    for _ in range(3):
        found = load_audio(f"{bucket.url}/{place}", sample_rate=16000, num_samples=100)
        assert len(found) == 100
    assert asked == [(700, 700 + len(data))]
    assert not BUSY


def test_of_a_tar_no_more_is_fetched_than_is_about_its_headers(
    bucket: Bucket, tmp_path: Path, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_BLOCK", 1024)
    tar = write_tar(tmp_path / "all.tar", {f"{one}.flac": bytes(100_000) for one in "abc"})
    bucket.put("all.tar", tar.read_bytes())
    corpus = WebDatasetCorpus(name="demo", license="free", root=bucket.url)
    assert len(corpus.list_utterances().rows) == 3
    # of 310,000: a buffer is filled at each header
    assert sum(end - start for start, end in asked) < 100_000


def test_a_file_that_changes_while_parts_of_it_are_read_is_no_mixture_of_both(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_BLOCK", 1024)
    bucket.put("all.tar", bytes(65536))
    with open_parts(f"{bucket.url}/all.tar") as file:
        assert read_part(file, 100, 0) == bytes(100)
        bucket.put("all.tar", b"x" * 65536)
        with pytest.raises(RemoteError, match="written to"):
            read_part(file, 100, 50_000)


def test_a_container_that_is_cut_short_or_gone_is_a_fault_of_its_audio(
    bucket: Bucket, asked: list[tuple[int, int]]
) -> None:
    bucket.put("all.tar", bytes(800))
    for name, kind in (("all.tar", "truncated"), ("gone.tar", "missing")):
        place = Place(container=name, member="x.flac", start=700, num_bytes=200)
        with pytest.raises(AudioError) as raised:
            load_audio(f"{bucket.url}/{place}", sample_rate=16000, num_samples=100)
        assert raised.value.kind == kind
    assert len(asked) == 1  # and nothing was asked for again
