"""What the stages share that compute features from audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from featbank import dvc_outputs
from featbank.errors import ConfigError
from featbank.feature_io import read_storage
from featbank.numerics import CUDA, Computing
from featbank.progress import Advance
from featbank.runners.local import LocalRunner
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
    runner = build(plain(config.runner), config.trusted_modules)
    if computing.device == CUDA and isinstance(runner, LocalRunner) and not runner.num_gpus:
        raise ConfigError(
            "runner.num_gpus",
            expected="with device=cuda, how many GPUs to spread the workers over",
            got="null",
            hint=f"its {runner.num_workers} workers would all load the model onto one GPU",
        )
    return {
        "audio_root": Path(config.corpus.root),
        "extractor": plain(config.feature.extractor),
        "storage": read_storage(plain(config.feature.storage)),
        "corpus": {"name": corpus["name"], "license": corpus["license"]},
        "runner": runner,
        "work": Path(config.runtime.work, name),
        "keep_work": dvc_outputs.runs_this(),
        "failures_path": Path(config.runtime.failures, f"{name}.jsonl"),
        "max_failures": config.max_failures,
        "computing": computing,
        "trusted_modules": config.trusted_modules,
        "advance": advance,
    }
