"""Small corpora of real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.servers import bucket, bucket_address  # noqa: F401 - fixtures

Recorder = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    return folder


@pytest.fixture
def record(root: Path) -> Recorder:
    """Write noise of a given length below the corpus root; the path seeds it."""

    def write(path: str, num_samples: int = 1600, channels: int = 1, rate: int = 16000) -> Path:
        noise = np.random.default_rng(list(path.encode())).uniform(
            -0.5, 0.5, (num_samples, channels)
        )
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, noise, rate)
        return root / path

    return write
