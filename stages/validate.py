"""Hold stores against their manifests, measure their quality, write the report.

Examples:
    python stages/validate.py                           # all choices of params.yaml
    python stages/validate.py only=features/fbank       # one choice
    python stages/validate.py recompute=3 strict=false  # compute 3 utterances again
"""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from featbank.base.label_forms import LabelSource
from featbank.base.notices import tell
from featbank.base.progress import progress_bar
from featbank.pipeline.choices import (
    chosen_stores,
    kind_and_option,
    read_choices,
    refuse_misnamed,
)
from featbank.pipeline.configs import ValidateConfig
from featbank.pipeline.corpus_summary import read_corpus
from featbank.pipeline.stage import run_script, stage
from featbank.pipeline.tracking import refuse_tracked
from featbank.validation.held_out import HeldOut, features_of_tokens
from featbank.validation.quality import AbxPlan, NgramPlan, ProbePlan, QualityPlan
from featbank.validation.result import CheckResult, require_good, write_check
from featbank.validation.stores import validate_stores

_log = logging.getLogger(__name__)


@stage(ValidateConfig)
def main(config: ValidateConfig) -> None:
    refuse_tracked(config, config.paths.checks)
    refuse_tracked(config, config.paths.report)
    chosen = chosen_stores()
    names = chosen if config.only is None else [config.only]
    if config.only is not None:
        kind, option = kind_and_option(config.only)
        stores = Path(config.paths.root, kind, config.corpus.name, option)
        refuse_misnamed(config.only, chosen, stores)
    corpus = read_corpus(config.paths.manifests)
    total_s = corpus.audio_s * len(names)
    said = config.corpus.labels
    labels = None if said is None else LabelSource.of(said, config.corpus.root)
    # first, for a wrong name is told before hours of reading
    hold_against_older = _drift(config, names)
    results = []
    with progress_bar("validate", total_s, show=config.runtime.progress) as advance:
        for name in names:
            kind, option = kind_and_option(name)
            folder = Path(config.paths.root, kind, config.corpus.name, option)
            result = validate_stores(
                folder,
                config.paths.manifests,
                name=name,
                labels=labels,
                held_out=_held_out(config, option) if kind == "tokens" else None,
                quality=_quality(config),
                advance=advance,
            )
            # the report's stage depends on the folder of checks: only choices go there
            by_hand = Path(config.runtime.checks, config.corpus.name)
            checks = config.paths.checks if name in chosen else by_hand
            write_check(result, Path(checks, f"{name}.json"))
            _tell(result)
            results.append(result)
    if config.only is None:
        # imported here, for a check of one choice draws nothing
        from featbank.pipeline.reporting import config_of_report, make_report

        tell(phase="drawing the report")
        _log.info("report: %s", make_report(config_of_report(), results))
    if config.strict:
        require_good(results)
    hold_against_older(results)
    if config.recompute:
        # imported here, for a check of what is stored needs neither torch nor an encoder
        from featbank.certification.certificate import require_certified
        from featbank.pipeline.certifying import certify

        certificates = certify(config, names)
        if config.strict:
            require_certified(certificates)


def _drift(config: ValidateConfig, names: Sequence[str]) -> Callable[[Sequence[CheckResult]], None]:
    """Read the version that `against` names; return what holds results against it."""
    if config.against is None:
        return lambda _: None
    # imported here, for DVC runs no such check
    from featbank.pipeline.drifting import hold_against, read_older

    return partial(hold_against, config, read_older(config, names))


def _held_out(config: ValidateConfig, option: str) -> HeldOut:
    """Say where the codebook of a choice lies, and the features that it makes tokens of."""
    root, corpus = config.paths.root, config.corpus.name
    stored = Path(root, "features", corpus)
    choices = read_choices()
    chosen = next((one for one in choices.all_tokens if one.name == option), None)
    features = features_of_tokens(
        option,
        stored,
        tokens={one.name: one.feature for one in choices.tokens},
        tokens_from_audio={one.name: one.feature for one in choices.tokens_from_audio},
    )
    feature = chosen.feature if chosen else features.name if features else ""
    tokenizer = option.removeprefix(f"{feature}-")
    fit_on = chosen.fit_on if chosen else choices.fitted_on(feature, feature, tokenizer, tokenizer)
    name = f"{chosen.stored}-{chosen.codebook}" if chosen else option
    return HeldOut(
        codebook=Path(root, "codebooks", fit_on, f"{name}.safetensors"),
        features=features,
        splits=config.corpus.held_out,
        num_utterances=config.held_out.utterances,
        seed=config.held_out.seed,
    )


def _quality(config: ValidateConfig) -> QualityPlan:
    """Say how much of the stores is drawn to measure their quality."""
    said = config.quality
    return QualityPlan(
        trained=config.corpus.train,
        held_out=config.corpus.held_out,
        seed=said.seed,
        abx=AbxPlan(
            speakers=said.abx.speakers,
            utterances=said.abx.utterances,
            segments=said.abx.segments,
            by_context=said.abx.by_context,
            silences=said.abx.silences,
        ),
        ngram=NgramPlan(utterances=said.ngram.utterances, order=said.ngram.order),
        probe=ProbePlan(speakers=said.probe.speakers, utterances=said.probe.utterances),
    )


def _tell(result: CheckResult) -> None:
    """Say what was found, and where labels are of other utterances than those of the corpus."""
    _log.info("%s", _told(result))
    for store in result.stores:
        if store.labels and store.labels.num_unlabelled and not store.labels.num_frames:
            _log.warning(
                "%s %s: no frame has a label; are the ids those of corpus.labels?",
                result.name, store.split,
            )  # fmt: skip
    if result.inertia is not None:
        for split, why in result.inertia.lacking.items():
            _log.warning("%s: no held-out inertia of %s, for %s", result.name, split, why)
        if result.inertia.absent:
            _log.info("%s: no held-out inertia, for %s", result.name, result.inertia.absent)


def _told(result: CheckResult) -> str:
    problems = sum(problem.count for problem in result.all_problems)
    by_name = groupby(result.stores, key=lambda store: store.name)
    utterances = max(
        (sum(one.num_utterances for one in stores) for _, stores in by_name), default=0
    )
    return (
        f"{result.name}: {len(result.stores)} stores, {utterances} utterances, {problems} problems"
    )


if __name__ == "__main__":
    run_script(main)
