"""Corpora that lhotse has prepared, whose manifests lhotse itself writes here."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import (
    AudioSource,
    CutSet,
    MultiCut,
    Recording,
    RecordingSet,
    SupervisionSegment,
    SupervisionSet,
)

from featbank.audio import load_audio
from featbank.base.manifest import read_manifest
from featbank.base.places import Place
from featbank.corpora.base import CorpusRow, Listing
from featbank.corpora.layouts.lhotse.corpus import LhotseCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import ConfigError, CorpusError
from tests.conftest import ROOT, SPLITS

DEMO = ROOT / "corpora/demo"


def listing(root: Path, **arguments: Any) -> Listing:
    return LhotseCorpus(name="c", root=root, license="", **arguments).list_utterances()


def write_lines(path: Path, *lines: Mapping[str, Any]) -> None:
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the demo corpus as lhotse has corpora, in all its forms, with paths from the root."""
    root = tmp_path_factory.mktemp("lhotse") / "corpus"
    shutil.copytree(DEMO, root)
    rows = TableCorpus(name="c", root=DEMO, license="", table="transcripts.tsv").list_utterances()
    for split in SPLITS:
        said = [row for row in rows.rows if row.split == split]
        recordings = RecordingSet.from_recordings(
            with_source(Recording.from_file(root / row.audio, recording_id=row.id), row.audio)
            for row in said
        )
        supervisions = SupervisionSet.from_segments(
            SupervisionSegment(
                id=row.id, recording_id=row.id, start=0, duration=recordings[row.id].duration,
                speaker=row.speaker, language=row.language, text=row.text,
            )
            for row in random.Random(1).sample(said, len(said))
        )  # fmt: skip
        recordings.to_file(root / f"demo_recordings_{split}.jsonl.gz")
        supervisions.to_file(root / f"demo_supervisions_{split}.jsonl.gz")
        cuts = CutSet.from_manifests(recordings, supervisions).to_eager()
        cuts.to_file(root / f"demo_cuts_{split}.jsonl.gz")
        (root / "shar" / split).mkdir(parents=True)
        placed = cuts.with_recording_path_prefix(root)
        placed.to_shar(root / "shar" / split, {"recording": "flac"}, shard_size=7)
    return root


def with_source(recording: Recording, source: str) -> Recording:
    recording.sources[0].source = source
    return recording


@pytest.fixture(scope="module")
def folder_manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("folder") / "out"
    corpus = TableCorpus(name="c", root=DEMO, license="", table="transcripts.tsv")
    prepare(corpus, out, failures_path=out.with_suffix(".failures"))
    return out


@pytest.mark.parametrize(
    "names",
    [
        ["demo_cuts_{}.jsonl.gz"],
        ["demo_recordings_{}.jsonl.gz", "demo_supervisions_{}.jsonl.gz"],
        ["demo_[rs]*_{}.jsonl.gz"],
    ],
    ids=["cuts", "recordings and supervisions", "pattern"],
)
def test_what_lhotse_wrote_gives_the_manifests_of_the_folder(
    demo: Path, folder_manifests: Path, tmp_path: Path, names: list[str]
) -> None:
    manifests = {split: [name.format(split) for name in names] for split in SPLITS}
    corpus = LhotseCorpus(name="c", root=demo, license="", manifests=manifests)
    prepare(corpus, tmp_path / "out", failures_path=tmp_path / "failures.jsonl")
    for split in SPLITS:
        name = f"{split}.jsonl"
        assert (tmp_path / "out" / name).read_text() == (folder_manifests / name).read_text()


