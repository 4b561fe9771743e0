"""Make tokens of features: of each frame, the nearest centroid of a codebook.

Examples:
    python stages/tokenize.py                             # the first tokens of params.yaml
    python stages/tokenize.py tokenizer=kmeans100_merged  # runs of units merged
    python stages/tokenize.py source=audio --dry-run      # with no feature store
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featbank.base.amounts import times_real_time
from featbank.base.progress import Advance, Stopwatch, progress_bar
from featbank.errors import ConfigError
from featbank.pipeline.configs import TokenizeConfig
from featbank.pipeline.corpus_summary import read_corpus
from featbank.pipeline.failure_lists import told_failures
from featbank.pipeline.run_records import record_run
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked
from featbank.store import StoreHeader

if TYPE_CHECKING:
    from featbank.tokenizers.token_stores import TokenStores

_log = logging.getLogger(__name__)


@stage(TokenizeConfig)
def main(config: TokenizeConfig) -> None:
    out = config.paths.tokens
    refuse_tracked(config, out)
    from_audio = config.source == "audio"
    if config.forecast:
        _forecast(config, out, from_audio=from_audio)
        return
    audio_s = read_corpus(config.paths.manifests).audio_s
    watch = Stopwatch()
    with progress_bar(f"tokenize {out.name}", audio_s, show=config.runtime.progress) as advance:
        headers = (_from_audio if from_audio else _from_features)(config, out, advance)
    record_run(config, f"tokens/{config.corpus.name}/{out.name}", watch, audio_s)
    _log.info(
        "%s: %d utterances, %d units%s, %s",
        out,
        sum(header.num_utterances for header in headers if header.name == "units"),
        sum(header.num_frames for header in headers if header.name == "units"),
        config.feature.told_choice(config.feature.of_tokens(config.stored)),
        times_real_time(watch.real_time_factor(audio_s)),
    )
    for line in told_failures(out):
        _log.info("%s", line)


def _from_features(config: TokenizeConfig, out: Path, advance: Advance) -> Sequence[StoreHeader]:
    # imported here, for neither help nor a value that makes no sense should wait for torch
    from featbank.tokenizers.tokenize import tokenize

    return tokenize(
        manifests=config.paths.manifests,
        features=Path(config.paths.features, config.feature.of_tokens(config.stored)),
        stores=_stores(config),
        out=out,
        overwrite=config.overwrite,
        advance=advance,
    )


def _from_audio(config: TokenizeConfig, out: Path, advance: Advance) -> Sequence[StoreHeader]:
    # imported here: tokens from features need neither an encoder nor a decoder of audio
    from featbank.engine.run import Reuse
    from featbank.engine.tokenize_audio import FeatureTokens, tokenize_audio
    from featbank.pipeline.computing import computing_run, drop_damaged
    from featbank.pipeline.dvc_previous import previous_output

    tokens = FeatureTokens(feature=config.feature.of_tokens(config.stored), stores=_stores(config))
    damaged: list[Path] = []
    with previous_output(out, config.runtime.work, fetch=config.fetch) as previous:
        reuse = Reuse(
            previous=previous,
            overwrite=config.overwrite,
            anew=config.overwrite,
            on_damage=damaged.append,
        )
        run = computing_run(config, _run_name(config, out), advance)
        done = tokenize_audio(run, out, tokens, reuse)
        drop_damaged(damaged)
    _log.info("%s: straight from audio; %s", out, done.tally)
    return done.headers


def _forecast(config: TokenizeConfig, out: Path, *, from_audio: bool) -> None:
    if not from_audio:
        raise ConfigError(
            "forecast of tokenize", expected="source=audio", got="source=features, which is quick"
        )
    from featbank.engine.run import STRICT, Reuse
    from featbank.engine.tokenize_audio import FeatureTokens, token_job
    from featbank.pipeline.computing import computing_run
    from featbank.pipeline.forecast import print_forecast

    tokens = FeatureTokens(feature=config.feature.of_tokens(config.stored), stores=_stores(config))
    job = token_job(computing_run(config, _run_name(config, out)), out, tokens)
    reuse = Reuse(overwrite=config.overwrite, anew=config.overwrite, numerics=STRICT)
    print_forecast(job, reuse, config.runtime)


def _stores(config: TokenizeConfig) -> "TokenStores":
    # imported here, for neither help nor a value that makes no sense should wait for torch
    from featbank.tokenizers.codebook import load_codebook
    from featbank.tokenizers.token_stores import TokenStores

    return TokenStores(
        codebook=load_codebook(config.paths.codebook),
        merge_repeats=config.tokenizer.merge_repeats,
        shard_bytes=config.tokenizer.shard_bytes,
    )


def _run_name(config: TokenizeConfig, out: Path) -> str:
    return f"tokenize-{config.corpus.name}-{out.name}"


if __name__ == "__main__":
    run_script(main)
