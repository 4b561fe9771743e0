"""Compute the features of all utterances, and store them by split.

Examples:
    python stages/extract.py                         # the first feature of params.yaml
    python stages/extract.py feature=mfcc --dry-run  # what mfcc will take
    python stages/extract.py feature=mfcc feature.name=mfcc20 feature.extractor.num_mel_bins=20
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from featbank.base.amounts import times_real_time
from featbank.base.progress import Stopwatch, progress_bar
from featbank.pipeline.configs import ExtractConfig
from featbank.pipeline.corpus_summary import read_corpus
from featbank.pipeline.dvc_previous import previous_output
from featbank.pipeline.failure_lists import told_failures
from featbank.pipeline.run_records import record_run
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked

_log = logging.getLogger(__name__)


@stage(ExtractConfig)
def main(config: ExtractConfig) -> None:
    out = config.paths.features
    refuse_tracked(config, out)
    name = f"extract-{config.corpus.name}-{config.feature.name}"
    if config.forecast:
        _forecast(config, out, name)
        return
    # imported here, for neither help nor a value that makes no sense should wait for torch
    from featbank.engine.extract import extract, feature_job
    from featbank.engine.growth import told_rewriting
    from featbank.engine.pushing import push_features
    from featbank.engine.run import Reuse
    from featbank.pipeline.computing import computing_run, drop_damaged
    from featbank.pipeline.dvc_push import dvc_shelf

    pulled = config.pushed / config.corpus.name / config.feature.name
    pointer = pulled.with_name(f"{pulled.name}.dvc")
    audio_s = read_corpus(config.paths.manifests).audio_s
    damaged: list[Path] = []
    watch = Stopwatch()
    with (
        dvc_shelf(pointer, config.push_remote) if config.push else nullcontext() as shelf,
        previous_output(out, config.runtime.work, fetch=config.fetch) as previous,
        progress_bar(
            f"extract {config.feature.name}", audio_s, show=config.runtime.progress
        ) as advance,
    ):
        reuse = Reuse(
            previous=[*previous, pulled],
            overwrite=config.overwrite,
            anew=config.overwrite,
            numerics=config.numerics,
            on_damage=damaged.append,
        )
        run = computing_run(config, name, advance)
        if shelf is not None:
            done = push_features(feature_job(run, out), reuse, shelf)
        else:
            done = extract(run, out, reuse)
        drop_damaged(damaged)
    tally = done.tally
    store = f"features/{config.corpus.name}/{config.feature.name}"
    record_run(config, store, watch, tally.computed_s, **asdict(tally))
    speed = watch.real_time_factor(tally.computed_s)
    _log.info(
        "%s: %d utterances, %d frames, %d failures; %s%s",
        pointer if config.push else out,
        sum(header.num_utterances for header in done.headers),
        sum(header.num_frames for header in done.headers),
        sum(header.num_failures for header in done.headers),
        tally,
        f", {times_real_time(speed)}" if tally.num_computed else "",
    )
    for line in told_failures(out):
        _log.info("%s", line)
    if grown := told_rewriting(tally):
        _log.warning("%s: %s", out, grown)
    if config.push:
        _log.info(
            "git add %s %s/.gitignore, and commit them; tokenize, sample and validate read stores "
            "on a disk: where one has room, dvc pull %s and run extract there, which computes none",
            pointer,
            pointer.parent,
            pointer,
        )


def _forecast(config: ExtractConfig, out: Path, name: str) -> None:
    # imported here: a run needs no forecast
    from featbank.engine.extract import feature_job
    from featbank.engine.run import Reuse
    from featbank.pipeline.computing import computing_run
    from featbank.pipeline.forecast import print_forecast

    reuse = Reuse(overwrite=config.overwrite, anew=config.overwrite, numerics=config.numerics)
    print_forecast(feature_job(computing_run(config, name), out), reuse, config.runtime)


if __name__ == "__main__":
    run_script(main)
