"""Rows that become several utterances: one a channel of a call, one a speed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from featbank.audio import AudioScan, load_audio
from featbank.base.failures import read_failures
from featbank.base.manifest import Utterance, read_manifest, write_manifest
from featbank.base.split_names import split_names
from featbank.corpora.base import CorpusRow
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.corpora.resolving import resolve
from featbank.corpora.variants import at_speed
from featbank.errors import AudioError, ConfigError, CorpusError, FailureBudgetError, ManifestError

Recorder = Callable[..., Path]
THREE = [0.9, 1.0, 1.1]


def table(root: Path, text: str, **arguments: Any) -> TableCorpus:
    (root / "t.tsv").write_text(text)
    return TableCorpus(name="c", root=root, license="CC0", table="t.tsv", **arguments)


def run(corpus: TableCorpus | FolderCorpus, **options: Any) -> dict[str, Any]:
    beside = corpus.root.parent
    return prepare(corpus, beside / "manifests/c", failures_path=beside / "c.jsonl", **options)


def rows(root: Path) -> dict[str, tuple[str, Utterance]]:
    """The split and the row of each utterance."""
    out = root.parent / "manifests/c"
    return {
        row.id: (split, row)
        for split in split_names(out)
        for row in read_manifest(out / f"{split}.jsonl")
    }


def test_the_channels_of_a_call_are_two_utterances_of_two_speakers(
    root: Path, record: Recorder
) -> None:
    record("call.wav", channels=2)
    record("mono.wav")
    text = (
        "path\tid\tspeaker\tsplit\tstart\tduration\tchannel\ncall.wav\tcall\tbo\ttrain\t\t\t\n"
        "call.wav\tlast\t\tdev\t0.05\t0.05\t\n"
        "mono.wav\tmono\tbo\ttrain\t\t\t\ncall.wav\tright\tann\ttrain\t\t\t1\n"
    )
    summary = run(table(root, text, channel="each"))
    found = rows(root)
    assert {one: (split, row.channel, row.speaker) for one, (split, row) in found.items()} == {
        "call-ch0": ("train", 0, "bo-ch0"),
        "call-ch1": ("train", 1, "bo-ch1"),
        "last-ch0": ("dev", 0, ""),
        "last-ch1": ("dev", 1, ""),
        "mono": ("train", 0, "bo"),
        "right": ("train", 1, "ann"),
    }
    assert (found["last-ch1"][1].start_sample, found["last-ch1"][1].num_samples) == (800, 800)
    assert summary["channel"] == "each"
    samples, _ = soundfile.read(root / "call.wav", dtype="float32")
    for channel in (0, 1):
        row = found[f"call-ch{channel}"][1]
        heard = load_audio(
            root / row.audio, sample_rate=16000, num_samples=1600, channel=row.channel
        )
        assert np.array_equal(heard, samples[:, channel])


def test_ids_of_channels_are_those_of_rows_that_say_their_channel(
    root: Path, record: Recorder
) -> None:
    record("call.wav", channels=2)
    run(table(root, "path\tspeaker\tstart\ncall.wav\tbo\t0\n", channel="each"))
    each = set(rows(root))
    run(table(root, "path\tspeaker\tstart\tchannel\ncall.wav\tbo\t0\t0\ncall.wav\tbo\t0\t1\n"))
    assert each == set(rows(root)) == {"call-0000000-end-ch0", "call-0000000-end-ch1"}


@pytest.mark.parametrize("by", ["speaker", "hash"])
def test_the_split_rule_leaves_the_channels_of_a_call_together(
    by: str, root: Path, record: Recorder
) -> None:
    for number in range(24):
        record(f"s{number}/call.wav", channels=2)
    rule = {"by": by, "shares": {"dev": 0.3, "test": 0.3}}
    corpus = FolderCorpus(
        name="c", root=root, license="", folders=["speaker"], split_rule=rule, channel="each",
        speeds=THREE,
    )  # fmt: skip
    run(corpus)
    found = rows(root)
    assert len({split for split, _ in found.values()}) == 3
    for one, (split, row) in found.items():
        sibling = one[:-1] + ("1" if one.endswith("0") else "0")
        assert found[sibling][0] == split
        assert (split == "train") or row.speed == 1
    in_train = [one for one, (split, _) in found.items() if split == "train"]
    assert len(in_train) % 6 == 0
    assert len(found) == 48 + len(in_train) * 2 // 3


def test_a_bad_file_is_one_failure_of_its_row_whatever_its_variants(
    root: Path, record: Recorder
) -> None:
    record("call.wav", channels=2)
    (root / "bad.wav").write_bytes(b"RIFF")
    text = "path\tsplit\nbad.wav\ttrain\ncall.wav\ttrain\nmissing.wav\ttrain\n"
    run(table(root, text, channel="each", speeds=THREE), max_failures=2)
    listed = read_failures(root.parent / "manifests/c/failures.jsonl")
    assert [one.id for one in listed] == ["bad", "missing"]
    assert len(rows(root)) == 6


def test_utterances_to_train_on_are_there_at_each_speed_and_others_once(
    root: Path, record: Recorder
) -> None:
    record("a.wav", num_samples=16000)
    record("b.wav", num_samples=16000)
    text = (
        "path\tid\tspeaker\tsplit\tpart\ttext\n"
        "a.wav\ta\tann\tmain\tp\thi\nb.wav\tb\t\tmain\tp\t\n"
        "a.wav\tc\tann\tdev\tp\t\nb.wav\tx\tbo\tother\tp\t\n"
    )
    summary = run(table(root, text, speeds=THREE, train=["main"], held_out=["dev"]))
    found = rows(root)
    assert {one: (split, row.speaker, row.speed) for one, (split, row) in found.items()} == {
        "sp0.9-a": ("main", "sp0.9-ann", 0.9),
        "a": ("main", "ann", 1),
        "sp1.1-a": ("main", "sp1.1-ann", 1.1),
        "sp0.9-b": ("main", "", 0.9),
        "b": ("main", "", 1),
        "sp1.1-b": ("main", "", 1.1),
        "c": ("dev", "ann", 1),
        "x": ("other", "bo", 1),
    }
    slow = found["sp0.9-a"][1]
    assert (slow.text, slow.part, slow.sample_rate, slow.num_samples) == ("hi", "p", 16000, 16000)
    assert slow.duration_s == pytest.approx(1 / 0.9)
    assert summary["speeds"] == THREE
    seconds = 2 / 0.9 + 2 / 1 + 2 / 1.1
    assert summary["splits"]["main"]["hours"] == pytest.approx(seconds / 3600, abs=1e-6)
    assert summary["sample_rates"]["16000"] == {
        "utterances": 8,
        "hours": pytest.approx((seconds + 2) / 3600, abs=1e-6),
    }
    # at another speed, audio that is held out is no other audio
    assert summary["warnings"]["audio_in_several_splits"]["count"] == 2


def test_audio_of_a_held_out_split_that_is_trained_on_at_another_speed_is_told(
    root: Path, record: Recorder
) -> None:
    record("a.wav")
    text = "path\tid\tsplit\na.wav\ta\ttrain\na.wav\tb\tdev\n"
    warned = run(table(root, text, speeds=[0.9]))["warnings"]["audio_in_several_splits"]
    assert warned["examples"] == ["b (dev), sp0.9-a (train)"]


def test_speeds_of_a_corpus_with_nothing_to_train_on_are_warned_of(
    root: Path, record: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    record("a.wav")
    text = "path\tid\tsplit\na.wav\ta\ttraining\n"
    run(table(root, text))
    assert "corpus.speeds" not in caplog.text
    run(table(root, text, speeds=THREE))
    assert "nothing is played at corpus.speeds, for it has no split of corpus.train: train" in (
        caplog.text
    )
    assert set(rows(root)) == {"a"}


def test_a_manifest_says_a_speed_where_it_is_not_1_and_reads_as_it_was_written(
    root: Path, record: Recorder, tmp_path: Path
) -> None:
    record("a.wav")
    run(table(root, "path\tsplit\na.wav\ttrain\n", speeds=[1.0, 1.1]))
    path = root.parent / "manifests/c/train.jsonl"
    plain, fast = (json.loads(line) for line in path.read_text().splitlines())
    assert "speed" not in plain
    assert fast.pop("speed") == 1.1
    assert fast == plain | {"id": "sp1.1-a"}
    write_manifest(tmp_path / "again.jsonl", read_manifest(path))
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    first, second = read_manifest(path)
    assert first.input_digest != second.input_digest


def test_without_variants_no_byte_of_the_manifests_says_any(root: Path, record: Recorder) -> None:
    record("a.wav")
    run(table(root, "path\tsplit\na.wav\ttrain\n"))
    written = b"".join(path.read_bytes() for path in (root.parent / "manifests/c").iterdir())
    assert b"speed" not in written
    assert b'"each"' not in written


@pytest.mark.parametrize(
    "speed", ["0.9", True, 0.0, -1.0, 0.05, 11.0, float("nan"), float("inf"), 0.9000001, None]
)
def test_a_speed_that_none_can_be_is_refused(speed: Any, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"corpus.speeds: expected a speed from 0.1 to 10"):
        table(root, "path\n", speeds=[1.0, speed])
    row = Utterance(id="a", audio="a", audio_digest="x", sample_rate=1, num_samples=1, speed=speed)
    (tmp_path / "bad.jsonl").write_text(
        json.dumps({name: getattr(row, name) for name in Utterance.__dataclass_fields__})
    )
    with pytest.raises(ManifestError):
        read_manifest(tmp_path / "bad.jsonl")


@pytest.mark.parametrize("speeds", [[], 0.9, "0.9", [1.0, 1]])
def test_speeds_that_are_no_list_or_say_one_twice_are_refused(speeds: Any, root: Path) -> None:
    with pytest.raises(ConfigError, match=r"corpus.speeds: expected (a list|each speed once)"):
        table(root, "path\n", speeds=speeds)


def test_a_channel_that_is_no_channel_is_told_of_each(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"an index from 0, or mix, or each, got 'both'"):
        table(root, "path\n", channel="both")


def test_an_id_that_a_variant_has_too_is_refused(root: Path, record: Recorder) -> None:
    record("a.wav")
    text = "path\tid\tsplit\na.wav\ta\ttrain\na.wav\tsp0.9-a\tdev\n"
    with pytest.raises(FailureBudgetError, match=r"sp0.9-a"):
        run(table(root, text, speeds=THREE))
    kinds = [(one.id, one.kind) for one in read_failures(root.parent / "c.jsonl")]
    assert kinds == [("sp0.9-a", "repeated_id")] * 2


def _row(**fields: Any) -> CorpusRow:
    return CorpusRow(id="a", audio="a.wav", where="t:1", **fields)


SCAN = AudioScan(digest="x", sample_rate=16000, num_samples=16000, num_channels=1)


def test_times_of_a_row_that_its_corpus_plays_at_a_speed_are_of_what_is_played() -> None:
    slow = _row(start_s=0.5, duration_s=0.6, speed=0.9)
    found, is_clipped = resolve(slow, SCAN, None, tolerance_s=0)
    assert (found.start_sample, found.num_samples, found.speed) == (7200, 8640, 0.9)
    assert not is_clipped
    assert resolve(_row(claimed_duration_s=2.0, speed=0.5), SCAN, None)[0].num_samples == 16000
    with pytest.raises(AudioError, match=r"expected 1.0 s, .*, got 2.000 s"):
        resolve(_row(claimed_duration_s=1.0, speed=0.5), SCAN, None)
    found, is_clipped = resolve(
        _row(start_s=0.5, duration_s=1.55, speed=0.5), SCAN, None, tolerance_s=0.1
    )
    assert (found.num_samples, is_clipped) == (12000, True)
    with pytest.raises(CorpusError, match=r"speed in t:1: expected a speed"):
        resolve(_row(speed=0.0), SCAN, None)


def test_a_speed_of_the_definition_comes_on_top_of_that_of_a_row() -> None:
    slow, _ = resolve(_row(speed=0.9), SCAN, None)
    assert at_speed(slow, 1.1) == slow._replace(id="sp1.1-a", speed=0.99)
    assert at_speed(slow, 1.0) == slow
    with pytest.raises(CorpusError, match=r"speed of 'a': expected a speed from 0.1 to 10"):
        at_speed(slow._replace(speed=0.2), 0.2)
