"""How tests run an extraction over a corpus with a transcripts.tsv, such as the demo corpus."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from featbank.base.components import ComponentConfig
from featbank.corpora.layouts.table import TableCorpus
from featbank.corpora.prepare import prepare
from featbank.engine.definition import FeatureDefinition
from featbank.engine.driver import Published
from featbank.engine.extract import extract
from featbank.engine.run import Budget, PreparedCorpus, Reuse, Run
from featbank.feature_io import PackedStorage
from featbank.numerics import thread_count
from featbank.runners.inline import InlineRunner
from featbank.runners.local import LocalRunner
from featbank.store import StoreHeader
from tests.conftest import ROOT
from tests.waiting import HANG_S

FBANK = {"_target_": "featbank.features.signal.kaldi.Fbank", "num_mel_bins": 20}
# about 20 shards of the demo corpus, so that workers really share them
SMALL_SHARDS = [{"name": "fbank", "shard_bytes": 50_000}]


def prepare_corpus(root: Path) -> Path:
    """Write the manifests beside a corpus."""
    manifests = root.parent / "manifests"
    corpus = TableCorpus(name="demo", root=root, license="free", table="transcripts.tsv")
    prepare(corpus, manifests, failures_path=root.parent / "prepare.jsonl")
    return manifests


def demo_run(
    root: Path,
    *,
    manifests: Path | None = None,
    extractor: Mapping[str, Any] = FBANK,
    storage: Sequence[Mapping[str, Any] | PackedStorage] = ({"name": "fbank"},),
    trusted_modules: Sequence[str] = (),
    max_failures: float = 0,
    **changes: Any,
) -> Run:
    """A run over a corpus, of 20 mel bins in this process unless other things are asked for.

    Manifests, work and failures lie beside the corpus.
    """
    entries = [one if isinstance(one, PackedStorage) else PackedStorage(**one) for one in storage]
    return Run(
        corpus=PreparedCorpus(
            name="demo",
            license="free",
            manifests=manifests or root.parent / "manifests",
            audio_root=root,
        ),
        definition=FeatureDefinition(
            name="demo",
            extractor=ComponentConfig.of(extractor),
            storage=entries,
            trusted_modules=trusted_modules,
        ),
        budget=Budget(max_failures=max_failures, path=root.parent / "failures.jsonl"),
        **{"runner": InlineRunner(), "work": root.parent / "work", **changes},
    )


def run_extraction(
    root: Path, out: Path, *, num_workers: int | None = None, **changes: Any
) -> Published:
    """Extract as `demo_run` and `Reuse` say; in this process where `num_workers` is None.

    To start workers takes longer than the demo corpus does: tests of what they do ask for them.
    """
    reuse = {one.name: changes.pop(one.name) for one in fields(Reuse) if one.name in changes}
    if num_workers:
        changes.setdefault("runner", LocalRunner(num_workers=num_workers))
    with thread_count(1):  # and then as many as there were: this process may compute
        return extract(demo_run(root, **changes), out, Reuse(**reuse))


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
    """Start `run_extraction` with two workers in a process group, which prints to `log`."""
    changes.setdefault("num_workers", 2)
    env = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    with open(log, "ab") as printed:
        return subprocess.Popen(
            [sys.executable, "-c", _CHILD, root, out, json.dumps(changes)],
            env=env, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


_LAUNCHER = """
import json, os, sys, traceback
from pathlib import Path
from tests.extracting import run_extraction
for line in sys.stdin:
    root, out, log, environment, changes = json.loads(line)
    child = os.fork()
    if not child:
        try:
            os.setsid()
            os.environ.update(environment)
            printed = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.dup2(printed, 1)
            os.dup2(printed, 2)
            run_extraction(Path(root), Path(out), **changes)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Launcher:
    """Starts runs one after the other, forked from a process that has imported torch already."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", _LAUNCHER],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=HANG_S)
        assert self._process.returncode == 0

    def start(
        self, root: Path, out: Path, log: Path, environment: Mapping[str, str], **changes: Any
    ) -> int:
        """Start a run in a process group of its own, which prints to `log`; return its process."""
        assert self._process.stdin
        assert self._process.stdout
        told = json.dumps([str(root), str(out), str(log), environment, changes])
        print(told, file=self._process.stdin)
        return int(self._process.stdout.readline())

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended, and `wait` returns at once."""
        assert self._process.stdout
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def wait(self) -> int:
        """Wait until the run has ended, and return its exit status."""
        assert self._process.stdout
        return int(self._process.stdout.readline())


def is_deaf_to_ctrl_c(pid: int) -> bool:
    """Tell whether a process blocks SIGINT."""
    status = Path(f"/proc/{pid}/status").read_text().split("SigBlk:")[1].split()[0]
    return bool(int(status, 16) >> (signal.SIGINT - 1) & 1)
