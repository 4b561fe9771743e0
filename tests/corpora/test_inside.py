"""Corpora whose audio lies in tars, Parquet and Arrow files give what their folders give."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import featbank.corpora.scanning as scanning
from featbank.audio import close_passes, forget_groups, load_audio
from featbank.audio.inside import groups as inside_groups
from featbank.audio.inside import parquet
from featbank.base.failures import read_failures
from featbank.base.manifest import Utterance
from featbank.base.places import Place
from featbank.corpora.base import Corpus
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.layouts.huggingface import HuggingFaceCorpus
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.layouts.webdataset import WebDatasetCorpus
from featbank.errors import CorpusError, FailureBudgetError
from tests.conftest import SPLITS
from tests.extracting import extract_corpus, files
from tests.inside_files import (
    ALL_TRAIN,
    DEMO,
    bytes_read,
    clip,
    demo_rows,
    places_in,
    prepared,
    write_table,
    write_tar,
)

COLUMNS = {"utt": "id", "speaker": "speaker", "locale": "language", "sentence": "text"}
GROUP = 5  # rows of a row group


def as_tar(root: Path) -> Corpus:
    """One tar of the clips, and the table beside it that says where they lie."""
    rows = demo_rows()
    tar = write_tar(root / "clips" / "all.tar", {r["path"]: clip(r) for r in rows})
    places = places_in(tar, root)
    table = [row | {"id": row["path"].removesuffix(".flac")} for row in rows]
    write_table(root / "where.tsv", [row | {"path": places[row["path"]]} for row in table])
    return TableCorpus(name="demo", root=root, license="free", table="where.tsv")


def as_webdataset(root: Path) -> Corpus:
    """Tars of ten samples; what describes a clip is before the first of them, behind others."""
    for split in SPLITS:
        rows = [row for row in demo_rows() if row["split"] == split]
        for number in range(0, len(rows), 10):
            members: dict[str, bytes] = {}
            for row in rows[number : number + 10]:
                key = row["path"].removesuffix(".flac")
                said = {"speaker": row["speaker"], "locale": row["language"], "extra": [1, {}]}
                beside = {
                    f"{key}.json": json.dumps(said).encode(),
                    f"{key}.txt": f"{row['text']}\n".encode(),
                }
                audio = {row["path"]: clip(row)}
                members |= beside | audio if len(members) % 2 else audio | beside
            write_tar(root / f"{split}-{number // 10:04d}.tar", members)
    return WebDatasetCorpus(
        name="demo", root=root, license="free",
        shards={"train": "train-{0000..0002}.tar", "dev": "dev-*.tar", "test": ["test-*.tar"]},
        columns={"speaker": "speaker", "locale": "language", "txt": "text"},
    )  # fmt: skip


def as_parquet(root: Path) -> Corpus:
    (root / "data").mkdir(parents=True)
    for split in SPLITS:
        dataset(split).to_parquet(
            root / "data" / f"{split}-00000-of-00001.parquet", batch_size=GROUP
        )
    return HuggingFaceCorpus(name="demo", root=root, license="free", columns=COLUMNS)


def as_arrow(root: Path) -> Corpus:
    from datasets import DatasetDict

    splits = DatasetDict({split: dataset(split) for split in SPLITS})
    splits.save_to_disk(root, num_shards={"train": 2, "dev": 1, "test": 1})
    return HuggingFaceCorpus(name="demo", root=root, license="free", columns=COLUMNS)


FORMS: dict[str, Callable[[Path], Corpus]] = {
    "tar": as_tar, "webdataset": as_webdataset, "parquet": as_parquet, "arrow": as_arrow,
}  # fmt: skip


def dataset(split: str) -> Any:
    """A split as the real package has it: an Audio column, and a language that is a class."""
    import datasets

    datasets.disable_progress_bars()
    languages = sorted({row["language"] for row in demo_rows()})
    rows = [
        {
            "audio": {"bytes": clip(row), "path": row["path"].rpartition("/")[2]},
            "utt": row["path"].removesuffix(".flac"),
            "speaker": row["speaker"],
            "locale": languages.index(row["language"]),
            "sentence": row["text"],
        }
        for row in demo_rows()
        if row["split"] == split
    ]
    text = datasets.Value("string")
    features = datasets.Features({
        "audio": datasets.Audio(), "utt": text, "speaker": text,
        "locale": datasets.ClassLabel(names=languages), "sentence": text,
    })  # fmt: skip
    return datasets.Dataset.from_list(rows).cast(features)


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    folder = tmp_path_factory.mktemp("forms")
    made = {name: make(folder / name / "corpus") for name, make in FORMS.items()}
    shutil.copytree(DEMO, folder / "folder" / "corpus")
    made["folder"] = TableCorpus(
        name="demo", root=folder / "folder" / "corpus", license="free", table="transcripts.tsv"
    )
    return made


@pytest.fixture(scope="module")
def from_folder(
    forms: dict[str, Corpus], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The bytes of the stores made of the folder."""
    prepared(forms["folder"])
    out = tmp_path_factory.mktemp("stores")
    extract_corpus(forms["folder"].root, out, num_workers=None)
    return files(out)