def test_a_shar_gives_the_same_utterances_with_their_places_in_its_tars(demo: Path) -> None:
    manifests = {split: f"shar/{split}" for split in SPLITS}
    found = listing(demo, manifests=manifests)
    assert not found.failures
    table = TableCorpus(name="c", root=DEMO, license="", table="transcripts.tsv").list_utterances()
    said = {row.id: (row.split, row.speaker, row.language, row.text) for row in table.rows}
    assert {row.id: (row.split, row.speaker, row.language, row.text) for row in found.rows} == said
    for row in found.rows:
        place = Place.parse(row.audio)
        assert place
        assert place.start is not None
        assert place.num_bytes is not None
        with open(demo / place.container, "rb") as file:
            file.seek(place.start)
            (demo.parent / "member.flac").write_bytes(file.read(place.num_bytes))
        ours, _ = soundfile.read(demo.parent / "member.flac", dtype="int16")
        theirs, _ = soundfile.read(DEMO / f"{row.id}.flac", dtype="int16")
        np.testing.assert_array_equal(ours, theirs)


def test_a_shar_is_prepared_where_it_lies(
    demo: Path, folder_manifests: Path, tmp_path: Path
) -> None:
    manifests = {split: f"shar/{split}" for split in SPLITS}
    corpus = LhotseCorpus(name="c", root=demo, license="", manifests=manifests)
    prepare(corpus, tmp_path / "out", failures_path=tmp_path / "failures.jsonl")
    for split in SPLITS:
        name = f"{split}.jsonl"
        ours = read_manifest(tmp_path / "out" / name)
        theirs = read_manifest(folder_manifests / name)
        assert [replace(row, audio="") for row in ours] == [
            replace(row, audio="") for row in theirs
        ]
    row = ours[0]
    place = {"sample_rate": row.sample_rate, "num_samples": row.num_samples}
    np.testing.assert_array_equal(
        load_audio(demo / row.audio, **place, target_rate=16000, digest=row.audio_digest),
        load_audio(DEMO / theirs[0].audio, **place, target_rate=16000),
    )


def test_a_supervision_is_a_stretch_of_its_cut_and_of_its_file(root: Path) -> None:
    recording = Recording(
        id="call", sampling_rate=8000, num_samples=80000, duration=10.0,
        sources=[AudioSource(type="file", channels=[0, 1], source="call.wav")],
    )  # fmt: skip
    cut = MultiCut(
        id="cut", start=2.0, duration=5.0, channel=[0, 1], recording=recording,
        supervisions=[
            SupervisionSegment("a", "call", 0.5, 1.5, channel=1, text="hello", speaker="A"),
            SupervisionSegment("b", "call", -0.5, 1.0, channel=0, text="you", speaker="B"),
            SupervisionSegment("both", "call", 3.0, 1.0, channel=[0, 1], text="ha"),
        ],
    )  # fmt: skip
    CutSet.from_cuts([cut]).to_file(root / "cuts.jsonl.gz")
    found = listing(root, manifests={"train": "cuts.jsonl.gz"}, language="en")
    where = "cuts.jsonl.gz:1, supervision"
    rest: dict[str, Any] = {"language": "en", "split": "train"}
    assert found.rows == [
        CorpusRow("a", "call.wav", f"{where} 0", 2.5, 1.5, 10.0, 1, "A", text="hello", **rest),
        CorpusRow("b", "call.wav", f"{where} 1", 1.5, 1.0, 10.0, 0, "B", text="you", **rest),
        CorpusRow("both", "call.wav", f"{where} 2", 5.0, 1.0, 10.0, text="ha", **rest),
    ]
    [row] = listing(root, manifests="cuts.jsonl.gz", rows="cuts").rows
    assert (row.id, row.start_s, row.duration_s, row.channel) == ("cut", 2.0, 5.0, None)
    assert (row.text, row.speaker, row.split) == ("you hello ha", "", "")
    [row] = listing(root, manifests="cuts.jsonl.gz", rows="cuts", channel=1).rows
    assert row.channel == 1


