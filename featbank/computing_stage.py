"""What the stages share that compute features from audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from featbank import dvc_outputs
from featbank.feature_io import read_storage
from featbank.numerics import Computing
from featbank.progress import Advance
from featbank.stage import plain, read_corpus
from featbank.trusted import build


def computing_settings(config: DictConfig, name: str, advance: Advance) -> dict[str, Any]:
    """Return what `extract`, `tokenize_audio` and the like take from a configuration.

    Args:
        config: of the stage.
        name: of the run, for its work folder and its failure list.
        advance: told the seconds of audio done.
    """
    corpus = read_corpus(config.paths.manifests)
    computing = Computing(
        device=config.device, num_threads=config.num_threads, batch_s=config.batch_s
    )
    return {
        "audio_root": Path(config.corpus.root),
        "extractor": plain(config.feature.extractor),
        "storage": read_storage(plain(config.feature.storage)),
        "corpus": {"name": corpus["name"], "license": corpus["license"]},
        "runner": build(plain(config.runner), config.trusted_modules),
        "work": Path(config.runtime.work, name),
        "keep_work": dvc_outputs.is_run_by_dvc(),
        "failures_path": Path(config.runtime.failures, f"{name}.jsonl"),
        "max_failures": config.max_failures,
        "computing": computing,
        "trusted_modules": config.trusted_modules,
        "advance": advance,
    }
