"""Files of a model of the transformers library: of a local folder, or fetched from the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from featbank.errors import ConfigError, WeightsError
from featbank.features.weights.checkpoint import DAMAGED, first_line
from featbank.features.weights.model_folder import CONFIG, check_files, fetch_weights
from featbank.features.weights.sources import DOWNLOAD, RANDOM, source_of, three_ways
from featbank.files.json_files import read_json

try:
    from huggingface_hub.errors import StrictDataclassError
    from transformers.utils.hub import cached_file
except ImportError as error:
    raise ConfigError.of_absent(
        "an extractor of the transformers library", "transformers", "transformers", error
    ) from error

_DAMAGED: tuple[type[Exception], ...] = (*DAMAGED, ImportError, OSError, StrictDataclassError)
"""What transformers raises about a folder; ImportError for what only an extra of its could read."""


def find_files(
    source: str, *, weights: str, model: str, revision: str | None, weights_sha256: str | None
) -> tuple[Path, Sequence[Path]]:
    """Find the folder of a model's configuration, and the files of its tensors.

    Args:
        source: `download` or `file`.
        weights: the folder, where there is one.
        model: its name on the hub, owner/name.
        revision: the commit there.
        weights_sha256: of the weights in the folder.

    Raises:
        ConfigError: a download without a revision, or a folder without its digest.
        WeightsError: there are none, or others than the digest says.
    """
    if source == DOWNLOAD:
        return _downloaded(model, _pinned(model, revision))
    folder = Path(weights)
    return folder, check_files(folder, weights_sha256, _three_ways())


def preprocessor_of(weights: str, model: str, revision: str | None) -> dict[str, Any] | None:
    """Return how a model wants its audio, as what lies beside its weights says, if anything does.

    As the library has it, that is the feature extractor in `processor_config.json`, where it is
    there and tells of one, else `preprocessor_config.json`.

    Args:
        weights: as of `load_pretrained`; random ones have none.
        model: as there.
        revision: as there.

    Raises:
        WeightsError: a file cannot be read.
    """
    source = source_of(weights)
    if source == RANDOM:
        return None
    where, options = (model, {"revision": revision}) if source == DOWNLOAD else (weights, {})
    whole = _stated(where, "processor_config.json", options) or {}
    nested = whole.get("feature_extractor")
    return nested if nested else _stated(where, "preprocessor_config.json", options)


@contextmanager
def hub_errors(where: str) -> Iterator[None]:
    """Turn what transformers raises about a model's files into an error of its weights."""
    try:
        yield
    except _DAMAGED as error:
        raise WeightsError(
            f"weights {where}",
            expected="a model that transformers can load",
            got=first_line(error),
            hint=_three_ways(),
        ) from error


def _downloaded(model: str, revision: str) -> tuple[Path, Sequence[Path]]:
    """Fetch the configuration and the weights of a model, or find them in the library's cache."""

    def fetch(name: str) -> Path | None:
        path = cached_file(
            model, name, revision=revision, _raise_exceptions_for_missing_entries=False
        )
        return None if path is None else Path(path)

    with hub_errors(model):
        config = fetch(CONFIG)
        files = fetch_weights(fetch)
    if config is None or not files:
        raise WeightsError(
            f"weights {model}",
            expected=f"{CONFIG} and tensors in commit {revision}",
            got=f"no {CONFIG}" if config is None else "no weights",
        )
    return config.parent, files


def _pinned(model: str, revision: str | None) -> str:
    if revision is None or not re.fullmatch("[0-9a-f]{40}", revision):
        raise ConfigError(
            f"revision of {model}",
            expected="a commit, in 40 hexadecimal digits, so that the weights stay the same",
            got="null" if revision is None else revision,
            hint="the model's page lists its commits under Files and versions",
        )
    return revision


def _stated(where: str, name: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        path = cached_file(where, name, _raise_exceptions_for_missing_entries=False, **options)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{name} of {where}", expected="a JSON file", got=f"{error}".splitlines()[0]
        ) from error
    return None if path is None else read_json(path, what=f"{name} of {where},", error=WeightsError)


def _three_ways() -> str:
    return three_ways("folder", "HF_HOME keeps downloads, to be copied too")
