"""Rows of a corpus that cannot be used, or not quite: named, counted, never lost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from featbank.base.failures import read_failures
from featbank.base.manifest import Utterance, manifest_line, read_manifest
from featbank.base.split_names import split_names
from featbank.corpora import sorting
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import SortedLines
from featbank.errors import BadRowsError, ConfigError, CorpusError, FailureBudgetError
from featbank.files.provenance import canonical_json
from tests.audio.test_several_in_one import without_end
from tests.conftest import ROOT

Recorder = Callable[..., Path]
ALL_TRAIN = {"by": "hash", "shares": {}}


def table(root: Path, text: str, **arguments: Any) -> TableCorpus:
    (root / "t.tsv").write_text(text)
    rule = arguments.pop("split_rule", ALL_TRAIN)
    return TableCorpus(
        name="c", root=root, license="CC0", table="t.tsv", split_rule=rule, **arguments
    )


def run(corpus: TableCorpus, **options: Any) -> dict[str, Any]:
    out = corpus.root.parent / "manifests"
    return prepare(corpus, out, failures_path=corpus.root.parent / "failures.jsonl", **options)


def rows(corpus: TableCorpus) -> dict[str, Utterance]:
    out = corpus.root.parent / "manifests"
    return {
        row.id: row for split in split_names(out) for row in read_manifest(out / f"{split}.jsonl")
    }


BAD = (
    "path\tid\tstart\tchannel\n"
    "x.wav\tgood\t\t\n"
    "x.wav\tlate\tsoon\t\n"
    "../x.wav\tout\t\t\n"
    "x.wav\ta\x1b[2J\t\t\n"
    "x.wav\tshort\n"
    "gone.wav\tgone\t\t\n"
    "x.wav\tleft\t\tleft\n"
)


def test_all_bad_rows_are_named_at_once_beside_the_bad_files(root: Path, record: Recorder) -> None:
    record("x.wav")
    with pytest.raises(BadRowsError, match=r"6 of 7 utterances failed, .*at most 5, got 6"):
        run(table(root, BAD), max_failures=5)
    listed = read_failures(root.parent / "failures.jsonl")
    assert [(one.id, one.kind) for one in listed] == [
        ("gone", "missing"),
        *((f"t.tsv:{line}", "bad_row") for line in (3, 4, 5, 6, 8)),
    ]
    assert not (root.parent / "manifests").exists()
    summary = run(table(root, BAD), max_failures=6)
    assert (summary["num_failures"], summary["splits"]["train"]["utterances"]) == (6, 1)
    assert read_failures(root.parent / "manifests/failures.jsonl") == listed


def test_a_budget_that_only_bad_files_exceed_is_no_fault_of_rows(root: Path) -> None:
    with pytest.raises(FailureBudgetError) as caught:
        run(table(root, "path\ngone.wav\n"))
    assert not isinstance(caught.value, CorpusError)


def test_of_rows_that_share_an_id_none_is_taken_and_each_is_named(
    root: Path, record: Recorder
) -> None:
    record("a.wav"), record("b.wav")
    text = "path\tid\nb.wav\tx\na.wav\tx\na.wav\ty\ngone.wav\tx\n"
    corpus = table(root, text)
    run(corpus, max_failures=3)
    assert list(rows(corpus)) == ["y"]
    found = read_failures(root.parent / "manifests/failures.jsonl")
    assert [(one.id, one.audio, one.kind, one.got) for one in found] == [
        ("x", "a.wav", "repeated_id", "t.tsv:3 and t.tsv:2"),
        ("x", "b.wav", "repeated_id", "t.tsv:3 and t.tsv:2"),
        ("x", "gone.wav", "repeated_id", "t.tsv:3 and t.tsv:5"),
    ]


def test_an_utterance_without_a_speaker_to_split_by_is_a_failure(
    root: Path, record: Recorder
) -> None:
    record("x.wav"), record("y.wav")
    text = "path\tspeaker\nx.wav\tanna\ny.wav\t\n"
    corpus = table(root, text, split_rule={"by": "speaker"})
    run(corpus, max_failures=1)
    [failure] = read_failures(root.parent / "manifests/failures.jsonl")
    assert (failure.id, failure.kind, failure.expected) == (
        "t.tsv:3", "bad_row", "a speaker to split by",
    )  # fmt: skip
    assert failure.got == "none; set corpus.split_rule.by=hash, or give speakers"
    assert list(rows(corpus)) == ["x"]


def test_a_segment_that_ends_a_rounding_behind_its_file_is_cut_there_and_counted(
    root: Path, record: Recorder
) -> None:
    record("x.wav", num_samples=16_000)
    text = "path\tid\tstart\tduration\n" + "".join(
        f"x.wav\t{name}\t{start}\t{duration}\n"
        for name, start, duration in (
            ("fits", 0.5, 0.5),
            ("rounded", 0.5, 0.505),
            ("overshoots", 0.5, 0.599),
            ("too_long", 0.5, 0.61),
            ("begins_behind", 1.0, 0.05),
        )
    )
    corpus = table(root, text)
    summary = run(corpus, max_failures=2)
    assert {
        name: (row.start_sample, row.num_samples) for name, row in rows(corpus).items()
    } == dict.fromkeys(("fits", "rounded", "overshoots"), (8000, 8000))
    assert summary["num_clipped"] == 2
    failures = read_failures(root.parent / "manifests/failures.jsonl")
    assert [failure.id for failure in failures] == ["begins_behind", "too_long"]
    strict = table(root, text, segment_tolerance_s=0.0)
    assert run(strict, max_failures=4)["num_clipped"] == 0
    assert list(rows(strict)) == ["fits"]
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"corpus.segment_tolerance_s: expected seconds"):
            table(root, text, segment_tolerance_s=wrong)


def test_what_people_find_too_late_is_told(root: Path, record: Recorder) -> None:
    record("a.wav", rate=8000), record("b.wav"), record("stereo.wav", channels=2)
    (root / "copy.wav").write_bytes((root / "a.wav").read_bytes())
    text = (
        "path\tid\tspeaker\tsplit\tchannel\n"
        "a.wav\ta\tanna\ttrain\t\ncopy.wav\tcopy\tanna\tdev\t\nb.wav\tb\tben\ttrain\t\n"
        "stereo.wav\te\u0301\tJose\u0301\ttest\t0\nstereo.wav\t\xe9\tJos\xe9\ttest\t1\n"
    )
    summary = run(table(root, text))
    assert summary["sample_rates"] == {
        "8000": {"utterances": 2, "hours": 0.000111},
        "16000": {"utterances": 3, "hours": 8.3e-05},
    }
    assert summary["channels"] == {"1": 3, "2": 1}
    assert {
        name: {"count": one["count"], "examples": one["examples"]}
        for name, one in summary["warnings"].items()
    } == {
        "audio_in_several_splits": {"count": 1, "examples": ["copy (dev), a (train)"]},
        "speakers_in_several_splits": {"count": 1, "examples": ["anna (dev, train)"]},
        "names_in_several_forms": {"count": 2, "examples": ["Jos\xe9", "\xe9"]},
        "upsampled": {"count": 0, "examples": []},
    }


def test_upsampled_audio_is_told(root: Path) -> None:
    speech, _ = soundfile.read(ROOT / "corpora/demo/june_fr/vm-toreply.flac")
    for name, there in (
        ("up", soxr.resample(soxr.resample(speech, 2, 1), 1, 2)),
        ("as_it_was", speech),
    ):
        soundfile.write(root / f"{name}.flac", there, 16_000)
    summary = run(table(root, "path\nup.flac\nas_it_was.flac\n"))
    found = summary["warnings"]["upsampled"]
    assert (found["count"], found["examples"]) == (
        1, ["up.flac (4000 Hz, sampled at 16000 Hz)"],
    )  # fmt: skip


def test_a_corpus_without_such_surprises_warns_of_none(root: Path, record: Recorder) -> None:
    record("a.wav"), record("b.wav")
    text = "path\tspeaker\tsplit\na.wav\tanna\ttrain\nb.wav\tJos\xe9\tdev\n"
    warnings = run(table(root, text))["warnings"]
    assert {one["count"] for one in warnings.values()} == {0}


def test_a_tolerated_fault_that_there_is_not_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"corpus.tolerate: expected ogg_end, got 'damage'"):
        table(root, "path\nx.wav\n", tolerate=["damage"])


def test_a_tolerated_fault_is_taken_and_said_and_another_setting_scans_again(root: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000)
    soundfile.write(root / "x.ogg", noise, 16_000, format="OGG", subtype="VORBIS")
    without_end(root / "x.ogg")
    text = "path\nx.ogg\n"
    with pytest.raises(FailureBudgetError, match=r"tolerate|a page that ends the stream"):
        run(table(root, text))
    tolerant = table(root, text, tolerate=["ogg_end"])
    assert run(tolerant)["tolerate"] == ["ogg_end"]
    assert rows(tolerant)["x"].num_samples == 48_000
    with pytest.raises(FailureBudgetError, match="a page that ends the stream"):
        run(table(root, text))


def test_a_text_of_any_characters_reaches_the_manifest_as_it_is(
    root: Path, record: Recorder
) -> None:
    record("x.wav")
    texts = ["a\x85b\u2028c", "tab\there", "line\nbreak\r", "\u3000", "\U0001f600 \xa0", '"\\', ""]
    lines = [
        json.dumps({"path": "x.wav", "id": f"u{number}", "text": text})
        for number, text in enumerate(texts)
    ]
    (root / "t.jsonl").write_text("\n".join(lines))
    corpus = TableCorpus(name="c", root=root, license="", table="t.jsonl", split_rule=ALL_TRAIN)
    run(corpus)
    assert [row.text for row in rows(corpus).values()] == texts


def test_the_line_of_a_manifest_is_the_canonical_json_of_its_row() -> None:
    row = Utterance(
        id="\xe9/\u2028", audio='a"\\b.wav', audio_digest="md5:0", sample_rate=16000,
        num_samples=2**40, start_sample=7, channel=-1, speaker="\x00\x1f\x7f",
        language="\U0001f600", text="\t\n\r\b\f/", part="p",
        license="\"CC0\"", consent="\xe9",
    )  # fmt: skip
    fields = {name: getattr(row, name) for name in Utterance.__dataclass_fields__}
    assert manifest_line(replace(row, speed=0.9)) == canonical_json(fields | {"speed": 0.9})
    assert fields.pop("speed") == 1
    assert manifest_line(row) == canonical_json(fields)
    del fields["license"], fields["consent"]
    assert manifest_line(replace(row, license="", consent="")) == canonical_json(fields)


def test_rows_of_two_files_by_turns_keep_what_each_says(root: Path, record: Recorder) -> None:
    record("x.wav")
    record("y.wav")
    spans = [("x", 1), ("y", 300), ("x", 600), ("bad", 1), ("x", 2), ("y", 1)]
    names = [name for name, times in spans for _ in range(times)]
    lines = [
        f"../x.wav\tu{number:04d}\t\n" if name == "bad"
        else f"{name}.wav\tu{number:04d}\t{name} {number}\n"
        for number, name in enumerate(names)
    ]  # fmt: skip
    repeated = "x.wav\tu0003\tagain\ny.wav\tu0003\tonce more\n"
    corpus = table(root, "path\tid\ttext\n" + "".join(lines) + repeated)
    run(corpus, max_failures=4)
    expected = {
        f"u{number:04d}": (f"{name}.wav", f"{name} {number}")
        for number, name in enumerate(names) if name != "bad" and number != 3
    }  # fmt: skip
    assert {one: (row.audio, row.text) for one, row in rows(corpus).items()} == expected
    listed = read_failures(root.parent / "manifests/failures.jsonl")
    assert [(one.id, one.kind, one.got) for one in listed if one.kind == "repeated_id"] == [
        ("u0003", "repeated_id", f"t.tsv:{first} and t.tsv:{second}")
        for first, second in ((907, 5), (907, 5), (907, 908))
    ]


def test_lines_are_sorted_whatever_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_LEAST_BLOCK", "_BLOCKS_BYTES"):
        monkeypatch.setattr(sorting, name, 50)  # so that runs are read in several blocks
    rng = random.Random(0)
    keys = [
        rng.choice(["a", "a b", "a/b", "ab", "\xe9", "\U0001f600", "\uffff"]) for _ in range(900)
    ]
    scratch = Scratch(tmp_path)
    expected = sorted((key, f"{number:03d}") for number, key in enumerate(keys))
    for name, run_bytes in (("memory", 1 << 20), ("runs", 2000), ("many", 200)):
        lines = SortedLines(scratch, name, run_bytes)
        for number, key in enumerate(keys):
            lines.add(key, f"{number:03d}")
        assert list(lines) == expected
        assert list(lines) == expected  # again
        grouped = [(key, said) for key, lines_said in lines.groups() for said in lines_said]
        assert grouped == expected
    [folder] = tmp_path.iterdir()
    names = [path.name.partition("-")[0] for path in folder.iterdir()]
    assert set(names) == {"runs", "many"}
    assert names.count("many") <= 64  # which are open at a time
    scratch.__exit__()
    assert list(tmp_path.iterdir()) == []


_MANY = """
import sys
from pathlib import Path
from featbank.corpora.prepare import prepare
from featbank.corpora.layouts.table import TableCorpus

