"""Certify choices for the stage `validate` with `recompute=N`: compute a sample again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from featbank.base.progress import Advance, progress_bar
from featbank.base.trusted import check_type
from featbank.certification.certificate import Certificate, write_certificate
from featbank.certification.certifying import Certifier
from featbank.certification.findings import Tolerances
from featbank.engine.recomputing import DrawnSample, draw
from featbank.pipeline.computing import computing_run, definition_of
from featbank.pipeline.definitions import stored_names
from featbank.tokenizers.codebook import load_codebook
from featbank.tokenizers.token_stores import TokenStores
from featbank.tokenizers.tokenized import feature_of_tokens

_log = logging.getLogger(__name__)

_OF_VALIDATE = ("only", "strict", "held_out", "recompute", "certificate")
"""Keys of `validate` alone: what else is typed goes for the stage that made the stores, too."""


def certify(config: DictConfig, names: Sequence[str]) -> list[Certificate]:
    """Compute a sample of some choices again, and write and tell what that gave.

    Args:
        config: of `validate`.
        names: of the choices, such as `features/fbank`.

    Raises:
        ConfigError: a choice has no definition, or a tolerance is out of its range.
        FeatbankError: what `Certifier` raises.
    """
    check_type(config.certificate.seed, int, "certificate.seed")
    sample = draw(Path(config.paths.manifests), config.recompute, config.certificate.seed)
    certificates = []
    with progress_bar(
        "recompute", sample.audio_s * len(names), show=config.runtime.progress
    ) as advance:
        for name in names:
            certificate = _certificate(config, name, sample, advance)
            path = Path(config.runtime.certificates, config.corpus.name, f"{name}.json")
            write_certificate(certificate, path)
            for store in certificate.stores:
                _log.info("%s/%s", name, store)
            certificates.append(certificate)
    return certificates


def _certificate(
    config: DictConfig, name: str, sample: DrawnSample, advance: Advance
) -> Certificate:
    kind, _, option = name.partition("/")
    definition = definition_of(kind, option, but=_OF_VALIDATE)
    run_name = f"certify-{config.corpus.name}-{kind}-{option}"
    certifier = Certifier(
        name=name,
        stores=Path(config.paths.root, kind, config.corpus.name, option),
        sample=sample,
        tolerances=_tolerances(config),
        run=computing_run(definition, run_name, advance),
    )
    if kind == "features":
        return certifier.features()
    return certifier.tokens(
        TokenStores(
            codebook=load_codebook(definition.paths.codebook),
            merge_repeats=definition.tokenizer.merge_repeats,
        ),
        Path(definition.paths.features, feature_of_tokens(stored_names(definition))),
    )


def _tolerances(config: DictConfig) -> Tolerances:
    values = {}
    for field, key in (("difference", "max_difference"), ("flips", "max_flips")):
        values[field] = config.certificate[key]
        check_type(values[field], float, f"certificate.{key}")
    return Tolerances(**values)
