"""A speechbrain recipe under torchrun extracts on all ranks, and in `run_on_main` on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from featbank.store import open_store
from tests.waiting import HANG_S

pytestmark = pytest.mark.slow  # only processes of their own import speechbrain

RECIPE = '''
"""Under torchrun, as two ranks."""
import json, os, pathlib, sys
import numpy as np, soundfile, speechbrain, torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.utils.data_pipeline import provides, takes
from speechbrain.utils.distributed import ddp_init_group, run_on_main
from featbank.feature_io import FeatureStorageConfig
from featbank.recipes.cached_item import CachedPackedDynamicItem
from featbank.recipes.speechbrain import FeatureCachingMixin

corpus, root = map(pathlib.Path, sys.argv[1:])
computed = []

class Recipe(FeatureCachingMixin, speechbrain.Brain):
    def compute_features(self, batch, stage):
        computed.extend(batch.id)
        waveforms, lengths = batch.sig
        counts = (lengths * waveforms.shape[1]).round().long()
        # alone, so that nothing depends on batch mates
        return [
            {"id": one, "fbank": self.hparams.compute_fbank(waveform[None, :count])[0]}
            for one, waveform, count in zip(batch.id, waveforms, counts)
        ]

@takes("path")
@provides("sig")
def sig(path):
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])

@CachedPackedDynamicItem.cache(root / "item" / "train")
@takes("id", "length")
@provides("ramp")
def ramp(utterance_id, length):
    return torch.arange(10.0)[:, None] * length

def call(name, *arguments, **options):
    computed.clear()
    brain.cache_features(*arguments, **options)
    found[name] = sorted(computed)

found = {}
paths = sorted(corpus.rglob("*.flac"))[:9]
rows = {
    one.stem: {"path": str(one), "length": soundfile.info(one).duration, "digest": str(one.stem)}
    for one in paths
}
dataset = DynamicItemDataset(rows, dynamic_items=[sig, ramp], output_keys=["id", "sig"])
hparams = {
    "feature_path": str(root),
    "feature_configs": [FeatureStorageConfig("fbank", "float16")],
    "compute_fbank": speechbrain.lobes.features.Fbank(n_mels=20),
    "fingerprint_with": {"computed": "a counter"},
}
ddp_init_group({"distributed_backend": "gloo"})
brain = Recipe(hparams=hparams, run_opts={"device": "cpu", "noprogressbar": True})
call("dataset", dataset, speechbrain.Stage.TRAIN, batch_size=2)
call("again", dataset, speechbrain.Stage.TRAIN, batch_size=2)
options = {"batch_size": 2, "shuffle": True}
loader = brain.make_dataloader(dataset, speechbrain.Stage.TRAIN, ckpt_prefix=None, **options)
call("loader", loader, "loader")
batches = DynamicBatchSampler(dataset, 8, 3, length_func=lambda row: row["length"])
options = {"batch_sampler": batches, "ckpt_prefix": None}
call("batches", brain.make_dataloader(dataset, speechbrain.Stage.TRAIN, **options), "batches")
call("own batches", dataset, "own", batch_sampler=batches)
computed.clear()
run_on_main(brain.cache_features, args=[dataset, "main"], kwargs={"batch_size": 1})
found["main"] = sorted(computed)
found["readers"] = sorted(brain.feature_readers)
dataset.set_output_keys(["id", "ramp"])
rank = torch.distributed.get_rank()
for number in range(rank, len(dataset), 2):
    dataset[number]
torch.distributed.barrier()
ramp.publish(dataset.data_ids)
assert (root / "item" / "train" / "header.json").exists()
assert torch.equal(dataset[0]["ramp"][1], torch.tensor([soundfile.info(paths[0]).duration]))
(root / f"found-{rank}").write_text(json.dumps(found))
torch.distributed.destroy_process_group()
'''


def test_a_recipe_extracts_on_all_ranks_under_torchrun(tmp_path: Path, demo_corpus: Path) -> None:
    (tmp_path / "recipe.py").write_text(RECIPE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    variables = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "recipe.py"), str(demo_corpus), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"found-{rank}").read_text()) for rank in range(2))
    ids = sorted(path.stem for path in sorted(demo_corpus.rglob("*.flac"))[:9])
    for name in ("dataset", "own batches"):
        assert sorted(first[name] + second[name]) == ids, name
        assert first[name], name
        assert second[name], name
    for name in ("loader", "batches"):  # each with what the sampler repeats
        assert sorted({*first[name], *second[name]}) == ids, name
    assert first["again"] == second["again"] == []
    assert (first["main"], second["main"]) == (ids, [])
    assert first["readers"] == ["batches", "loader", "main", "own", "train"] == second["readers"]

    def written(split: str) -> dict[str, bytes]:
        return {one.name: one.read_bytes() for one in (tmp_path / "fbank" / split).iterdir()}

    for split in ("batches", "loader", "own", "train"):
        values = open_store(tmp_path / "fbank" / split)
        assert {one: values[one].tobytes() for one in values} == {
            one: open_store(tmp_path / "fbank" / "main")[one].tobytes() for one in ids
        }
    assert written("own") == written("train") == written("main")
