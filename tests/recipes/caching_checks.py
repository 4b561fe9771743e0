"""Run by test_caching.py in a process of its own, for it imports speechbrain."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import speechbrain
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset

from featbank.errors import ConfigError
from featbank.recipes.caching.batch_columns import select
from featbank.recipes.caching.utterance_digest import identify
from featbank.recipes.speechbrain import FeatureCachingMixin
from featbank.store import open_store

IDS = [f"u{number}" for number in range(10)]
SAMPLES = {one: torch.randn(150 + 37 * number) for number, one in enumerate(IDS)}
loaded: list[str] = []
computed: list[str] = []


class Recipe(FeatureCachingMixin, speechbrain.Brain):
    """Means of ten samples."""

    def compute_features(self, batch: Any, stage: Any) -> Any:  # noqa: ARG002
        computed.extend(batch.id)
        waveforms, shares = batch.sig
        num_frames = (shares * waveforms.shape[1]).round().long() // 10
        frames = waveforms[:, : waveforms.shape[1] // 10 * 10].unflatten(1, (-1, 10))
        return {"id": batch.id, "mean": (frames.mean(2, keepdim=True), num_frames)}


def load(name: str) -> torch.Tensor:
    loaded.append(name)
    return SAMPLES[name]


def dataset(ids: list[str], with_digest: bool = False) -> DynamicItemDataset:
    rows = {
        one: {"name": one, **({"digest": f"sha of {one}"} if with_digest else {})} for one in ids
    }
    found = DynamicItemDataset(rows)
    found.add_dynamic_item(load, "name", "sig")
    found.set_output_keys(["id", "sig"])
    return found


def recipe(path: Path, **run_opts: Any) -> Recipe:
    hparams = {
        "feature_configs": {"mean": {"dtype": "float16"}},
        "feature_path": str(path),
        "fingerprint_with": {"global computed": "of this test"},
    }
    return Recipe(hparams=hparams, run_opts={"device": "cpu", **run_opts})


def batches(size: int, ids: list[str] = IDS) -> list[PaddedBatch]:
    rows = [{"id": one, "sig": SAMPLES[one], "text": f"of {one}", "length": 0.5} for one in ids]
    return [PaddedBatch(rows[start : start + size]) for start in range(0, len(rows), size)]


def keys(made: list[PaddedBatch]) -> dict[str, bytes]:
    return {key.id: key.input_digest for batch in made for key in identify(batch) or []}


def check_digests(_: Path) -> dict[str, Any]:
    alone = keys(batches(1))
    [whole] = batches(10)
    cut = select(whole, [7, 2])
    moved = cut.to(torch.float64)
    return {
        "equal": all(keys(batches(size)) == alone for size in (2, 4, 8, 10)),
        "different": len(set(alone.values())),
        "ids": cut.id,
        "length": len(cut),
        "texts": cut.text,
        "padded": torch.equal(moved.sig.data.float(), whole.sig.data[[7, 2]]),
        "whole": len(whole),
    }


def check_digest_items(path: Path) -> dict[str, Any]:
    brain = recipe(path)
    brain.cache_features(dataset(IDS[:8], with_digest=True), speechbrain.Stage.VALID, batch_size=3)
    found = {"first": [len(loaded), len(computed)]}
    grown = dataset(IDS[2:], with_digest=True)
    for name in ("grown", "again"):
        loaded.clear()
        computed.clear()
        brain.cache_features(grown, speechbrain.Stage.VALID, batch_size=3, shuffle=True)
        found[name] = [sorted(loaded), sorted(computed)]
    found["stored"] = list(brain.feature_readers["valid"]["mean"].ids)
    found["keys"] = list(grown[0])
    return found


def check_debug(path: Path) -> dict[str, Any]:
    computed.clear()
    brain = recipe(path, debug=True, debug_batches=2, noprogressbar=True)
    brain.cache_features(dataset(IDS), "train", {"batch_size": 2})
    found: dict[str, Any] = {
        "computed": computed[:],
        "published": [str(one.relative_to(path)) for one in path.glob("[!.]*/[!.]*")],
        "in_readers": "train" in recipe(path).feature_readers,
        "debug_reads": len(brain.feature_readers["train"]["mean"]),
        "progress": brain._recipe_settings().progress,
        "usual_progress": recipe(path)._recipe_settings().progress,
    }
    recipe(path).cache_features(dataset(IDS), "train", batch_size=3)
    found["whole"] = len(open_store(path / "mean" / "train"))
    return found


def check_looped(path: Path) -> dict[str, Any]:
    """Two batches of four are an epoch, of ten utterances."""
    options = {"batch_size": 4, "looped_nominal_epoch": 2}
    refused = []
    for given, kwargs in (
        (dataset(IDS), options),
        (dataset(IDS, with_digest=True), options),
        (make_dataloader(dataset(IDS), **options), {}),
    ):
        try:
            recipe(path).cache_features(given, "train", kwargs)
        except ConfigError as error:
            refused.append(str(error))
    return {"refused": refused, "published": [one.name for one in path.glob("**/header.json")]}


if __name__ == "__main__":
    checks = SimpleNamespace(
        digests=check_digests,
        digest_items=check_digest_items,
        debug=check_debug,
        looped=check_looped,
    )
    folder = Path(sys.argv[1])
    results = {name: check(folder / name) for name, check in vars(checks).items()}
    sys.stdout.write(json.dumps(results))
