"""The examples train on two ranks; killed in mid-epoch and typed again, they end as if unbroken."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from featbank.numerics import thread_count
from featbank.store import StoreWriter, open_store
from featbank.tokenizers.codebook import Codebook
from tests.conftest import ROOT
from tests.extracting import extract_corpus, prepare_corpus
from tests.waiting import HANG_S

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
KILLED = Path(__file__).with_name("killed.py")
KILLED_AT = 24  # in the second of three epochs; the last checkpoint is of step 20


def run(command: str, *, is_killed: bool = False) -> None:
    """Run a command line of an example on two ranks."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", *shlex.split(command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG_S,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        },
    )
    assert (done.returncode != 0) is is_killed, done.stdout
    if is_killed:
        assert "SIGKILL" in done.stdout, done.stdout


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path) -> Path:
    """Units of the demo corpus by split: the nearest of 100 of its own frames."""
    folder = tmp_path_factory.mktemp("units")
    corpus = Path(shutil.copytree(demo_corpus, folder / "corpus"))
    prepare_corpus(corpus)
    with thread_count(1):
        extract_corpus(corpus, folder / "fbank", num_workers=None)
    features = open_store(folder / "fbank", ["train", "test"])
    frames = np.concatenate([features[one] for one in features.ids])
    codebook = Codebook(centroids=frames[:: len(frames) // 100][:100])
    for split in ("train", "test"):
        store = open_store(folder / "fbank", split)
        with StoreWriter(folder / "units" / split, name="units", codebook_size=100) as writer:
            for utterance_id in store.ids:
                writer.write(utterance_id, codebook.assign(store[utterance_id]))
    return folder / "units"


def losses_of_torch(folder: Path) -> list[float]:
    losses: list[float] = json.loads((folder / "losses.json").read_text())
    return losses


def losses_of_lightning(folder: Path) -> list[float]:
    by_step = {}
    for path in sorted(folder.glob("losses/*/metrics.csv")):
        with open(path, encoding="utf-8") as file:
            by_step |= {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file)}
    assert list(by_step) == sorted(by_step)
    return list(by_step.values())


@pytest.mark.parametrize(
    ("program", "losses_of"),
    [
        ("with_torch.py", losses_of_torch),
        ("with_trainer.py", losses_of_torch),
        ("with_lightning.py", losses_of_lightning),
    ],
)
def test_a_unit_language_model_is_killed_and_ends_with_the_losses_of_an_unbroken_run(
    program: str, losses_of: Callable[[Path], list[float]], units: Path, tmp_path: Path
) -> None:
    script = EXAMPLES / "unit_lm" / program
    devices = "--devices 2" if "lightning" in program else ""
    run(f"{script} {units} {tmp_path / 'unbroken'} {devices}")
    killed = tmp_path / "killed"
    run(f"{KILLED} {KILLED_AT} {script} {units} {killed} {devices}", is_killed=True)
    run(f"{script} {units} {killed} {devices}")
    losses = losses_of(tmp_path / "unbroken")
    assert losses_of(killed) == losses
    assert len(losses) > KILLED_AT
    assert losses[-1] < 0.8 * losses[0]


def test_a_speechbrain_recipe_is_killed_and_ends_as_if_unbroken(tmp_path: Path) -> None:
    recipe = EXAMPLES / "speechbrain_ctc"
    options = (
        f"{recipe / 'train.py'} {recipe / 'hparams.yaml'} --corpus {ROOT / 'corpora' / 'demo'} "
        "--device cpu --distributed_backend gloo --noprogressbar --ckpt_interval_steps 2"
    )
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    run(f"{options} --folder {unbroken}")
    run(f"{KILLED} 12 {options} --folder {killed}", is_killed=True)
    latest = max(killed.glob("checkpoints/*/CKPT.yaml"))
    assert "end-of-epoch: false" in latest.read_text()
    stores = {path: path.read_bytes() for path in killed.glob("features/*/*/*")}
    run(f"{options} --folder {killed}")
    assert {path: path.read_bytes() for path in killed.glob("features/*/*/*")} == stores
    assert {path.relative_to(killed): data for path, data in stores.items()} == {
        path.relative_to(unbroken): path.read_bytes() for path in unbroken.glob("features/*/*/*")
    }
    log = (unbroken / "train_log.txt").read_text()
    assert (killed / "train_log.txt").read_text() == log
    assert log.count("valid loss") == 2
    weights, others = (_weights(folder) for folder in (unbroken, killed))
    assert weights
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def _weights(folder: Path) -> dict[str, Any]:
    checkpoint = max(folder.glob("checkpoints/CKPT*"))
    return {
        f"{part}.{name}": tensor
        for part in ("encoder", "output")
        for name, tensor in torch.load(checkpoint / f"{part}.ckpt", weights_only=True).items()
    }


def test_every_example_is_short() -> None:
    for path in EXAMPLES.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 120, path
