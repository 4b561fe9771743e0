from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import torch

DEMO = Path(__file__).parents[2] / "corpora" / "demo"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Extraction runs in one intra-op thread: another count changes the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def speech() -> dict[str, torch.Tensor]:
    """Real speech at 16 kHz: id -> (num_samples,), from one to a few seconds."""
    files = sorted(DEMO.glob("*/*.flac"))[::6]
    assert len(files) >= 5
    waveforms = {}
    for file in files:
        samples, sample_rate = soundfile.read(file, dtype="float32")
        assert sample_rate == 16000
        waveforms[f"{file.parent.name}/{file.stem}"] = torch.from_numpy(samples)
    return waveforms