def test_each_channel_may_have_a_file_of_its_own(root: Path) -> None:
    sources = [
        AudioSource(type="file", channels=[number], source=f"mic{number}.wav")
        for number in range(2)
    ]
    recording = Recording("m", sources, sampling_rate=16000, num_samples=16000, duration=1.0)
    supervisions = [
        SupervisionSegment("one", "m", 0.25, 0.5, channel=1),
        SupervisionSegment("all", "m", 0.25, 0.5, channel=[0, 1]),
    ]
    write_lines(root / "r.jsonl.gz", recording.to_dict())
    unsaid = {"id": "unsaid", "recording_id": "m", "start": 0.25, "duration": 0.5}
    write_lines(root / "s.jsonl.gz", *(one.to_dict() for one in supervisions), unsaid)
    found = listing(root, manifests=["s.jsonl.gz", "r.jsonl.gz"])
    assert [(row.id, row.audio, row.channel) for row in found.rows] == [("one", "mic1.wav", 0)]
    assert [failure.id for failure in found.failures] == ["s.jsonl.gz:2", "s.jsonl.gz:3"]
    assert "corpus.channel names the one to take" in found.failures[0].got
    found = listing(root, manifests=["s.jsonl.gz", "r.jsonl.gz"], channel=0)
    assert {row.id: row.audio for row in found.rows} == {
        "one": "mic1.wav", "all": "mic0.wav", "unsaid": "mic0.wav",
    }  # fmt: skip


def libriheavy_line() -> dict[str, Any]:
    """Return a cut with the keys that LibriHeavy's published ones have."""
    one = "small/100/sea_fairies_64kb_mp3/01_baum_sea_fairies_64kb"
    return {
        "id": f"{one}_0", "start": 0.25, "duration": 0.5, "channel": 0,
        "supervisions": [{
            "id": f"{one}_0", "recording_id": one, "start": 0, "duration": 0.5, "channel": 0,
            "language": "English", "speaker": "100",
            "custom": {
                "texts": ["The little girl.", "THE LITTLE GIRL"], "pre_texts": ["a", "b"],
                "begin_byte": 4993, "end_byte": 5120,
            },
        }],
        "recording": {
            "id": one, "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0,
            "sources": [{
                "type": "file", "channels": [0], "source": f"download/librilight/{one}.flac",
            }],
            "channel_ids": [0],
        },
        "type": "MonoCut",
    }  # fmt: skip


def test_libriheavy_is_read_as_it_is_published(root: Path) -> None:
    write_lines(root / "libriheavy_cuts_small.jsonl.gz", libriheavy_line())
    [row] = listing(
        root,
        manifests={"train": "libriheavy_cuts_small.jsonl.gz"},
        fields={"text": "custom.texts.0"},
        replacements={"download/librilight": ""},
    ).rows
    one = "small/100/sea_fairies_64kb_mp3/01_baum_sea_fairies_64kb"
    assert (row.id, row.audio) == (f"{one}_0", f"{one}.flac")
    assert (row.text, row.language, row.speaker) == ("The little girl.", "English", "100")
    assert (row.start_s, row.duration_s, row.claimed_duration_s) == (0.25, 0.5, 1.0)


def source(**changed: Any) -> dict[str, Any]:
    return {"type": "file", "channels": [0], "source": "x.wav", **changed}


