"""A real speechbrain recipe extracts once, then trains from the store alone."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from featbank.store import open_store
from tests.waiting import HANG_S

# only processes of their own import speechbrain: it leaves modules in `sys.modules` that load
# themselves, with a warning, when pytest's plugins look at them
pytestmark = pytest.mark.slow

YAML = """
feature_path: !PLACEHOLDER
feature_configs:
    - !new:featbank.feature_io.FeatureStorageConfig
        name: fbank
        dtype: float16
        writer_class: !name:featbank.feature_io.PackedHdf5Writer
            frame_rate: 100.0

lr: 0.005
num_classes: !PLACEHOLDER
compute_fbank: !new:speechbrain.lobes.features.Fbank
    n_mels: 40
normalize: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
encoder: !new:speechbrain.nnet.RNN.GRU
    input_shape: [null, null, 40]
    hidden_size: 32
classifier: !new:speechbrain.nnet.linear.Linear
    input_size: 32
    n_neurons: !ref <num_classes>
log_softmax: !new:speechbrain.nnet.activations.Softmax
    apply_log: True
modules:
    encoder: !ref <encoder>
    classifier: !ref <classifier>
opt_class: !name:torch.optim.Adam
    lr: !ref <lr>
"""

RECIPE = """
import json, os, pathlib, signal, sys
import soundfile, torch, speechbrain
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.nnet.losses import ctc_loss
from featbank.recipes.speechbrain import FeatureCachingMixin, stored_features