def facts(rows: Sequence[Utterance]) -> list[Any]:
    return [
        (row.id, row.audio_digest, row.num_samples, row.speaker, row.language, row.text)
        for row in rows
    ]


def audio_read(corpus: Corpus, rows: Sequence[Utterance]) -> Iterator[Any]:
    for row in sorted(rows, key=lambda row: row.audio):
        yield load_audio(
            corpus.root / row.audio,
            sample_rate=row.sample_rate,
            num_samples=row.num_samples,
            digest=row.audio_digest,
        )


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_demo_gives_the_folders_bytes(
    form: str, forms: dict[str, Corpus], from_folder: dict[str, bytes], tmp_path: Path
) -> None:
    corpus = forms[form]
    found, expected = prepared(corpus), prepared(forms["folder"])
    assert {split: facts(rows) for split, rows in found.items()} == {
        split: facts(rows) for split, rows in expected.items()
    }
    assert all(Place.parse(row.audio) for rows in found.values() for row in rows)
    extract_corpus(corpus.root, tmp_path / "out", num_workers=None)
    assert files(tmp_path / "out") == from_folder
    assert prepared(corpus) == found  # by what is remembered of it


@pytest.mark.parametrize("form", FORMS)
def test_a_pass_in_the_order_of_the_container_reads_little_more_than_its_audio(
    form: str, forms: dict[str, Corpus]
) -> None:
    inside, own = prepared(forms[form])["train"], prepared(forms["folder"])["train"]
    num_bytes = sum((DEMO / row.audio).stat().st_size for row in own)
    for _ in audio_read(forms[form], inside[:1]):  # what is imported then is no audio
        close_passes()
        forget_groups()
    start = bytes_read()
    for _ in audio_read(forms["folder"], own):
        pass
    middle = bytes_read()
    for _ in audio_read(forms[form], inside):
        pass
    close_passes()
    forget_groups()
    # a decoder reads the copy in memory as often as it reads a file; a footer is read besides
    read = (bytes_read() - middle) - (middle - start)
    assert num_bytes <= read < 1.05 * num_bytes + (64 << 10)