def peak_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

root, out = map(Path, sys.argv[1:])
arguments = {"name": "c", "root": root, "license": "", "split_rule": {"by": "hash"}}
for table in ("few.tsv", "many.tsv"):
    corpus = TableCorpus(table=table, **arguments)
    prepare(corpus, out, failures_path=out.with_suffix(".jsonl"), max_failures=0.5)
    print(peak_mb())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak of memory")
def test_memory_does_not_grow_with_the_rows(root: Path, record: Recorder, tmp_path: Path) -> None:
    record("x.wav", num_samples=160_000)
    for name, number in (("few", 600), ("many", 40_000)):
        with open(root / f"{name}.tsv", "w") as file:
            file.write("path\tid\tstart\tduration\tspeaker\ttext\n")
            for row in range(number):
                # a third are bad, half of these as rows
                start = -1 if row % 6 == 0 else 99 if row % 6 == 1 else row % 90 / 10
                text = "words and words " * 128
                file.write(f"x.wav\tu{row}\t{start}\t0.5\ts{row}\t{text}\n")
    done = subprocess.run(
        [sys.executable, "-c", _MANY, root, tmp_path / "out"], capture_output=True, text=True
    )
    few_mb, many_mb = map(float, done.stdout.split())
    # 80 MB of text, which memory would hold three times if it held it
    assert many_mb < few_mb + 110, done.stderr


@pytest.mark.parametrize(("named", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_missing_file_that_is_there_in_another_unicode_form_says_so(
    root: Path, record: Recorder, named: Any, there: Any
) -> None:
    name = unicodedata.normalize(there, "caf\u00e9/\u00e5.wav")
    record("x.wav"), record(name)
    other = unicodedata.normalize(named, name)
    run(table(root, f"path\nx.wav\n{other}\n"), max_failures=1)
    [failure] = read_failures(root.parent / "manifests/failures.jsonl")
    assert (failure.kind, failure.audio) == ("missing", other)
    assert failure.got.endswith(f"differs in its Unicode form, {name!a}")
