"""Manifests and stores -> checks; without `only=` those of every choice, and the report.

With `recompute=20` that many utterances are computed again, too, and held against what is stored.
"""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

import logging
from itertools import groupby
from pathlib import Path

from omegaconf import DictConfig

from featbank.base.progress import progress_bar
from featbank.base.trusted import check_type
from featbank.errors import ConfigError
from featbank.files.provenance import digest
from featbank.pipeline.stage import (
    audio_seconds,
    chosen_stores,
    kind_and_option,
    params,
    read_corpus,
    refuse_tracked,
    run_script,
    stage,
)
from featbank.stability.result import read_stabilities
from featbank.validation.held_out import HeldOut, features_of_tokens
from featbank.validation.result import CheckResult, require_good, write_check
from featbank.validation.stores import validate_stores

_log = logging.getLogger(__name__)


@stage("validate")
def main(config: DictConfig) -> None:
    refuse_tracked(config, config.paths.checks)
    refuse_tracked(config, config.paths.report)
    _check(config)
    chosen = chosen_stores()
    names = chosen if config.only is None else [config.only]
    corpus = read_corpus(config.paths.manifests)
    total_s = audio_seconds(corpus) * len(names)
    labels = config.corpus.get("labels")
    results = []
    with progress_bar("validate", total_s, show=config.runtime.progress) as advance:
        for name in names:
            kind, option = kind_and_option(name)
            folder = Path(config.paths.root, kind, config.corpus.name, option)
            result = validate_stores(
                folder,
                config.paths.manifests,
                name=name,
                labels=None if labels is None else Path(config.corpus.root, labels),
                held_out=_held_out(config, option) if kind == "tokens" else None,
                advance=advance,
            )
            # the report's stage depends on the folder of checks: only choices go there
            by_hand = Path(config.runtime.checks, config.corpus.name)
            checks = config.paths.checks if name in chosen else by_hand
            write_check(result, Path(checks, f"{name}.json"))
            _log.info("%s", _told(result))
            results.append(result)
    if config.only is None:
        # imported here, for a check of one choice draws nothing
        from featbank.report.page import write_report

        stabilities = read_stabilities(config.paths.stability, chosen, digest(corpus))
        report = write_report(results, corpus, Path(config.paths.report), stabilities)
        _log.info("report: %s", report)
    if config.strict:
        require_good(results)
    if config.recompute:
        # imported here, for a check of what is stored needs neither torch nor an encoder
        from featbank.certification.certificate import require_certified
        from featbank.pipeline.certifying import certify

        certificates = certify(config, names)
        if config.strict:
            require_certified(certificates)


def _check(config: DictConfig) -> None:
    """Refuse values of another type or range, before any work begins."""
    if config.recompute < 0:
        raise ConfigError("recompute", expected="0 utterances or more", got=config.recompute)
    check_type(config.corpus.get("labels"), str | None, "corpus.labels")


def _held_out(config: DictConfig, option: str) -> HeldOut:
    """Say where the codebook of a choice lies, and the features that it makes tokens of."""
    root, corpus = config.paths.root, config.corpus.name
    stored = Path(root, "features", corpus)
    chosen = {
        group: {f"{one['feature']}-{one['tokenizer']}": one["feature"] for one in found.values()}
        for group in ("tokens", "tokens_from_audio")
        if (found := params(group))
    }
    return HeldOut(
        codebook=Path(root, "codebooks", corpus, f"{option}.safetensors"),
        features=features_of_tokens(
            option,
            stored,
            tokens=chosen.get("tokens", {}),
            tokens_from_audio=chosen.get("tokens_from_audio", {}),
        ),
        num_utterances=config.held_out.utterances,
        seed=config.held_out.seed,
    )


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