def recording(**changed: Any) -> dict[str, Any]:
    usual = {"sources": [source()], "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0}
    return {"id": "r", **usual, **changed}


def supervision(**changed: Any) -> dict[str, Any]:
    return {"id": "s", "recording_id": "r", "start": 0, "duration": 1.0, "channel": 0, **changed}


def cut(**changed: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"start": 0, "duration": 1.0, "channel": 0, "type": "MonoCut"}
    return {
        "id": "c",
        **usual,
        "recording": recording(),
        "supervisions": [supervision()],
        **changed,
    }


BAD = {
    "a command": (
        cut(recording=recording(sources=[source(type="command", source="touch RAN; cat x.wav")])),
        "a command, which is never run",
    ),
    "a URL": (
        cut(recording=recording(sources=[source(type="url", source="https://h/x.wav")])),
        "a URL; download what it names",
    ),
    "a URL of a file": (
        cut(recording=recording(sources=[source(source="s3://bucket/x.wav")])),
        "a URL; download what it names",
    ),
    "bytes in the line": (
        cut(recording=recording(sources=[source(type="memory", source="UklGRg==")])),
        "audio in the manifest itself",
    ),
    "a placeholder": (
        cut(recording=recording(sources=[source(type="shar", source="")])),
        "name the folder of the Shar",
    ),
    "sped up audio": (
        cut(recording=recording(transforms=[{"name": "Speed", "kwargs": {"factor": 0.9}}])),
        "Speed",
    ),
    "a mix": ({"id": "m", "type": "MixedCut", "tracks": []}, "MixedCut"),
    "padding": ({"id": "p", "type": "PaddingCut", "duration": 1.0}, "PaddingCut"),
    "a cut without a recording": (cut(recording=None), "null"),
    "no sources": (cut(recording=recording(sources=[])), "none"),
    "another channel": (cut(supervisions=[supervision(channel=3)]), "others"),
    "channels that are none": (cut(supervisions=[supervision(channel="left")]), '"left"'),
    "a start before the file": (cut(supervisions=[supervision(start=-2)]), "-2.0 s and 1.0 s"),
    "no duration": (cut(supervisions=[supervision(duration=None)]), "null"),
    "a duration of nothing": (cut(supervisions=[supervision(duration=0)]), "0.0 s and 0.0 s"),
    "a time that is none": (cut(start=float("nan")), "NaN"),
    "a text that is none": (cut(supervisions=[supervision(text=["a"])]), '["a"]'),
    "a path out of the corpus": (
        cut(recording=recording(sources=[source(source="../x.wav")])),
        "'../x.wav'",
    ),
    "supervisions that are none": (cut(supervisions=["s"]), '"s"'),
    "features": ({"type": "fbank", "num_features": 80, "recording_id": "r"}, "num_features"),
    "something else": ({"path": "x.wav"}, "path"),
    "a supervision of no recording": (supervision(recording_id="q"), "none"),
    "a supervision of a number": (supervision(recording_id=3), "3"),
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_what_cannot_be_used_fails_by_name(
    root: Path, line: tuple[dict[str, Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)  # where a command that ran would leave its file
    said, got = line
    good = cut(supervisions=[supervision(id="good")])
    write_lines(root / "cuts.jsonl.gz", said, good)
    found = listing(root, manifests={"train": "cuts.jsonl.gz"})
    assert [row.id for row in found.rows] == ["good"]
    [failure] = found.failures
    assert (failure.id, failure.kind) == ("cuts.jsonl.gz:1", "bad_row")
    assert got in failure.got
    assert not (root / "RAN").exists()


def test_a_recording_that_occurs_twice_is_none(root: Path) -> None:
    write_lines(root / "a.jsonl.gz", recording(), recording(), supervision())
    [failure] = listing(root, manifests="a.jsonl.gz").failures
    assert (failure.id, failure.got) == ("a.jsonl.gz:3", "a.jsonl.gz:1, a.jsonl.gz:2")


def test_what_nothing_is_said_of_is_counted_and_rows_of_cuts_take_it(root: Path) -> None:
    write_lines(root / "a.jsonl.gz", recording())
    write_lines(root / "b.jsonl.gz", cut(supervisions=[], recording=recording(id="y")))
    with pytest.raises(CorpusError, match=r"expected utterances, got none, and 1 audio files"):
        listing(root, manifests=["a.jsonl.gz", "b.jsonl.gz"])
    found = listing(root, manifests=["a.jsonl.gz", "b.jsonl.gz"], rows="cuts")
    assert sorted(row.id for row in found.rows) == ["c", "r"]


def test_a_file_that_is_whole_needs_no_length(root: Path) -> None:
    write_lines(root / "a.jsonl.gz", cut())
    [row] = listing(root, manifests="a.jsonl.gz").rows
    assert (row.start_s, row.duration_s, row.claimed_duration_s) == (0, None, 1.0)


def test_a_field_that_is_not_there_is_a_failure_and_null_is_empty(root: Path) -> None:
    lines = [
        cut(supervisions=[supervision(id=str(number), custom=custom)])
        for number, custom in enumerate([{"book": "emma"}, {"book": None}, {}])
    ]
    write_lines(root / "a.jsonl.gz", *lines)
    found = listing(root, manifests="a.jsonl.gz", fields={"part": "custom.book"})
    assert [(row.id, row.part) for row in found.rows] == [("0", "emma"), ("1", "")]
    [failure] = found.failures
    assert (failure.expected, failure.got) == ("custom.book", "no book")


def test_a_truncated_shar_loses_what_is_gone_and_no_more(demo: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(demo / "shar/train", root / "shar")
    [tar, *_] = sorted((root / "shar").glob("recording.*.tar"))
    with tarfile.open(tar) as members:
        third = members.getmembers()[4]
    data = tar.read_bytes()
    tar.write_bytes(data[: third.offset_data + third.size // 2])
    whole = listing(demo, manifests="shar/train").rows
    found = listing(root, manifests="shar")
    lost = {row.id for row in whole} - {row.id for row in found.rows}
    assert len(found.failures) == len(lost)
    assert 4 <= len(lost) <= 5
    assert all("shar/cuts.000000.jsonl.gz:" in failure.id for failure in found.failures)
    tar.unlink()
    with pytest.raises(CorpusError, match=r"Shar shar in .*: expected cuts"):
        listing(root, manifests="shar")


def test_audio_of_a_shar_without_a_cut_is_a_failure(demo: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(demo / "shar/train", root / "shar")
    first = root / "shar" / "cuts.000000.jsonl.gz"
    lines = gzip.decompress(first.read_bytes()).splitlines(keepends=True)
    first.write_bytes(gzip.compress(b"".join(lines[:-2])))
    found = listing(root, manifests="shar")
    assert [one.audio.split("@")[0] for one in found.failures] == [
        f"shar/recording.000000.tar!/{json.loads(line)['id']}.flac" for line in lines[-2:]
    ]
    assert {one.expected for one in found.failures} == {"a cut for each member"}


def test_a_shar_of_other_audio_is_seen(demo: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(demo / "shar/train", root / "shar")
    first, second, *_ = sorted((root / "shar").glob("recording.*.tar"))
    shutil.copy(second, first)
    found = listing(root, manifests="shar")
    assert len(found.failures) == 7
    assert "cuts and audio are of different Shars" in found.failures[0].got


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"manifests": {}}, "corpus.manifests: expected files by split"),
        ({"manifests": {"train": []}}, "corpus.manifests: expected files by split"),
        ({"manifests": "recordings.json"}, "corpus.manifests: expected JSON lines .*`lhotse copy`"),
        ({"manifests": "a.jsonl", "rows": "words"}, "corpus.rows: expected supervisions or cuts"),
        ({"manifests": "a.jsonl", "fields": {"gender": "gender"}}, "corpus.fields: expected names"),
    ],
)
def test_a_definition_that_cannot_be_is_refused(
    root: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        LhotseCorpus(name="c", root=root, license="", **arguments)


def test_a_pattern_that_finds_nothing_and_a_file_that_is_missing_are_errors(root: Path) -> None:
    with pytest.raises(CorpusError, match=r"manifests \*\.jsonl\.gz in .*: expected files"):
        listing(root, manifests="*.jsonl.gz")
    with pytest.raises(CorpusError, match=r"table a\.jsonl\.gz in .*: expected a readable file"):
        listing(root, manifests="a.jsonl.gz")