def test_each_row_group_is_read_once_by_a_pass_and_by_a_scan(
    forms: dict[str, Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    read = parquet._read_group

    def count(file: Any, cell: parquet.Cell) -> Any:
        groups.append(cell.group)
        return read(file, cell)

    monkeypatch.setattr(parquet, "_read_group", count)
    corpus = forms["parquet"]
    shutil.rmtree(corpus.root.parent / "failed.scans", ignore_errors=True)
    rows = prepared(corpus, num_workers=4)
    num_groups = sum(-(-len(one) // GROUP) for one in rows.values())
    assert len(groups) == num_groups
    groups.clear()
    monkeypatch.setattr(inside_groups, "_MEMORY_BYTES", 1)  # there is room for one
    for _ in audio_read(corpus, [row for one in rows.values() for row in one]):
        pass
    assert len(groups) == num_groups


def test_rows_of_one_group_are_one_task() -> None:
    cells = [f"a.parquet!/audio/{group:05d}/{row:08d}" for group in range(3) for row in range(300)]
    others = [f"b.tar!/{number}.wav@{number}+9" for number in range(130)]
    pending = [scanning.Pending(audio=one, size=9, before=None) for one in [*cells, *others]]
    batches = [[one.audio for one in batch] for batch in scanning._batches(iter(pending))]
    assert [len(batch) for batch in batches[:3]] == [300, 300, 300]
    assert [one for batch in batches for one in batch] == [*cells, *others]
    assert max(map(len, batches[3:])) <= 64


def test_what_changes_in_a_container_is_scanned_again_and_nothing_else_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = demo_rows()[:4]
    members = {row["path"].replace("/", "-"): clip(row) for row in rows}
    root = tmp_path / "corpus"
    tar = write_tar(root / "0.tar", members)
    corpus = WebDatasetCorpus(name="c", root=root, license="", split_rule=ALL_TRAIN)
    before = prepared(corpus)["train"]
    decoded: list[str] = []
    scan = scanning.scan_audio
    monkeypatch.setattr(
        scanning, "scan_audio", lambda path: decoded.append(Path(path).name) or scan(path)
    )
    long_ago = 1_500_000_000
    os.utime(tar, (long_ago, long_ago))  # touched: its bytes are compared, and no more
    assert prepared(corpus)["train"] == before
    assert decoded == []
    names = list(members)
    members[names[1]] = members[names[1]][:-2000] + bytes(2000)  # of the same length
    write_tar(tar, members)
    with pytest.raises(FailureBudgetError, match=r"does not decode|damaged|cut short"):
        prepared(corpus)
    assert [name.partition("@")[0] for name in decoded] == [names[1]]
    members[names[1]] = members[names[0]]  # others move
    write_tar(tar, members)
    assert len(prepared(corpus)["train"]) == 4


def test_links_of_containers_are_held_to_the_rule_of_files(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "elsewhere" / "0.tar", {"a.flac": clip(demo_rows()[0])})
    root = tmp_path / "corpus"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "0.tar").symlink_to(tar)
    [place] = places_in(root / "sub" / "0.tar", root).values()
    write_table(root / "t.tsv", [{"path": place}])
    table = {"name": "c", "root": root, "license": "", "split_rule": ALL_TRAIN}
    for make in (
        lambda **more: TableCorpus(table="t.tsv", **table, **more),
        lambda **more: WebDatasetCorpus(shards="sub/*.tar", **table, **more),
    ):
        with pytest.raises(CorpusError, match="a symbolic link to"):
            make().list_utterances()
        assert len(prepared(make(follow_links=True))["train"]) == 1


def test_a_file_that_is_called_like_a_place_is_named(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    (root / "wow!").mkdir(parents=True)
    (root / "wow!" / "x.flac").write_bytes(clip(demo_rows()[0]))
    (root / "y.flac").write_bytes(clip(demo_rows()[1]))
    folder = FolderCorpus(name="c", root=root, license="", split_rule=ALL_TRAIN)
    with pytest.raises(FailureBudgetError, match="a name without '!/'"):
        prepared(folder)
    assert len(prepared(folder, max_failures=1)["train"]) == 1
    [failure] = read_failures(tmp_path / "manifests" / "failures.jsonl")
    assert (failure.kind, failure.audio) == ("bad_name", "wow!/x.flac")
    write_table(root / "t.tsv", [{"path": "wow!/x.flac"}, {"path": "y.flac"}])
    table = TableCorpus(name="c", root=root, license="", table="t.tsv")
    assert [one.kind for one in table.list_utterances().failures] == ["bad_row"]
    shutil.move(root, tmp_path / "wow!")  # a root may have any name
    (tmp_path / "wow!" / "wow!" / "x.flac").unlink()
    folder = FolderCorpus(name="c", root=tmp_path / "wow!", license="", split_rule=ALL_TRAIN)
    assert len(prepared(folder)["train"]) == 1


def test_a_forked_process_reads_row_groups_of_its_own(forms: dict[str, Corpus]) -> None:
    corpus = forms["parquet"]
    rows = prepared(corpus)["train"]
    expected = [samples.sum() for samples in audio_read(corpus, rows)]
    child = os.fork()
    if not child:
        status = 1
        try:
            found = [samples.sum() for samples in audio_read(corpus, rows)]
            status = 0 if found == expected else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
