"""Labels as aligners and corpora publish them."""

from __future__ import annotations

import builtins
import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from praatio import textgrid
from praatio.data_classes.point_tier import PointTier

from featbank.base.label_forms import LabelSource, find_labels, has_labels, open_labels
from featbank.base.label_forms import textgrid as textgrids
from featbank.base.labels import Intervals, LabelFile
from featbank.errors import ConfigError, CorpusError

PHONES = [(0.0, 0.12, "HH"), (0.12, 0.3, "AY1"), (0.35, 0.5, "T")]
WORDS = [(0.0, 0.3, "hi"), (0.35, 0.5, "t")]


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def grid(path: Path, form: str = "long_textgrid", **tiers: list[Any]) -> Path:
    """Write a TextGrid as praatio does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = textgrid.Textgrid()
    for name, entries in (tiers or {"words": WORDS, "phones": PHONES}).items():
        made.addTier(textgrid.IntervalTier(name, entries, 0, 0.6))
    made.save(str(path), form, includeBlankSpaces=True)
    return path


def rows(found: Intervals | None) -> list[tuple[float, float, str]] | None:
    if found is None:
        return None
    return list(zip(found.starts_s.tolist(), found.ends_s.tolist(), found.labels, strict=True))


def labels_of(path: Path, utterance_id: str, **settings: Any) -> Any:
    return rows(open_labels(LabelSource(path=str(path), **settings)).find(utterance_id))


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid", "json"])
def test_tiers_of_textgrids_are_read_without_their_silences(tmp_path: Path, form: Any) -> None:
    grid(tmp_path / "ann" / "u1.TextGrid", form)
    assert labels_of(tmp_path, "ann/u1") == PHONES
    assert labels_of(tmp_path, "ann/u1", tier="words") == WORDS
    assert labels_of(tmp_path, "ann/u2") is None


def test_a_tier_of_the_only_speaker_may_have_its_name_before_it(tmp_path: Path) -> None:
    grid(tmp_path / "u.TextGrid", **{"ann - words": WORDS, "ann - phones": PHONES})
    grid(tmp_path / "two.TextGrid", **{"ann - phones": PHONES, "ben - phones": WORDS})
    assert labels_of(tmp_path, "u") == PHONES
    assert labels_of(tmp_path, "two", tier="ben - phones") == WORDS
    with pytest.raises(CorpusError, match=r"one tier 'phones', got tiers 'ann - phones', 'ben"):
        labels_of(tmp_path, "two")
    with pytest.raises(CorpusError, match=r"one tier 'syllables'.*name one of them"):
        labels_of(tmp_path, "u", tier="syllables")


def test_a_file_that_is_no_textgrid_is_named(tmp_path: Path) -> None:
    whole = grid(tmp_path / "u.TextGrid").read_bytes()
    for data in (b"", b"hello", b"\xff\xfe\xff", whole[: len(whole) // 2], b"[" * 100_000):
        (tmp_path / "u.TextGrid").write_bytes(data)
        with pytest.raises(CorpusError, match=r"labels .*u\.TextGrid: expected"):
            labels_of(tmp_path, "u")


def test_a_tier_of_points_labels_no_time(tmp_path: Path) -> None:
    made = textgrid.Textgrid()
    made.addTier(PointTier("phones", [(0.5, "click")], 0, 1))
    made.save(str(tmp_path / "u.TextGrid"), "short_textgrid", includeBlankSpaces=True)
    with pytest.raises(CorpusError, match="expected intervals in 'phones', got points"):
        labels_of(tmp_path, "u")


def test_without_praatio_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(name: str, *more: Any) -> Any:
        if name.startswith("praatio"):
            raise ImportError(f"No module named {name!r}")
        return importlib.import_module(name, *more)

    grid(tmp_path / "u.TextGrid")
    monkeypatch.setattr(textgrids, "import_module", without)
    with pytest.raises(ConfigError, match=r'pip install "featbank\[textgrid\]"'):
        labels_of(tmp_path, "u")


def test_ctm_is_read_by_the_ids_in_it(tmp_path: Path) -> None:
    path = put(
        tmp_path / "ali.ctm",
        ";; phones\n"
        "ann-1 1 0.000 0.120 HH\nann-1 1 0.120 0.180 AY1 0.98\n\nann-1 1 0.350 0.150 T\n"
        "b/2 A 0.1 0.2 S\n",
    )
    assert labels_of(path, "ann-1") == PHONES
    assert labels_of(path, "b/2") == [(0.1, 0.3, "S")]
    assert labels_of(path, "c/b/2") == [(0.1, 0.3, "S")]
    assert labels_of(path, "none") is None
    put(tmp_path / "more" / "phones" / "u.ctm", "u 1 0 1 A\n")
    assert labels_of(tmp_path / "more", "u") == [(0, 1, "A")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("u 1 0 1\n", r"ali\.ctm:1: expected utterance, channel, start, duration and label"),
        ("u 1 0 x A\n", r"ali\.ctm:1: expected seconds, got 'x'"),
        ("u 1 0 nan A\n", "in order of time"),
        ("u 1 1 1 A\nu 1 0 1 B\n", "in order of time"),
        ("u 1 0 -1 A\n", "in order of time"),
        ("u A 0 1 A\nu B 0 1 B\n", r"ali\.ctm:2: expected channel A, got B"),
        ("u 1 0 1 A\nv 1 0 1 A\nu 1 1 1 B\n", r"ali\.ctm:3: expected the labels of an id once"),
    ],
)
def test_ctm_of_another_form_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CorpusError, match=told):
        labels_of(put(tmp_path / "ali.ctm", text), "u")


def test_phn_and_wrd_count_samples(tmp_path: Path) -> None:
    put(tmp_path / "TRAIN/DR1/FCJF0/SA1.PHN", "0 3050 h#\n3050 4559 sh\n\n4559 5723 ix\n")
    put(tmp_path / "TRAIN/DR1/FCJF0/SA1.WRD", "3050 5723 she\n")
    put(tmp_path / "TRAIN/DR1/FCJF0/SA1.TXT", "0 46797 She had\n")
    put(tmp_path / "TRAIN/DR1/FDAW0/SA1.PHN", "0 16 q\n")
    assert labels_of(tmp_path, "TRAIN/DR1/FCJF0/SA1") == [
        (0.0, 0.190625, "h#"), (0.190625, 0.2849375, "sh"), (0.2849375, 0.3576875, "ix"),
    ]  # fmt: skip
    assert labels_of(tmp_path, "TRAIN/DR1/FCJF0/SA1", tier="words") == [
        (0.190625, 0.3576875, "she"),
    ]  # fmt: skip
    assert labels_of(tmp_path, "TRAIN/DR1/FDAW0/SA1", sample_rate=16) == [(0, 1, "q")]
    # of another speaker, who has none
    assert labels_of(tmp_path, "TRAIN/DR2/FXYZ0/SA1") is None


@pytest.mark.parametrize("text", ["0 1\n", "0 1 a b\n", "-1 5 a\n", "0.5 1 a\n", "5 1 a\n", "\xff"])
def test_phn_of_another_form_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "u.phn").write_text(text, encoding="latin-1")
    with pytest.raises(CorpusError, match=r"u\.phn"):
        labels_of(tmp_path, "u")


ALIGNED = '84-121123-0000 ",HI,,T," "0.490,0.890,1.270,1.380,2.090"\n84-121123-0001 "A" "0.5"\n'
SAID = [(0.49, 0.89, "HI"), (1.27, 1.38, "T")]


def test_published_alignments_of_librispeech_are_words(tmp_path: Path) -> None:
    put(tmp_path / "LibriSpeech/dev-clean/84/121123/84-121123.alignment.txt", ALIGNED)
    words = {"tier": "words"}
    for folder, utterance_id in (
        ("LibriSpeech", "dev-clean/84/121123/84-121123-0000"),
        ("LibriSpeech", "84-121123-0000"),
        ("LibriSpeech/dev-clean", "dev-clean/84/121123/84-121123-0000"),
        ("", "dev-clean/84/121123/84-121123-0000"),
    ):
        assert labels_of(tmp_path / folder, utterance_id, **words) == SAID
    assert labels_of(tmp_path, "84-121123-0001", **words) == [(0.0, 0.5, "A")]
    assert labels_of(tmp_path, "84-121123-0002", **words) is None
    with pytest.raises(CorpusError, match=r"phones in files.*librispeech; .*tier: words"):
        labels_of(tmp_path, "84-121123-0000")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('u "A,B" "0.5"', "as many ends"),
        ('u "A"', "as many ends"),
        ('u "A,B" "0.5,0.2"', r"an end from 0\.5 on"),
        ('u "A" "x"', "expected seconds, got 'x'"),
    ],
)
def test_alignments_of_another_form_are_named(tmp_path: Path, line: str, told: str) -> None:
    put(tmp_path / "x.alignment.txt", f'v "A" "1"\n{line}\n')
    assert labels_of(tmp_path, "v", tier="words") == [(0, 1, "A")]
    with pytest.raises(CorpusError, match=rf"x\.alignment\.txt:2.*{told}"):
        labels_of(tmp_path, "u", tier="words")


def test_the_textgrid_release_of_librispeech_is_told_apart_by_its_form(tmp_path: Path) -> None:
    folder = tmp_path / "dev-clean/84/121123"
    grid(folder / "84-121123-0000.TextGrid")
    put(folder / "84-121123.alignment.txt", ALIGNED)
    one = "dev-clean/84/121123/84-121123-0000"
    assert labels_of(tmp_path, one) == PHONES
    with pytest.raises(CorpusError, match=r"form: (textgrid|librispeech) or"):
        labels_of(tmp_path, one, tier="words")
    assert labels_of(tmp_path, one, tier="words", form="textgrid") == WORDS
    assert labels_of(tmp_path, one, tier="words", form="librispeech") == SAID


def test_ids_that_end_alike_are_never_mixed_up(tmp_path: Path) -> None:
    for name in ("a", "b"):
        grid(tmp_path / name / "u.TextGrid")
    labels = open_labels(tmp_path)
    assert labels.name_of("a/u") == labels.name_of("x/a/u") == "a/u"
    assert labels.name_of("c/u") is None
    with pytest.raises(CorpusError, match=r"labels of u in .*: expected one .*, got a/u and b/u"):
        labels.find("u")


def test_hidden_files_are_no_labels(tmp_path: Path) -> None:
    grid(tmp_path / "u.TextGrid")
    put(tmp_path / "._v.TextGrid"), put(tmp_path / ".cache" / "w.TextGrid")
    labels = open_labels(tmp_path)
    assert list(labels.names()) == ["u"]


def test_labels_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nothing there; corpus\.labels is a path"):
        labels_of(tmp_path / "none.ctm", "u")
    with pytest.raises(CorpusError, match="files of none"):
        labels_of(tmp_path, "u")
    (tmp_path / "u.phn").mkdir()
    os.mkfifo(tmp_path / "v.phn")
    with pytest.raises(CorpusError, match=r"v\.phn: expected a readable file, got a pipe"):
        labels_of(tmp_path, "v")


def found(path: Path, name: str) -> Any:
    labels = open_labels(path)
    assert has_labels(labels, name) == (find_labels(labels, name) is not None)
    return rows(find_labels(labels, name))


def test_labels_of_a_speed_are_those_of_its_source_as_they_are_then_played(tmp_path: Path) -> None:
    said = {"a": [[0.0, 0.9, "A"]], "b": [[0.0, 1.0, "B"]], "sp2-b": [[0.0, 0.4, "S"]]}
    lines = [json.dumps({"id": one, "labels": labels}) for one, labels in said.items()]
    path = put(tmp_path / "labels.jsonl", "\n".join(lines) + "\n")
    assert found(path, "a") == [(0.0, 0.9, "A")]
    assert found(path, "sp0.9-a") == [(0.0, 1.0, "A")]
    assert found(path, "sp2-b") == [(0.0, 0.4, "S")]  # its own
    assert found(path, "sp0.5-sp2-b") == [(0.0, 0.8, "S")]  # those nearest to it
    assert found(path, "sp0-a") is found(path, "sp0.90-a") is None


def test_labels_that_an_id_ends_with_are_those_of_its_source(tmp_path: Path) -> None:
    grid(tmp_path / "u.TextGrid", phones=[(0.0, 0.9, "A")])
    assert found(tmp_path, "dir/u") == [(0.0, 0.9, "A")]
    assert found(tmp_path, "sp0.9-dir/u") == [(0.0, 1.0, "A")]


def test_labels_of_a_channel_are_its_own_or_those_of_its_recording(tmp_path: Path) -> None:
    said = {"call": [[0.0, 1.0, "C"]], "talk-ch1": [[0.0, 1.0, "T"]]}
    lines = [json.dumps({"id": one, "labels": labels}) for one, labels in said.items()]
    path = put(tmp_path / "labels.jsonl", "\n".join(lines) + "\n")
    assert found(path, "call-ch1") == [(0.0, 1.0, "C")]
    assert found(path, "sp2-call-ch0") == [(0.0, 0.5, "C")]
    assert found(path, "talk-ch1") == [(0.0, 1.0, "T")]
    assert found(path, "talk-ch0") is None


def test_a_ctm_of_a_call_says_which_channel_a_label_is_of(tmp_path: Path) -> None:
    text = "call A 0.0 0.5 hi\ncall B 0.2 0.5 ho\nmono 1 0.0 0.5 hm\n"
    path = put(tmp_path / "labels.ctm", text)
    assert found(path, "call-ch0") == [(0.0, 0.5, "hi")]
    assert found(path, "call-ch1") == [(0.2, 0.7, "ho")]
    assert found(path, "mono-ch1") == [(0.0, 0.5, "hm")]  # as Kaldi writes all
    with pytest.raises(CorpusError, match="expected channel A, got B"):
        found(path, "call")


def test_a_file_without_a_known_ending_is_of_json_lines(tmp_path: Path) -> None:
    path = put(tmp_path / "labels.txt", '{"id": "u", "labels": [[0, 1, "A"]]}\n')
    assert isinstance(open_labels(path), LabelFile)
    assert labels_of(path, "u") == [(0, 1, "A")]
    assert labels_of(path.rename(tmp_path / "x.ctm"), "u", form="jsonl") == [(0, 1, "A")]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (3, "a path, or"),
        ({}, "path"),
        ({"path": 5}, "path"),
        ({"path": "a", "tiers": "words"}, "tiers"),
        ({"path": "a", "form": "praat"}, "jsonl, textgrid, ctm"),
        ({"path": "a", "sample_rate": 0}, "Hz, 1 or more"),
    ],
)
def test_a_definition_of_labels_of_another_form_is_refused(given: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"corpus\.labels.*{told}"):
        LabelSource.of(given)


def test_nothing_is_read_before_labels_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a file was opened")

    grid(tmp_path / "u.TextGrid")
    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "walk", refuse)
    open_labels(tmp_path)
