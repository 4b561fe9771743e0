"""Corpora as they are published, in miniature: real speech in their files, columns and formats."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
import zstandard
from omegaconf import OmegaConf

from featbank.base.building import build
from featbank.base.failures import Failure, read_failures
from featbank.base.manifest import Utterance, read_manifest
from featbank.base.split_names import split_names
from featbank.corpora.base import Corpus
from featbank.corpora.prepare import prepare
from featbank.errors import ConfigError, CorpusError

PROJECT = Path(__file__).parents[2]
DEMO = PROJECT / "corpora/demo"


def say(root: Path, number: int, path: str, **options: Any) -> str:
    """Write the speech of one row of the demo corpus as another file, and return its text."""
    with open(DEMO / "transcripts.tsv", encoding="utf-8") as table:
        row = list(csv.DictReader(table, delimiter="\t"))[number]
    to = root / path
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.suffix == ".flac":
        shutil.copy(DEMO / row["path"], to)
    else:
        waveform, rate = soundfile.read(DEMO / row["path"], dtype="int16")
        soundfile.write(to, waveform, rate, **options)
    return row["text"]


def write_table(path: Path, columns: str, rows: Sequence[Mapping[str, str]]) -> None:
    names = columns.split()
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What `prepare` makes of a corpus."""

    rows: dict[str, Utterance]
    splits: dict[str, list[str]]
    failures: list[Failure]
    num_unlisted: int


def prepared(name: str, root: Path, **changed: Any) -> Prepared:
    """Prepare a corpus by its definition in conf/, as a user would."""
    config = OmegaConf.to_container(OmegaConf.load(PROJECT / f"conf/corpus/{name}.yaml"))
    assert isinstance(config, dict)
    corpus = build({**{str(key): value for key, value in config.items()}, "root": root, **changed})
    assert isinstance(corpus, Corpus)
    out = root.parent / "manifests" / name
    prepare(corpus, out, failures_path=root.parent / "failures.jsonl", max_failures=100)
    by_split = {split: read_manifest(out / f"{split}.jsonl") for split in split_names(out)}
    failures = out / "failures.jsonl"
    return Prepared(
        rows={row.id: row for rows in by_split.values() for row in rows},
        splits={split: [row.id for row in rows] for split, rows in by_split.items()},
        failures=list(read_failures(failures)) if failures.exists() else [],
        num_unlisted=json.loads((out / "corpus.json").read_text())["num_unlisted"],
    )


def test_common_voice(root: Path) -> None:
    columns = (
        "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender "
        "accents variant locale segment"
    )
    for number, split in enumerate(("train", "dev", "test", "other")):
        name = f"common_voice_fr_{number}.mp3"
        cells = {"client_id": f"{number:0128x}", "path": name, "up_votes": "2", "locale": "fr"}
        cells["sentence"] = say(root, number, f"clips/{name}", format="MP3")
        bad = {"path": "../../x.mp3", "client_id": "a"} if split == "dev" else None
        write_table(root / f"{split}.tsv", columns, [cells, *([bad] if bad else [])])
    write_table(root / "clip_durations.tsv", "clip duration[ms]", [])
    made = prepared("common_voice", root)
    assert made.splits == {
        "train": ["clips/common_voice_fr_0"],
        "dev": ["clips/common_voice_fr_1"],
        "test": ["clips/common_voice_fr_2"],
    }
    row = made.rows["clips/common_voice_fr_1"]
    assert (row.speaker, row.language, row.text) == (
        f"{1:0128x}", "fr", "he was not an ill disposed young man",
    )  # fmt: skip
    assert row.audio == "clips/common_voice_fr_1.mp3"
    assert [one.id for one in made.failures] == ["dev.tsv:3"]
    assert made.num_unlisted == 1  # of other.tsv
    assert "other" in prepared("common_voice", root, table={"other": "other.tsv"}).splits