class Recipe(FeatureCachingMixin, speechbrain.Brain):
    batches = 0

    def compute_features(self, batch, stage):
        assert torch.is_inference_mode_enabled() and not self.modules.encoder.training
        if self.batches == int(os.environ.get("KILL_AT", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        self.batches += 1
        computed.extend(batch.id)
        wavs, lengths = batch.wav
        # exact: a share of the longest, rounded, is a frame off now and then
        num_frames = 1 + (lengths * wavs.shape[1]).round().long() // 160
        return {"id": batch.id, "fbank": (self.hparams.compute_fbank(wavs), num_frames)}

    def compute_forward(self, batch, stage):
        feats, lengths = batch.feats
        hidden, _ = self.modules.encoder(self.hparams.normalize(feats.float(), lengths))
        return self.hparams.log_softmax(self.modules.classifier(hidden)), lengths

    def compute_objectives(self, predictions, batch, stage):
        outputs, lengths = predictions
        chars, char_lengths = batch.chars
        return ctc_loss(outputs, chars, lengths, char_lengths, blank_index=0)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == speechbrain.Stage.TRAIN:
            losses.append(stage_loss)

torch.manual_seed(0)
rows = json.loads(pathlib.Path(sys.argv[1]).read_text())
alphabet = ["<blank>", *sorted({char for row in rows.values() for char in row["text"]})]
overrides = {"feature_path": sys.argv[2], "num_classes": len(alphabet)}
hparams = load_hyperpyyaml(pathlib.Path(sys.argv[3]).read_text(), overrides)
losses = []
computed = []
brain = Recipe(hparams["modules"], hparams["opt_class"], hparams, run_opts={"device": "cpu"})

waveforms = DynamicItemDataset(rows)
waveforms.add_dynamic_item(
    lambda path: torch.from_numpy(soundfile.read(path, dtype="float32")[0]), "wav_path", "wav"
)
waveforms.set_output_keys(["id", "wav"])
options = {"batch_size": int(os.environ.get("BATCH_SIZE", 4)), "num_workers": 2}
brain.cache_features(waveforms, speechbrain.Stage.TRAIN, loader_kwargs=options)
print(len(computed))
computed.clear()
brain.cache_features(waveforms, "train", {"batch_size": 3})
assert computed == []

if "train" in sys.argv:
    reader = brain.feature_readers["train"]["fbank"]
    for row in list(waveforms)[:3]:
        alone = hparams["compute_fbank"](row["wav"][None])[0]
        stored = torch.from_numpy(reader.read(row["id"]).copy()).float()
        assert stored.shape == alone.shape
        # speechbrain clips its decibels below the maximum of a whole batch: quiet frames may differ
        loud = alone > alone.max() - 60
        assert torch.allclose(stored[loud], alone[loud], atol=0.1)
    for row in rows.values():
        del row["wav_path"]
    stored = DynamicItemDataset(rows)
    stored.add_dynamic_item(stored_features(brain.feature_readers["train"]["fbank"], "feats"))
    stored.add_dynamic_item(
        lambda text: torch.tensor([alphabet.index(char) for char in text]), "text", "chars"
    )
    stored.set_output_keys(["id", "feats", "chars"])
    options = {"batch_size": 4, "num_workers": 2}
    brain.fit(range(8), stored, train_loader_kwargs=options, progressbar=False)
    print(json.dumps(losses))
"""


@pytest.fixture
def recipe(tmp_path: Path, demo_corpus: Path) -> list[str]:
    """The command line of the recipe over the English part of the demo corpus."""
    with open(demo_corpus / "transcripts.tsv", encoding="utf-8") as file:
        rows = {
            row["path"].removesuffix(".flac"): {
                "wav_path": str(demo_corpus / row["path"]),
                "text": row["text"],
            }
            for row in csv.DictReader(file, delimiter="\t")
            if row["language"] == "en"
        }
    for name, text in (("rows.json", json.dumps(rows)), ("recipe.yaml", YAML), ("x.py", RECIPE)):
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in ("x.py", "rows.json", "features", "recipe.yaml")]
    return [sys.executable, *paths]


def run(recipe: list[str], *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    done = subprocess.run(
        [*recipe, *arguments], capture_output=True, text=True, timeout=HANG_S, env=environment
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done


def test_a_recipe_is_killed_starts_again_and_learns_from_its_store_alone(
    recipe: list[str], tmp_path: Path
) -> None:
    assert run(recipe, KILL_AT="2").returncode == -signal.SIGKILL
    assert list((tmp_path / "features" / "fbank").glob("[!.]*")) == []
    num_rows = len(json.loads((tmp_path / "rows.json").read_text()))
    num_computed, losses = run(recipe, "train", BATCH_SIZE="5").stdout.splitlines()[-2:]
    assert int(num_computed) == num_rows - 2 * 4
    losses = json.loads(losses)
    assert len(losses) == 8
    assert losses[-1] < 0.8 * losses[0]
    store = open_store(tmp_path / "features" / "fbank")
    assert (store.frame_rate, store.dtype, store.shape) == (100.0, np.float16, (40,))
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert list(store.ids) == sorted(rows)


CHECKS = """
import multiprocessing, pathlib, sys
import numpy as np, speechbrain, torch
from speechbrain.dataio.dataset import DynamicItemDataset
from featbank.errors import ConfigError
from featbank.recipes.speechbrain import FeatureCachingMixin, split_name, stored_features
from featbank.store import StoreWriter, open_store

class Recipe(FeatureCachingMixin, speechbrain.Brain):
    pass

def first(dataset):
    return dataset[0]["units"]

if __name__ == "__main__":
    try:
        Recipe(hparams={"feature_configs": []}).cache_features([], "train")
    except ConfigError as error:
        print(error)
    assert split_name(speechbrain.Stage.VALID) == "valid"
    assert split_name("dev") == "dev"
    path = pathlib.Path(sys.argv[1], "units")
    with StoreWriter(path, name="units", codebook_size=500) as writer:
        writer.write("a", np.array([3, 1, 2]))
    item = stored_features(open_store(path), "units", convert=torch.Tensor.long)
    dataset = DynamicItemDataset({"a": {}}, dynamic_items=[item], output_keys=["id", "units"])
    assert first(dataset).dtype == torch.int64
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(first, [dataset]).tolist() == [3, 1, 2]
"""


def test_stages_name_splits_and_dynamic_items_work_in_spawned_workers(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(CHECKS)
    done = run([sys.executable, str(tmp_path / "checks.py")], str(tmp_path))
    assert "hparams of Recipe: expected an entry feature_path, got none" in done.stdout
