"""Files that a stage or a command reads back, in whose place something else stands."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from featbank.base.failures import read_failures
from featbank.base.labels import LabelFile
from featbank.base.manifest import read_manifest
from featbank.engine.work import finished
from featbank.errors import FeatbankError
from featbank.pipeline.corpus_summary import read_corpus
from featbank.stability.result import read_stability
from featbank.tokenizers.codebook_file import read_codebook
from featbank.validation.result import read_check

READERS: dict[str, Callable[[Path], object]] = {
    "corpus.json": lambda path: read_corpus(path.parent),
    "check.json": read_check,
    "stability.json": read_stability,
    "failures.jsonl": read_failures,
    "train.jsonl": read_manifest,
    "labels.jsonl": lambda path: LabelFile(path).find("a"),
    "codebook.safetensors": read_codebook,
}

PLACED: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "a large file": lambda path: [path.touch(), os.truncate(path, 1 << 40)],
    "a list": lambda path: path.write_text("[]\n"),
    "nesting": lambda path: path.write_text("[" * 100_000 + "\n"),
    "a power": lambda path: path.write_text('{"name": 1e999}\n'),
    "5,000 digits": lambda path: path.write_text('{"name": ' + "9" * 5000 + "}\n"),
    "half a surrogate pair": lambda path: path.write_text('{"name": "\\ud800"}\n'),
    "no UTF-8": lambda path: path.write_bytes(b'{"name": "\xff"}\n'),
    "an object": lambda path: path.write_text("{}\n"),
}


@pytest.mark.parametrize("placed", PLACED)
@pytest.mark.parametrize("name", READERS)
def test_what_stands_in_a_files_place_is_refused_in_one_line(
    name: str, placed: str, tmp_path: Path
) -> None:
    PLACED[placed](tmp_path / name)
    with pytest.raises(FeatbankError, match=name) as caught:
        READERS[name](tmp_path / name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("placed", PLACED)
def test_results_of_earlier_runs_that_are_none_are_of_no_use(placed: str, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    PLACED[placed](tmp_path / "results" / "a.json")
    assert finished(tmp_path) == {}


@pytest.mark.parametrize(
    "summary",
    [
        '{"name": "a", "license": "b", "splits": {"train": {"hours": 1e308}}}',
        '{"name": "a", "license": "b", "splits": {"train": {"hours": -1}}}',
        '{"name": "a", "license": "b", "splits": {"train": {"hours": "1"}}}',
        '{"name": "a", "license": "b", "splits": {"train": 3}}',
        '{"name": "a", "license": "b", "splits": []}',
        '{"name": 1, "license": "b", "splits": {}}',
        '{"name": "a", "splits": {}}',
    ],
)
def test_a_corpus_summary_of_other_values_is_refused(summary: str, tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_text(summary)
    with pytest.raises(
        FeatbankError, match="expected a name, a license, and splits with the hours"
    ):
        read_corpus(tmp_path)


def test_a_row_whose_digest_would_take_any_audio_is_refused(tmp_path: Path) -> None:
    row = {"id": "a", "audio": "a.wav", "audio_digest": "", "sample_rate": 1, "num_samples": 1}
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(FeatbankError, match=r"train\.jsonl:1: audio_digest: expected a digest"):
        read_manifest(tmp_path / "train.jsonl")
