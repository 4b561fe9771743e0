"""Make the run of an extractor from the configuration of a stage."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from featbank.base.parts import PartConfig
from featbank.base.progress import Advance
from featbank.base.trusted import build
from featbank.engine.definition import FeatureDefinition
from featbank.engine.run import Budget, PreparedCorpus, Run
from featbank.errors import ConfigError
from featbank.feature_io.stage_storage import read_storage
from featbank.numerics import Computing
from featbank.pipeline import dvc_outputs
from featbank.pipeline.composed import CONF, plain
from featbank.pipeline.definitions import check_definition
from featbank.pipeline.stage import read_corpus
from featbank.runners.base import Runner

_log = logging.getLogger(__name__)


def computing_run(config: DictConfig, name: str, advance: Advance = lambda _: None) -> Run:
    """Return the run of an extractor that a configuration asks for.

    Args:
        config: of the stage.
        name: of the run, for its work folder and its failure list.
        advance: told the seconds of audio done.

    Raises:
        ConfigError: the corpus is not prepared, or a value is of another kind.
    """
    manifests = Path(config.paths.manifests)
    corpus = read_corpus(manifests)
    return Run(
        corpus=PreparedCorpus(
            name=corpus["name"],
            license=corpus["license"],
            manifests=manifests,
            audio_root=Path(config.corpus.root),
        ),
        definition=feature_definition(config),
        computing=Computing(
            device=config.device, num_threads=config.num_threads, batch_s=config.batch_s
        ),
        runner=build(plain(config.runner), config.trusted_modules, Runner),
        budget=Budget(
            max_failures=config.max_failures, path=Path(config.runtime.failures, f"{name}.jsonl")
        ),
        work=Path(config.runtime.work, name),
        keep_work=dvc_outputs.is_run_by_dvc(),
        advance=advance,
    )


def feature_definition(config: DictConfig) -> FeatureDefinition:
    """Return the extractor that a configuration chooses, and how its features are stored."""
    return FeatureDefinition(
        name=config.feature.name,
        extractor=PartConfig.of(plain(config.feature.extractor)),
        storage=read_storage(plain(config.feature.storage)),
        trusted_modules=tuple(config.trusted_modules),
    )


def drop_damaged(paths: Sequence[Path]) -> None:
    """Remove from DVC's cache what a run has found damaged, and made again."""
    for removed in dvc_outputs.drop_damaged(paths):
        _log.warning("damaged, and removed from DVC's cache: %s", removed)
        if not dvc_outputs.is_run_by_dvc():
            _log.warning("dvc commit takes in what is in its place now")


def definition_of(kind: str, option: str, *, but: Collection[str]) -> DictConfig:
    """Compose the stage that makes the stores of a choice, as its definition has it.

    Args:
        kind: features or tokens.
        option: of it, such as `fbank` or `mfcc-kmeans100`.
        but: keys that are typed for the stage at hand alone; what else is typed goes for the
            stage that is composed, too.

    Raises:
        ConfigError: the choice has no definition, or one that lacks something.
    """
    groups = _groups_by_option(kind)
    if option not in groups:
        near = get_close_matches(option, groups, n=1)
        raise ConfigError(
            f"definition of {kind}/{option}",
            expected="a file of conf/feature"
            if kind == "features"
            else "<feature>-<tokenizer>, of files of conf/feature and conf/tokenizer",
            got="no such file",
            hint=(f"did you mean {near[0]}? Or " if near else "")
            + "put what was typed by hand for these stores into a file under their name",
        )
    typed = [
        text
        for text in HydraConfig.get().overrides.task
        if text.lstrip("+~").split("=")[0].split(".")[0] not in but
    ]
    chosen = [f"{group}={one}" for group, one in groups[option].items()]
    composed = compose("extract" if kind == "features" else "tokenize", [*typed, *chosen])
    for group, one in groups[option].items():
        check_definition(composed, group, CONF / group / f"{one}.yaml")
    return composed


def _groups_by_option(kind: str) -> Mapping[str, Mapping[str, str]]:
    """Return what to choose of each group of conf/, by the name of the folder of stores."""
    features, tokenizers = (
        sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        for group in ("feature", "tokenizer")
    )
    if kind == "features":
        return {feature: {"feature": feature} for feature in features}
    return {
        f"{feature}-{tokenizer}": {"feature": feature, "tokenizer": tokenizer}
        for feature in features
        for tokenizer in tokenizers
    }
