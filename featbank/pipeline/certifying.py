"""Certification for `validate` with `recompute=N`: a sample is computed again and compared."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from featbank.base.progress import Advance, progress_bar
from featbank.certification.certificate import Certificate, write_certificate
from featbank.certification.certifying import Certifier
from featbank.certification.findings import Tolerances
from featbank.engine.recomputing import DrawnSample, draw
from featbank.pipeline.computing import computing_run, config_of
from featbank.pipeline.configs import ExtractConfig, ValidateConfig
from featbank.tokenizers.codebook import load_codebook
from featbank.tokenizers.token_stores import TokenStores

_log = logging.getLogger(__name__)

_OF_ANY = {one.name for one in fields(ExtractConfig)}
_OF_VALIDATE = [one.name for one in fields(ValidateConfig) if one.name not in _OF_ANY]
"""Keys of `validate` alone: what else is typed goes for the stage that made the stores, too."""


def certify(config: ValidateConfig, names: Sequence[str]) -> list[Certificate]:
    """Compute a sample of some choices again, and write and print their certificates.

    Args:
        config: of `validate`.
        names: of the choices, such as `features/fbank`.

    Raises:
        ConfigError: a choice has no definition, or a tolerance is out of its range.
        FeatbankError: what `Certifier` raises.
    """
    sample = draw(config.paths.manifests, config.recompute, config.certificate.seed)
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
    config: ValidateConfig, name: str, sample: DrawnSample, advance: Advance
) -> Certificate:
    kind, _, option = name.partition("/")
    made_by = config_of(name, but=_OF_VALIDATE)
    run_name = f"certify-{config.corpus.name}-{kind}-{option}"
    certifier = Certifier(
        name=name,
        stores=Path(config.paths.root, kind, config.corpus.name, option),
        sample=sample,
        tolerances=Tolerances(
            difference=config.certificate.max_difference, flips=config.certificate.max_flips
        ),
        run=computing_run(made_by, run_name, advance),
    )
    if isinstance(made_by, ExtractConfig):
        return certifier.features()
    return certifier.tokens(
        TokenStores(
            codebook=load_codebook(made_by.paths.codebook),
            merge_repeats=made_by.tokenizer.merge_repeats,
        ),
        made_by.paths.features / made_by.feature.of_tokens(made_by.stored),
    )