def test_voxpopuli(root: Path) -> None:
    columns = "id raw_text normalized_text speaker_id split gender is_gold_transcript accent"
    for number, split in enumerate(("train", "dev", "test")):
        one = f"2009{number}112-0900-PLENARY-3-en_2009{number}112-17:46:37_{number}"
        text = say(root, number, f"2009/{one}.ogg", format="OGG")
        cells = {"id": one, "raw_text": text.title(), "normalized_text": text, "speaker_id": "28",
               "split": split, "gender": "male", "accent": "None"}  # fmt: skip
        gone = {**cells, "id": "20100112-gone"}
        write_table(root / f"asr_{split}.tsv", columns, [cells, *([gone] if number else [])])
    made = prepared("voxpopuli", root)
    assert {split: len(rows) for split, rows in made.splits.items()} == {
        "train": 1, "dev": 1, "test": 1,
    }  # fmt: skip
    row = made.rows["20091112-0900-PLENARY-3-en_20091112-17:46:37_1"]
    assert row.audio == f"2009/{row.id}.ogg"
    assert (row.speaker, row.language, row.text) == (
        "28", "en", "he was not an ill disposed young man",
    )  # fmt: skip
    # two rows of one id, whose file is missing
    assert {one.kind for one in made.failures} <= {"repeated_id", "missing"}
    assert len(made.failures) == 2


def test_vctk(root: Path) -> None:
    (root / "speaker-info.txt").write_text("ID  AGE  GENDER  ACCENTS\np225  23  F    English\n")
    for number, (speaker, name) in enumerate((("p225", "p225_001"), ("s5", "s5_366"))):
        for mic in ("mic1", "mic2"):
            audio = f"wav48_silence_trimmed/{speaker}/{name}_{mic}.flac"
            text = say(root, number, audio)
        (root / f"txt/{speaker}").mkdir(parents=True)
        (root / f"txt/{speaker}/{name}.txt").write_text(f"{text}\n")
    say(root, 2, "wav48_silence_trimmed/p315/p315_001_mic1.flac")
    say(root, 3, "wav48_silence_trimmed/p225/p225_002_mic1.flac")
    (root / "txt/p225/p225_002.txt").write_bytes(b"caf\xe9\n")
    made = prepared("vctk", root)
    row = made.rows["wav48_silence_trimmed/s5/s5_366_mic1"]
    assert (row.speaker, row.language, row.text) == (
        "s5", "en", "he was not an ill disposed young man",
    )  # fmt: skip
    assert made.rows["wav48_silence_trimmed/p315/p315_001_mic1"].text == ""
    [failure] = made.failures
    assert (failure.audio, failure.kind) == (
        "wav48_silence_trimmed/p225/p225_002_mic1.flac", "bad_row",
    )  # fmt: skip
    assert made.num_unlisted == 2  # of the other microphone
    failures = prepared("vctk", root, need_text=True).failures
    assert [(one.error, one.expected, one.got) for one in failures if "p315" in one.id] == [
        ("text of wav48_silence_trimmed/p315/p315_001_mic1.flac", "one", "none")
    ]
    shutil.rmtree(root / "wav48_silence_trimmed")
    with pytest.raises(CorpusError, match=r"folder wav48_silence_trimmed of .*: expected a folder"):
        prepared("vctk", root)


