"""Manifests -> feature stores, one a feature name and split."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from dataclasses import asdict
from pathlib import Path

import hydra
from omegaconf import DictConfig

from featbank.extraction import extract
from featbank.feature_io import read_storage
from featbank.previous_output import previous_output
from featbank.progress import Stopwatch, progress_bar
from featbank.stage import audio_seconds, plain, read_corpus, record_run, refuse_tracked, stage
from featbank.trusted import build

_log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="../conf", config_name="extract")
@stage
def main(config: DictConfig) -> None:
    out = Path(config.paths.features)
    refuse_tracked(config, out)
    corpus = read_corpus(config.paths.manifests)
    audio_s = audio_seconds(corpus)
    name = f"extract-{config.corpus.name}-{config.feature.name}"
    watch = Stopwatch()
    with (
        previous_output(out, Path(config.runtime.work)) as previous,
        progress_bar(
            f"extract {config.feature.name}", audio_s, show=config.runtime.progress
        ) as advance,
    ):
        done = extract(
            manifests=Path(config.paths.manifests),
            audio_root=Path(config.corpus.root),
            out=out,
            extractor=plain(config.feature.extractor),
            storage=read_storage(plain(config.feature.storage)),
            corpus={"name": corpus["name"], "license": corpus["license"]},
            runner=build(plain(config.runner), config.trusted_modules),
            work=Path(config.runtime.work, name),
            failures_path=Path(config.runtime.failures, f"{name}.jsonl"),
            max_failures=config.max_failures,
            overwrite=config.overwrite,
            previous=previous,
            numerics=config.numerics,
            num_threads=config.num_threads,
            trusted_modules=config.trusted_modules,
            advance=advance,
        )
    tally = done.tally
    store = f"features/{config.corpus.name}/{config.feature.name}"
    record_run(config, store, watch, tally.computed_s, **asdict(tally))
    _log.info(
        "%s: %d utterances, %d frames, %d failures; %s, %.0f x real time",
        out,
        sum(header.num_utterances for header in done.headers),
        sum(header.num_frames for header in done.headers),
        sum(header.num_failures for header in done.headers),
        tally,
        watch.real_time_factor(tally.computed_s),
    )


if __name__ == "__main__":
    main()
