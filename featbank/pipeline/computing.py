"""The run of an extractor, made from the configuration of a stage."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from featbank.base.building import build
from featbank.base.components import ComponentConfig
from featbank.base.progress import Advance
from featbank.engine.definition import FeatureDefinition
from featbank.engine.run import Budget, PreparedCorpus, Run
from featbank.feature_io.stage_storage import read_storage
from featbank.files.remote import any_path
from featbank.numerics import Computing
from featbank.pipeline import dvc_outputs
from featbank.pipeline.composition.composed import composed_stage
from featbank.pipeline.configs import (
    ComputingConfig,
    DecodeConfig,
    ExtractConfig,
    TokenizeConfig,
)
from featbank.pipeline.corpus_summary import read_corpus
from featbank.pipeline.definitions import defined_feature, defined_tokens
from featbank.runners.base import Runner

_log = logging.getLogger(__name__)


def computing_run(config: ComputingConfig, name: str, advance: Advance = lambda _: None) -> Run:
    """Return the run of an extractor that a configuration asks for.

    Args:
        config: of the stage.
        name: of the run, for its work folder and its failure list.
        advance: told the seconds of audio done.

    Raises:
        ConfigError: the corpus is not prepared, or a value is of another kind.
    """
    corpus = read_corpus(config.paths.manifests)
    return Run(
        corpus=PreparedCorpus(
            name=corpus.name,
            license=corpus.license,
            terms=corpus.terms,
            manifests=config.paths.manifests,
            audio_root=any_path(config.corpus.root),
        ),
        definition=feature_definition(config),
        computing=Computing(
            device=config.device,
            num_threads=config.num_threads,
            batch_s=config.batch_s,
            num_decoders=config.num_decoders,
        ),
        runner=build(config.runner.arguments, config.trusted_modules, Runner),
        budget=Budget(
            max_failures=config.max_failures, path=config.runtime.failures / f"{name}.jsonl"
        ),
        work=config.runtime.work / name,
        task_s=config.task_s,
        keep_work=dvc_outputs.is_run_by_dvc(),
        advance=advance,
    )


def feature_definition(config: ComputingConfig | DecodeConfig) -> FeatureDefinition:
    """Return the extractor that a configuration chooses, and how its features are stored."""
    return FeatureDefinition(
        name=config.feature.name,
        extractor=ComponentConfig.of(config.feature.extractor.arguments),
        storage=read_storage(config.feature.stored),
        trusted_modules=tuple(config.trusted_modules),
    )


def drop_damaged(paths: Sequence[Path]) -> None:
    """Remove from DVC's cache what a run has found damaged and made again."""
    for removed in dvc_outputs.drop_damaged(paths):
        _log.warning("damaged, and removed from DVC's cache: %s", removed)
        if not dvc_outputs.is_run_by_dvc():
            _log.warning("run dvc commit to record the file that has replaced it")


def config_of(name: str, *, but: Sequence[str]) -> ExtractConfig | TokenizeConfig:
    """Compose the stage that makes the stores of a choice, as its definition has it.

    Args:
        name: of the choice: `features/fbank` or `tokens/mfcc-kmeans100`.
        but: keys that are typed for the stage at hand alone; what else is typed goes for the
            stage that is composed, too.

    Raises:
        ConfigError: the choice has no definition, or one that lacks something.
    """
    kind, _, option = name.partition("/")
    if kind == "features":
        return composed_stage(ExtractConfig, {"feature": defined_feature(option)}, but=but)
    made_of = defined_tokens(option)
    options = {"feature": made_of.feature, "tokenizer": made_of.tokenizer}
    return composed_stage(TokenizeConfig, options, but=but, values={"stored": made_of.stored})