def test_aishell(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    lines = ["BAC009S0724W0121 \u5e7f\u5dde\u5e02 \u623f\u5730\u4ea7 \n", "\n"]
    lines += ["BAC009S0003W0121 \u800c\n"]  # whose archive was not unpacked
    lines += ["BAC009S0002W0122 \u800c \u5bf9 \u697c\u5e02\n", "BAC009S0002W0122 \u800c \u5bf9\n"]
    (root / "transcript").mkdir()
    (root / "transcript/aishell_transcript_v0.8.txt").write_text("".join(lines))
    names = ("train/S0002/BAC009S0002W0122", "dev/S0724/BAC009S0724W0121",
             "test/S0764/BAC009S0764W0999")  # fmt: skip
    for number, name in enumerate(names):
        say(root, number, f"wav/{name}.wav")
    made = prepared("aishell", root)
    assert made.splits == {
        "train": [f"wav/{names[0]}"], "dev": [f"wav/{names[1]}"], "test": [f"wav/{names[2]}"],
    }  # fmt: skip
    row = made.rows[f"wav/{names[1]}"]
    assert (row.speaker, row.language, row.text) == (
        "S0724", "zh", "\u5e7f\u5dde\u5e02 \u623f\u5730\u4ea7",
    )  # fmt: skip
    assert made.rows[f"wav/{names[2]}"].text == ""
    [failure] = made.failures  # another text of the same utterance
    assert failure.id == "transcript/aishell_transcript_v0.8.txt:5"
    assert "aishell_transcript_v0.8.txt have no audio, the first BAC009S0003W0121" in caplog.text
    assert [text.partition(" h, ")[2] for text in caplog.messages if " h, " in text] == [
        "1 speakers", "1 speakers", "1 speakers, none with text",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"paths": "wav/{split}/{speaker}.wav"},
        {"paths": "wav/{split}/{speaker}/{name:.4}.wav"},
        {"paths": "wav/{split"},
        {"text_path": "txt/{name}.txt"},
        {"transcripts": "", "text_path": "txt/{book}.txt"},
    ],
)
def test_a_tree_that_cannot_find_its_texts_is_refused(root: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.(paths|text_path)"):
        prepared("aishell", root, **wrong)


def gigaspeech(root: Path) -> dict[str, Any]:
    """Write two recordings, and return what GigaSpeech.json says of them."""
    subsets = ["{XL}", "{L}", "{M}", "{S}", "{XS}"]
    audios = []
    for number, (folder, aid) in enumerate((("podcast", "POD01"), ("youtube", "YOU02"))):
        path = f"audio/{folder}/P0001/{aid}.opus"
        say(root, number, path, format="OGG", subtype="OPUS")
        segments = [
            {
                "sid": f"{aid}_S{at:07d}",
                "speaker": "N/A" if at else "anna",
                "begin_time": 0.25 * at,
                "end_time": 0.25 * at + 0.5,
                "text_tn": f"SEGMENT {at} <COMMA> OF {aid}",
                "subsets": [subsets[: at + 1], ["{DEV}"], ["{TEST}"], ["{S}"]][at],
                "md5": "0" * 32,
            }
            for at in range(4)
        ]
        audios.append({
            "title": "A \u201ctitle\u201d", "url": "99", "path": path, "aid": aid, "source": folder,
            "codecs": "AAC", "channels": 2, "duration": 3.5, "sample_rate": 16000,
            "md5": "0" * 32, "subsets": ["{XL}"], "format": "opus", "segments": segments,
            "category": "N/A",
        })  # fmt: skip
    return {"dataset": "GigaSpeech", "language": "EN", "version": "v1.0.0", "audios": audios}


def test_gigaspeech(root: Path) -> None:
    said = gigaspeech(root)
    said["audios"][0]["segments"][3] |= {"end_time": "soon", "subsets": ["{XL}"]}
    said["audios"].append({"path": "audio/x.opus", "aid": "X"})
    (root / "GigaSpeech.json").write_text(json.dumps(said, indent=2, ensure_ascii=False))
    made = prepared("gigaspeech", root)
    assert made.splits == {
        "train": ["POD01_S0000000", "YOU02_S0000000"],
        "dev": ["POD01_S0000001", "YOU02_S0000001"],
        "test": ["POD01_S0000002", "YOU02_S0000002"],
    }
    row = made.rows["YOU02_S0000001"]
    assert (row.audio, row.start_s, row.duration_s) == ("audio/youtube/P0001/YOU02.opus", 0.25, 0.5)
    assert (row.speaker, row.language, row.text) == ("", "en", "SEGMENT 1 <COMMA> OF YOU02")
    assert made.rows["POD01_S0000000"].speaker == "anna"
    assert [one.id for one in made.failures] == [
        "GigaSpeech.json:audios[0].segments[3]", "GigaSpeech.json:audios[2]",
    ]  # fmt: skip
    assert made.failures[0].expected == "seconds, 0 or more"
    small = prepared("gigaspeech", root, splits={"{S}": "train", "{TEST}": "test"})
    assert small.splits["train"] == ["YOU02_S0000003"]
    both = prepared("gigaspeech", root, splits={"{XL}": "all", "{DEV}": "all"})
    assert len(both.splits["all"]) == 4


def test_recordings_may_be_json_lines_or_a_list_packed_or_not(root: Path) -> None:
    said = gigaspeech(root)
    lines = "".join(json.dumps(one) + "\n" for one in said["audios"])
    (root / "r.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    (root / "r.json").write_text(json.dumps(said["audios"]))
    first = prepared("gigaspeech", root, table="r.json", recordings="")
    lines_of = prepared("gigaspeech", root, table="r.jsonl.zst", recordings="")
    assert first.rows == lines_of.rows
    assert len(first.rows) == 6


def test_a_file_of_recordings_that_cannot_be_used_is_refused(root: Path) -> None:
    said = gigaspeech(root)
    text = json.dumps(said)
    for damaged, message in (
        (text[:-40], "expected a JSON value, got"),
        (text[:-1], "expected ',', got the end of the file"),
        (text + "x", "expected the end of the file, got 'x'"),
        (json.dumps({"audio": []}), "expected a list 'audios' in the object, got none"),
        (json.dumps({"audios": {}}), r"expected '\[', got"),
        ("", "expected '{', got the end of the file"),
    ):
        (root / "GigaSpeech.json").write_text(damaged)
        with pytest.raises(CorpusError, match=message):
            prepared("gigaspeech", root)
    for wrong, message in (
        ({"table": "GigaSpeech.txt"}, r"corpus.table: expected a .json or .jsonl file"),
        ({"segment_keys": {"sid": "name"}}, r"corpus.segment_keys: expected names among path"),
        ({"segment_keys": {"a": "text", "b": "text"}}, r"corpus.segment_keys: expected each name"),
        ({"segment_keys": {"sid": "id"}}, r"expected a path of the audio, and a start of the"),
        ({"splits": {}}, r"corpus.splits: expected the subsets to take"),
    ):
        with pytest.raises(ConfigError, match=message):
            prepared("gigaspeech", root, **wrong)


def test_subsets_that_no_segment_is_in_are_told_with_those_there_are(root: Path) -> None:
    (root / "GigaSpeech.json").write_text(json.dumps(gigaspeech(root)))
    told = r"some of corpus.splits: XL, got \{DEV\}, \{S\}, \{TEST\}"
    with pytest.raises(CorpusError, match=told):
        prepared("gigaspeech", root, splits={"XL": "train"})


def test_segments_that_cannot_be_used_are_failures(root: Path) -> None:
    said = gigaspeech(root)
    one = said["audios"][0]
    good = one["segments"][0]
    one["segments"] = [
        good,
        "text",
        {**good, "sid": "a", "begin_time": None},
        {**good, "sid": "b", "subsets": "{XL}"},
        {**good, "sid": "c", "subsets": ["{XL}", "{DEV}"]},
        {**good, "sid": "d", "end_time": 0},
        {**good, "sid": "e", "end_time": 99},
        {**good, "sid": "f", "speaker": ["anna"]},
    ]
    said["audios"] = [one, {**one, "segments": "none"}, {**one, "path": "../x.opus"}, 3]
    one = said["audios"][2]
    one["segments"] = [good]
    (root / "GigaSpeech.json").write_text(json.dumps(said))
    made = prepared("gigaspeech", root)
    assert list(made.rows) == ["POD01_S0000000"]
    found = {failure.id: failure.expected for failure in made.failures}
    place = "GigaSpeech.json:audios"
    assert found == {
        f"{place}[0].segments[1]": "an object",
        f"{place}[0].segments[2]": "a start",
        f"{place}[0].segments[3]": "a list of names",
        f"{place}[0].segments[4]": "subsets of one split",
        f"{place}[0].segments[5]": "above the start, 0.0",
        "e": found["e"],  # its end lies behind that of the file
        f"{place}[0].segments[7]": "text or a number",
        f"{place}[1]": "a list of segments",
        f"{place}[2].segments[0]": "a path inside the corpus",
        f"{place}[3]": "a JSON object",
    }


@pytest.mark.parametrize("suffix", [".flac", ".opus"])
def test_mls(root: Path, suffix: str) -> None:
    options = {} if suffix == ".flac" else {"format": "OGG", "subtype": "OPUS"}
    for number, split in enumerate(("train", "dev", "test")):
        name = f"{number}_2961_000000"
        text = say(root, number, f"{split}/audio/{number}/2961/{name}{suffix}", **options)
        (root / split / "transcripts.txt").write_text(f"{name}\t{text}\n")
        (root / split / "segments.txt").write_text(f"{name}\thttp://x/y.mp3\t401.76\t413.45\n")
        (root / split / "handles.txt").write_text(f"{name}\n")
    (root / "metainfo.txt").write_text(" SPEAKER   |   GENDER   | PARTITION  \n")
    with (root / "dev/transcripts.txt").open("a") as transcripts:
        transcripts.write("\n../../x_1_2\ttext\n9_9_000009\tgone\n")
    made = prepared("mls", root, suffix=suffix)
    assert made.splits["dev"] == ["dev/audio/1/2961/1_2961_000000"]
    row = made.rows["dev/audio/1/2961/1_2961_000000"]
    assert (row.speaker, row.language, row.text) == (
        "1", "pl", "he was not an ill disposed young man",
    )  # fmt: skip
    assert {one.id: one.kind for one in made.failures} == {
        "dev/transcripts.txt:3": "bad_row", "dev/audio/9/9/9_9_000009": "missing",
    }  # fmt: skip
    with pytest.raises(CorpusError, match=r"expected SPLIT/transcripts.txt, in the folder of a la"):
        prepared("mls", root / "dev", suffix=suffix)
    with pytest.raises(ConfigError, match=r"corpus.suffix: expected .flac or .opus, got '.mp3'"):
        prepared("mls", root, suffix=".mp3")


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_timit(root: Path, case: Any, caplog: pytest.LogCaptureFixture) -> None:
    names = ["TRAIN/DR1/FCJF0/SA1", "TRAIN/DR1/FCJF0/SX37", "TEST/DR4/MGMM0/SI499"]
    for number, name in enumerate(names):
        audio = case(f"{name}.WAV")
        text = say(root, number, audio, format="NIST")
        (root / case(f"{name}.TXT")).write_text(f"0 46797 {text} \n")
        (root / case(f"{name}.PHN")).write_text("0 3050 h#\n")
        (root / case(f"{name}.WRD")).write_text("0 3050 he\n")
        say(root, number, f"{audio}.wav")  # as one site copies it
    say(root, 3, case("TEST/DR4/MGMM0/SI500.WAV"), format="NIST")
    with caplog.at_level("INFO"):
        made = prepared("timit", root)
    assert "timit: 3 of 3 utterances have labels" in caplog.text  # phones, as its disc has them
    assert made.splits == {
        "test": [case(names[2])], "train": sorted([case(names[0]), case(names[1])]),
    }  # fmt: skip
    row = made.rows[case(names[1])]
    assert row.audio == case(f"{names[1]}.WAV")
    assert (row.speaker, row.language, row.text) == (
        case("FCJF0"), "en", "he was not an ill disposed young man",
    )  # fmt: skip
    [failure] = made.failures
    assert (failure.audio, failure.expected, failure.got) == (
        case("TEST/DR4/MGMM0/SI500.WAV"), "two samples and a text", "nothing there",
    )  # fmt: skip
    assert made.num_unlisted == 3
    usual = prepared("timit", root, sentences=["SI", "SX"])
    assert sorted(usual.rows) == sorted([case(names[1]), case(names[2])])
    with pytest.raises(CorpusError, match=r"expected folders TRAIN and TEST, got neither; set co"):
        prepared("timit", root / case("TRAIN"))
    for wrong in ("SX", [], ["SZ"]):
        with pytest.raises(ConfigError, match=r"sentences: expected a list"):
            prepared("timit", root, sentences=wrong)


def librilight(root: Path, path: str, number: int, **changed: Any) -> None:
    """Write a recording, and what Libri-light says of it."""
    say(root, number, f"{path}.flac")
    said = {
        "speaker": path.split("/")[1],
        "book_meta": {"id": "319", "title": "History of Holland", "meta_genre": "Literature"},
        "snr": 5.391,
        "voice_activity": [[0.08, 0.72], [1.0, 1.4]],
        **changed,
    }
    (root / f"{path}.json").write_text(json.dumps(said))


def test_librilight(root: Path) -> None:
    book = "960/history_of_holland_1003_librivox_64kb_mp3"
    librilight(root, f"small/{book}/01_holland_edmundson_64kb", 0)
    librilight(root, f"medium/{book}/02_holland_edmundson_64kb", 1, speaker="7")
    for number, bad in enumerate(([[0.5]], [[0.5, 0.2]], {}, None, [[0.1, 0.2], "x"])):
        librilight(root, f"small/8/b_64kb_mp3/0{number}", 0, voice_activity=bad)
    librilight(root, "small/8/b_64kb_mp3/07", 0, voice_activity=[[0.1, 0.3], [3599.0, 3600.0]])
    librilight(root, "small/8/b_64kb_mp3/08", 0, voice_activity=[])  # of silence alone
    say(root, 0, "small/8/b_64kb_mp3/06.flac")
    say(root, 0, "small/stray.flac")
    made = prepared("librilight", root)
    first = f"small/{book}/01_holland_edmundson_64kb"
    assert made.splits == {
        "medium": [f"medium/{book}/02_holland_edmundson_64kb{t}" for t in
                   ("-0000080-0000720", "-0001000-0001400")],
        "small": ["small/8/b_64kb_mp3/07-0000100-0000300", f"{first}-0000080-0000720",
                  f"{first}-0001000-0001400"],
    }  # fmt: skip
    row = made.rows[f"{first}-0001000-0001400"]
    assert (row.audio, row.start_s, row.duration_s) == (f"{first}.flac", 1.0, pytest.approx(0.4))
    assert (row.speaker, row.language, row.part, row.text) == ("960", "en", "small", "")
    assert made.rows[f"medium/{book}/02_holland_edmundson_64kb-0000080-0000720"].speaker == "7"
    assert sorted((one.id, one.kind) for one in made.failures) == [
        *((f"small/8/b_64kb_mp3/0{number}.flac", "bad_row") for number in (0, 1, 2, 3, 4, 6)),
        ("small/8/b_64kb_mp3/07-3599000-3600000", "bad_segment"),
    ]
    assert made.num_unlisted == 2  # the stray one, and that of silence
    some = prepared("librilight", root, subsets=["medium"], min_s=0.5)
    assert [len(rows) for rows in some.splits.values()] == [1]
    with pytest.raises(CorpusError, match=r"large: expected a folder of this subset, got nothing"):
        prepared("librilight", root, subsets=["large"])
    with pytest.raises(CorpusError, match=r"NAME\.flac, got none of this form; set corpus\.root"):
        prepared("librilight", root / "small" / book)
    for wrong in ({"subsets": "small"}, {"subsets": []}, {"min_s": -1}, {"min_s": float("nan")}):
        with pytest.raises(ConfigError, match=r"subsets|min_s"):
            prepared("librilight", root, **wrong)


def test_libritts_is_a_tree(root: Path) -> None:
    names = ("dev-clean/84/121123/84_121123_000007_000001", "test-other/1/2/1_2_0_0")
    for number, name in enumerate(names):
        text = say(root, number, f"{name}.wav")
        (root / f"{name}.normalized.txt").write_text(text)
    made = prepared(
        "vctk", root, paths="{split}/{speaker}/{book}/{name}.wav",
        text_path="{split}/{speaker}/{book}/{name}.normalized.txt",
    )  # fmt: skip
    assert made.splits == {"dev-clean": [names[0]], "test-other": [names[1]]}
    row = made.rows[names[1]]
    assert (row.speaker, row.text) == ("1", "he was not an ill disposed young man")


def test_the_docs_name_every_corpus_that_is_ready() -> None:
    pages = [PROJECT / f"docs/{name}.md" for name in ("corpora", "lhotse")]
    told = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = re.findall(r"`(?:corpus=|conf/corpus/)?(\w+)(?:\.yaml)?`", told)
    assert {path.stem for path in (PROJECT / "conf/corpus").glob("*.yaml")} <= set(named)
