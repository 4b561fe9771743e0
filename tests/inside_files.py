"""Audio put into other files by tests, and what is made and read of these."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featbank.audio.tars import tar_members
from featbank.base.manifest import Utterance, read_manifest
from featbank.base.places import Place
from featbank.corpora.base import Corpus
from featbank.corpora.prepare import prepare
from tests.conftest import ROOT

DEMO = ROOT / "corpora" / "demo"
ALL_TRAIN = {"by": "hash", "shares": {}}


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def places_in(tar: Path, root: Path) -> dict[str, str]:
    """Return the `audio` of each member of a tar, by its name."""
    return {
        one.name: str(
            Place(
                container=str(tar.relative_to(root)), member=one.name,
                start=one.start, num_bytes=one.num_bytes,
            )
        )
        for one in tar_members(tar)
    }  # fmt: skip


def bytes_read() -> int:
    """Return the bytes that this process has read so far, whether from the disk or its cache."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


def demo_rows() -> list[dict[str, str]]:
    with open(DEMO / "transcripts.tsv", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def clip(row: Mapping[str, str]) -> bytes:
    return (DEMO / row["path"]).read_bytes()


def mkdir(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def prepared(corpus: Corpus, **options: Any) -> dict[str, list[Utterance]]:
    """Prepare a corpus beside its root; return its manifests."""
    out = corpus.root.parent / "manifests"
    prepare(corpus, out, failures_path=corpus.root.parent / "failed.jsonl", **options)
    return {
        path.stem: read_manifest(path) for path in out.glob("*.jsonl") if path.stem != "failures"
    }
