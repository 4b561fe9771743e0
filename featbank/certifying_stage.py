"""What `validate` does with `recompute=N` and `stability=N`: choices, by their definitions.

With the one a sample is computed again and held against what is stored; with the other it is
disturbed, and held against itself undisturbed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from featbank.certification.certificate import Certificate, write_certificate
from featbank.certification.certifying import Certifier
from featbank.certification.disturbances import DISTURBANCES
from featbank.certification.disturbing import measure_stability
from featbank.certification.findings import Tolerances
from featbank.certification.recomputing import Sample, draw
from featbank.certification.stability import Stability, write_stability
from featbank.computing_stage import computing_settings
from featbank.direct_tokenization import tokenize_audio
from featbank.errors import ConfigError
from featbank.extraction import extract
from featbank.progress import Advance, progress_bar
from featbank.stage import CONF
from featbank.store import HEADER_NAME, read_header
from featbank.tokenizers.codebook import load_codebook
from featbank.trusted import check_type
from featbank.units import UNITS
from featbank.validation.header import is_tokens

_log = logging.getLogger(__name__)

_OF_VALIDATE = ("only", "strict", "held_out", "recompute", "stability", "certificate")
"""What is typed for `validate` alone; the rest goes for the stage that made the stores, too."""


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
    audio_s = sum(row.duration_s for rows in sample.values() for row in rows)
    certificates = []
    with progress_bar("recompute", audio_s * len(names), show=config.runtime.progress) as advance:
        for name in names:
            certificate = _certificate(config, name, sample, advance)
            path = Path(config.runtime.certificates, config.corpus.name, f"{name}.json")
            write_certificate(certificate, path)
            for store in certificate.stores:
                _log.info("%s/%s", name, store)
            certificates.append(certificate)
    return certificates


def gauge_stability(config: DictConfig, names: Sequence[str]) -> list[Stability]:
    """Disturb a sample of those choices that are tokens, and write and tell how many flip.

    Args:
        config: of `validate`.
        names: of the choices; those whose stores hold no tokens are passed over.

    Raises:
        ConfigError: a choice has no definition.
        FeatbankError: what `measure_stability` raises.
    """
    check_type(config.certificate.seed, int, "certificate.seed")
    sample = draw(Path(config.paths.manifests), config.stability, config.certificate.seed)
    found = []
    choices = {name: stores for name in names if (stores := _token_stores(config, name))}
    # clean, and once for each disturbance
    audio_s = sum(row.duration_s for rows in sample.values() for row in rows)
    total_s = audio_s * (1 + len(DISTURBANCES)) * len(choices)
    with progress_bar("stability", total_s, show=config.runtime.progress) as advance:
        for name, stores in choices.items():
            stability = _stability(config, name, stores, sample, advance)
            path = Path(config.runtime.certificates, config.corpus.name, f"{name}.stability.json")
            write_stability(stability, path)
            for store, by_kind in stability.stores.items():
                for kind, disturbed in by_kind.items():
                    _log.info("%s/%s, %s: %s", name, store, kind, disturbed)
            found.append(stability)
    return found


def _token_stores(config: DictConfig, name: str) -> list[str]:
    """Return which stores of a choice hold tokens: units, or codes of an extractor."""
    kind, _, option = name.partition("/")
    if kind == "tokens":
        return [UNITS]
    folder = Path(config.paths.root, kind, config.corpus.name, option)
    return sorted(
        {
            path.parent.parent.name
            for path in folder.glob(f"*/*/{HEADER_NAME}")
            if is_tokens(read_header(path.parent))
        }
    )


def _stability(
    config: DictConfig, name: str, stores: Sequence[str], sample: Sample, advance: Advance
) -> Stability:
    kind, _, option = name.partition("/")
    definition = _definition(kind, option)
    run = f"stability-{config.corpus.name}-{kind}-{option}"
    settings = computing_settings(definition, run, advance)
    if kind == "tokens":
        settings |= {
            "feature": definition.feature.storage[0].name,
            "codebook": load_codebook(definition.paths.codebook),
        }
    return measure_stability(
        extract if kind == "features" else tokenize_audio,
        stores,
        name=name,
        sample=sample,
        seed=config.certificate.seed,
        work=settings["work"],
        settings=settings,
    )


def _certificate(config: DictConfig, name: str, sample: Sample, advance: Advance) -> Certificate:
    kind, _, option = name.partition("/")
    definition = _definition(kind, option)
    settings = computing_settings(
        definition, f"certify-{config.corpus.name}-{kind}-{option}", advance
    )
    certifier = Certifier(
        name=name,
        stores=Path(config.paths.root, kind, config.corpus.name, option),
        sample=sample,
        seed=config.certificate.seed,
        tolerances=_tolerances(config),
        work=settings["work"],
        settings=settings,
    )
    if kind == "features":
        return certifier.features()
    return certifier.tokens(
        load_codebook(definition.paths.codebook),
        Path(definition.paths.features, definition.feature.storage[0].name),
        merge_repeats=definition.tokenizer.merge_repeats,
    )


def _tolerances(config: DictConfig) -> Tolerances:
    values = {}
    for field, key in (("difference", "max_difference"), ("flips", "max_flips")):
        values[field] = config.certificate[key]
        check_type(values[field], float, f"certificate.{key}")
    return Tolerances(**values)


def _definition(kind: str, option: str) -> DictConfig:
    """Compose the stage that made the stores of a choice, as its definition has it."""
    groups = _groups_by_option(kind)
    if option not in groups:
        files = "conf/feature" if kind == "features" else "conf/feature and conf/tokenizer"
        raise ConfigError(
            f"definition of {kind}/{option}",
            expected=f"one of {', '.join(groups)}, as {files} name them",
            got=option,
            hint="put what was typed by hand for these stores into a file under their name",
        )
    typed = [
        text
        for text in HydraConfig.get().overrides.task
        if text.lstrip("+~").split("=")[0].split(".")[0] not in _OF_VALIDATE
    ]
    chosen = [f"{group}={one}" for group, one in groups[option].items()]
    return compose("extract" if kind == "features" else "tokenize", [*typed, *chosen])


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
