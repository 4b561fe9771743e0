"""What the tests share: the project's root and the real speech bundled with it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# hub libraries wait on the network unless told not to; the suite never needs one
os.environ["HF_HUB_OFFLINE"] = "1"
# started in the background, the suite is deaf to Ctrl-C, and so would be what it starts
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def demo_corpus() -> Path:
    """The bundled corpus: 38 utterances of four speakers in three languages, 145 s."""
    return ROOT / "corpora" / "demo"
