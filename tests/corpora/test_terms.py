"""Licences and consents of utterances: said by a corpus, kept in manifests, required, counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from featbank.base.manifest import Utterance, manifest_line, read_manifest
from featbank.base.terms import MAX_VALUES
from featbank.corpora.base import Corpus
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.layouts.kaldi.corpus import KaldiCorpus
from featbank.corpora.layouts.lhotse.corpus import LhotseCorpus
from featbank.corpora.layouts.nemo import NemoCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.layouts.tree import TreeCorpus
from featbank.corpora.prepare import prepare
from featbank.corpora.requiring import Requirement
from featbank.errors import ConfigError, CorpusError, ManifestError
from featbank.files.json_files import read_json
from featbank.report.corpus import corpus_facts

Recorder = Callable[..., Path]

ROWS = (
    "path\tspeaker\tsplit\tlicense\tconsent\n"
    "a.wav\tann\ttrain\tCC0-1.0\tresearch\n"
    "b.wav\tbo\ttrain\tCC-BY-NC-4.0\tresearch\n"
    "c.wav\tcy\ttrain\t\tall\n"
    "d.wav\tdi\tdev\tcc-by-4.0\t\n"
)


@pytest.fixture
def four(root: Path, record: Recorder) -> Path:
    for name in "abcd":
        record(f"{name}.wav")
    (root / "t.tsv").write_text(ROWS)
    return root


def table(root: Path, **arguments: Any) -> TableCorpus:
    arguments = {"license": "CC BY 4.0", **arguments}
    return TableCorpus(name="c", root=root, table="t.tsv", **arguments)


def prepared(corpus: Corpus) -> tuple[dict[str, Utterance], Mapping[str, Any]]:
    assert isinstance(corpus.root, Path)
    out = corpus.root.parent / "manifests"
    prepare(corpus, out, failures_path=corpus.root.parent / "failures.jsonl")
    summary = read_json(out / "corpus.json", what="summary", error=CorpusError)
    return {
        row.id: row for split in summary["splits"] for row in read_manifest(out / f"{split}.jsonl")
    }, summary


def test_terms_stand_in_the_manifest_where_the_corpus_says_them_and_in_no_other_row(
    four: Path,
) -> None:
    rows, summary = prepared(table(four))
    assert {one: (row.license, row.consent) for one, row in rows.items()} == {
        "a": ("CC0-1.0", "research"),
        "b": ("CC-BY-NC-4.0", "research"),
        "c": ("", "all"),
        "d": ("cc-by-4.0", ""),
    }
    lines = (four.parent / "manifests/train.jsonl").read_text().splitlines()
    [line_c] = [one for one in lines if '"c.wav"' in one]
    assert "license" not in line_c
    assert summary["splits"]["train"]["consent"] == {
        "all": {"utterances": 1, "hours": pytest.approx(rows["c"].duration_s / 3600, abs=1e-6)},
        "research": {
            "utterances": 2,
            "hours": pytest.approx(2 * rows["a"].duration_s / 3600, abs=1e-6),
        },
    }
    assert [*summary["splits"]["dev"]["license"]] == ["cc-by-4.0"]
    assert "consent" not in summary["splits"]["dev"]
    assert "require" not in summary


def test_terms_are_no_part_of_what_an_extractor_sees() -> None:
    row = Utterance(id="a", audio="a.wav", audio_digest="md5:0", sample_rate=8000, num_samples=8)
    said = Utterance(
        id="a", audio="a.wav", audio_digest="md5:0", sample_rate=8000, num_samples=8,
        license="CC0-1.0", consent="research",
    )  # fmt: skip
    assert said.input_digest == row.input_digest
    assert manifest_line(said).replace(',"consent":"research"', "").replace(
        ',"license":"CC0-1.0"', ""
    ) == manifest_line(row)


def test_rows_that_do_not_fit_are_left_out_counted_by_value_and_no_failures(
    four: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    require = {"license": ["cc0*", "CC?BY?4.0"], "consent": "*research*"}
    rows, summary = prepared(table(four, require=require))
    assert [*rows] == ["a"]
    facts = list(corpus_facts(summary))
    assert "utterances by license of their own: CC0-1.0: 1" in facts
    assert "3 rows did not have the terms required, and were left out" in facts
    assert summary["num_failures"] == 0
    assert summary["num_unlisted"] == 0  # files of rows that are left out are known
    assert summary["splits"]["dev"]["utterances"] == 0
    assert summary["require"] == {"license": ["cc0*", "CC?BY?4.0"], "consent": ["*research*"]}
    assert summary["left_out"] == {
        "rows": 3,
        "license": {"CC-BY-NC-4.0": 1},
        "consent": {"": 1, "all": 1},  # c has the licence of its corpus
    }
    assert (
        "c: corpus.require leaves 3 rows out: license 'CC-BY-NC-4.0' (1), "
        "consent not said (1), consent 'all' (1)"
    ) in caplog.text


def test_a_requirement_that_leaves_nothing_says_what_the_corpus_says(four: Path) -> None:
    with pytest.raises(CorpusError, match=r"none: license 'CC BY 4.0' \(1\), license 'CC-BY-NC"):
        prepared(table(four, require={"license": "MIT"}))
    assert not (four.parent / "manifests").exists()


@pytest.mark.parametrize(
    ("require", "told"),
    [
        ({"licence": ["CC0"]}, "corpus.require: expected terms among license, consent.*'licence'"),
        ({"consent": [True]}, "consent: expected texts, got True; quote it, as YAML takes yes"),
        ({"consent": True}, "consent: expected texts, got True"),
        ({"license": 4}, "license: expected texts, got 4"),
        ("research", "corpus.require: expected terms among license, consent.*'research'"),
        ({"license": []}, "license: expected a pattern or more, got none"),
    ],
)
def test_a_requirement_that_cannot_be_meant_is_refused(require: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Requirement.of(require, "")


def test_a_column_that_is_no_kind_of_use_is_refused(root: Path, record: Recorder) -> None:
    record("a.wav")
    lines = [f"a.wav\tu{number}\tform-{number}\n" for number in range(MAX_VALUES + 1)]
    (root / "t.tsv").write_text("path\tid\tconsent\n" + "".join(lines))
    rule = {"by": "hash", "shares": {}}
    with pytest.raises(ManifestError, match="consent of utterances: expected 1,000 different"):
        prepared(table(root, split_rule=rule))
    with pytest.raises(CorpusError, match="consent of utterances: expected 1,000 different"):
        prepared(table(root, split_rule=rule, require={"consent": "research"}))


def test_the_folders_of_a_corpus_may_say_its_terms(root: Path, record: Recorder) -> None:
    record("CC0-1.0/research/a.wav")
    rule = {"by": "hash", "shares": {}}
    arguments: dict[str, Any] = {"name": "c", "root": root, "license": "", "split_rule": rule}
    for corpus in (
        FolderCorpus(folders=["license", "consent"], **arguments),
        TreeCorpus(paths="{license}/{consent}/{name}.wav", **arguments),
    ):
        [row] = corpus.list_utterances().rows
        assert (row.license, row.consent) == ("CC0-1.0", "research")


def test_the_manifests_of_other_toolkits_may_say_terms(root: Path, record: Recorder) -> None:
    audio = record("a.wav")
    (root / "wav.scp").write_text(f"a {audio}\nb {audio}\n")
    (root / "utt2consent").write_text("a research\n")
    (root / "nemo.json").write_text('{"audio_filepath": "a.wav", "license": "CC0-1.0"}\n')
    recording = {
        "id": "r", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}],
        "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0,
    }  # fmt: skip
    said = [
        {"id": one, "recording_id": "r", "start": 0.0, "duration": 1.0, **custom}
        for one, custom in (("a", {"custom": {"license": "CC0-1.0"}}), ("b", {}))
    ]
    write_lines(root / "recordings.jsonl", recording)
    write_lines(root / "supervisions.jsonl", *said)
    arguments: dict[str, Any] = {"name": "c", "root": root, "license": ""}
    kaldi = KaldiCorpus(dirs=".", **arguments).list_utterances().rows
    assert [row.consent for row in kaldi] == ["research", ""]
    [nemo] = NemoCorpus(manifests="nemo.json", **arguments).list_utterances().rows
    assert (nemo.license, nemo.consent) == ("CC0-1.0", "")
    lhotse = LhotseCorpus(
        manifests=["recordings.jsonl", "supervisions.jsonl"],
        fields={"license": "custom.license"},
        **arguments,
    )
    assert [row.license for row in lhotse.list_utterances().rows] == ["CC0-1.0", ""]


def write_lines(path: Path, *values: Any) -> None:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in values))
