"""How tests run an extraction over a corpus with a transcripts.tsv, such as the demo corpus."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featbank.corpora.prepare import prepare
from featbank.corpora.table import TableCorpus
from featbank.extraction import Extraction, extract
from featbank.feature_io import FeatureStorageConfig
from featbank.runners.inline import InlineRunner
from featbank.runners.local import LocalRunner
from featbank.store import StoreHeader
from tests.conftest import ROOT

FBANK = {"_target_": "featbank.features.kaldi.Fbank", "num_mel_bins": 20}
# about 20 shards of the demo corpus, so that workers really share them
SMALL_SHARDS = [{"name": "fbank", "writer_kwargs": {"shard_bytes": 50_000}}]


def prepare_corpus(root: Path) -> Path:
    """Write the manifests beside a corpus."""
    manifests = root.parent / "manifests"
    corpus = TableCorpus(name="demo", root=root, license="free", table="transcripts.tsv")
    prepare(corpus, manifests, failures_path=root.parent / "prepare.jsonl")
    return manifests


def run_extraction(
    root: Path, out: Path, *, num_workers: int | None = 2, **changes: Any
) -> Extraction:
    """Extract 20 mel bins, or what `changes` say; work and failures lie beside the corpus.

    In this process where `num_workers` is None.
    """
    storage = changes.pop("storage", [{"name": "fbank"}])
    settings: dict[str, Any] = {
        "manifests": root.parent / "manifests",
        "audio_root": root,
        "out": out,
        "extractor": FBANK,
        "corpus": {"name": "demo", "license": "free"},
        "runner": LocalRunner(num_workers=num_workers) if num_workers else InlineRunner(),
        "work": root.parent / "work",
        "failures_path": root.parent / "failures.jsonl",
    }
    entries = [FeatureStorageConfig(**entry) for entry in storage]
    return extract(**(settings | changes), storage=entries)


def extract_corpus(root: Path, out: Path, **changes: Any) -> Sequence[StoreHeader]:
    """Extract and return the headers; see `run_extraction`."""
    return run_extraction(root, out, **changes).headers


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder: relative path -> bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


_CHILD = """
import json, sys
from pathlib import Path
from tests.extracting import run_extraction
if __name__ == "__main__":
    run_extraction(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
"""


def start_extraction(
    root: Path, out: Path, log: Path, environment: Mapping[str, str] | None = None, **changes: Any
) -> subprocess.Popen[bytes]:
    """Start `run_extraction` in a process group of its own, which prints to `log`."""
    import json

    env = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    with open(log, "ab") as printed:
        return subprocess.Popen(
            [sys.executable, "-c", _CHILD, root, out, json.dumps(changes)],
            env=env, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def descendants(parent: int) -> list[int]:
    """The processes that a process started, and those that they started, oldest first."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for child in map(int, found) for pid in (child, *descendants(child))]


def wait_until(true: Any, why: str, timeout_s: float = 120) -> None:
    """Wait until a function returns something true."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, why
        time.sleep(0.02)


def wait_until_gone(pids: Sequence[int]) -> None:
    """Wait until processes have ended."""
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids),
        "a process outlives the run",
        30,
    )


def is_deaf_to_ctrl_c(pid: int) -> bool:
    """Tell whether a process blocks SIGINT."""
    status = Path(f"/proc/{pid}/status").read_text().split("SigBlk:")[1].split()[0]
    return bool(int(status, 16) >> (signal.SIGINT - 1) & 1)
