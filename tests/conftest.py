"""What the tests share: the project's root and the real speech bundled with it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

# hub libraries wait on the network unless told not to; the suite never needs one
os.environ["HF_HUB_OFFLINE"] = "1"
# where no name server answers, torch's stores ask it for each rank that connects, 10 s each
os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"
# started in the background, the suite is deaf to Ctrl-C, and so would be what it starts
signal.signal(signal.SIGINT, signal.default_int_handler)

# no example is refused for its time, which on a machine under load says nothing
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")

ROOT = Path(__file__).resolve().parents[1]

_BUILT = ("featbank", "conf", "stages", ".dvc", ":(glob)*")
"""What of the repository a source distribution is built of."""

SPLITS = ("train", "dev", "test")
"""The splits of the demo corpus, which most tests borrow."""

# programs that tests run in processes of their own: pytest would import them to look for doctests
collect_ignore = ["dataset/ranks.py", "examples/killed.py", "recipes/caching_checks.py"]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let nothing that a test forks hold the line on which xdist hears that a worker has ended.

    Else a worker that is ended because its test hangs is waited for as long as the fork lives.
    """
    for plugin in session.config.pluginmanager.get_plugins():
        if channel := getattr(plugin, "channel", None):  # it is a worker's
            line = channel.gateway._io.outfile.fileno()
            os.register_at_fork(after_in_child=partial(os.dup2, 1, line))


def pytest_collection_finish() -> None:
    """Let no collection of garbage go through all that was imported: it lives to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def on_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A person reads what is printed, on a wide terminal without colours."""
    assert capsys  # whose standard output it is
    for name, value in {"COLUMNS": "120", "LINES": "50", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    # of the class: pytest makes other streams for the test itself
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: stream is sys.stdout)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built of an unpacked source distribution: once for all workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    sources, built = folder / "sources", folder / "built"
    with FileLock(folder / "built.lock"):
        if not built.exists():
            listed = [
                "git",
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
                *_BUILT,
            ]
            found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
            for name in filter(None, found.stdout.split("\0")):
                (sources / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, sources / name)
            # in an environment that pip makes
            making = folder / "making"
            command = [sys.executable, "-m", "build", "--outdir", str(making), str(sources)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            making.rename(built)
    [found_wheel] = built.glob("*.whl")
    return found_wheel


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch's threads are left as they are: extractions run in this process here."""
    # imported here: most tests need no torch
    from featbank.numerics import thread_count

    with thread_count(1):
        yield


@pytest.fixture
def corpus(tmp_path: Path, demo_corpus: Path) -> Path:
    """A copy of the demo corpus with its manifests beside it, to be changed."""
    from tests.extracting import prepare_corpus

    root = Path(shutil.copytree(demo_corpus, tmp_path / "corpus"))
    prepare_corpus(root)
    return root


@pytest.fixture(scope="session")
def demo_corpus() -> Path:
    """The bundled corpus: 38 utterances of four speakers in three languages, 145 s."""
    return ROOT / "corpora" / "demo"
