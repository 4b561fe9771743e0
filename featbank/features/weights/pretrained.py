"""Models of the transformers library: published, from a local folder, or random.

`weights` is `download`, `random` or the path of a folder that `save_pretrained` wrote. Nothing in a
file can run: safetensors, or `weights_only`, and no code from a hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from featbank.errors import LIBRARY_ERRORS, ConfigError, WeightsError
from featbank.features.base import Weights
from featbank.features.weights.licenses import published_license
from featbank.features.weights.loading import (
    DOWNLOAD,
    FILE,
    RANDOM,
    source_of,
    tensors_digest,
)
from featbank.features.weights.model_folder import check_fields, check_files
from featbank.files.json_files import read_json
from featbank.files.provenance import digest

try:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import PreTrainedConfig, PreTrainedModel
    from transformers.utils.hub import cached_file
    from transformers.utils.logging import disable_progress_bar
except ImportError as error:
    raise ConfigError(
        "an extractor of the transformers library",
        expected="transformers",
        got=str(error),
        hint='pip install "featbank[transformers]"',
    ) from error

disable_progress_bar()  # type: ignore[no-untyped-call]  # each worker would draw one

Model = TypeVar("Model", bound=PreTrainedModel)

_DAMAGED: tuple[type[Exception], ...] = (
    *LIBRARY_ERRORS,
    ImportError,
    OSError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises about a folder; ImportError for what only an extra of its could read."""

_SAYS_NOTHING = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


def load_pretrained(
    kind: type[Model],
    *,
    weights: str,
    model: str,
    revision: str | None,
    weights_sha256: str | None,
    architecture: Mapping[str, Any],
    seed: int = 0,
    key_mapping: Mapping[str, str] | None = None,
    unused: tuple[str, ...] = (),
) -> Model:
    """Return a model in eval mode, in float32 and in torch's own memory.

    The global random state stays as it was.

    Args:
        kind: class of the model.
        weights: `download`, `random`, or the path of a folder with `config.json` and the weights.
        model: its name on the hub, owner/name.
        revision: the commit there, in 40 hexadecimal digits; used for a download alone.
        weights_sha256: of the weights file in a local folder, in hexadecimal; of several, of their
            digests in the order of their names.
        architecture: fields of the model's configuration. Random weights are made by them, and
            published or local ones must agree.
        seed: of random weights.
        key_mapping: pattern -> replacement in the names of published or local tensors, for a model
            that is part of another.
        unused: tensors that only training reads. Weights may lack them; then they are zero.

    Raises:
        ConfigError: a download without a revision, a folder without its digest, or a digest without
            a folder.
        WeightsError: the weights cannot be had, leave a tensor unfilled, or are of another model.
    """
    source = source_of(weights)
    if source != FILE and weights_sha256 is not None:
        raise ConfigError(
            f"weights: {weights}",
            expected="weights_sha256: null, since only a local folder is checked against it",
            got=weights_sha256,
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if source == RANDOM:
            loaded = kind(_random_config(kind, architecture, model))
        else:
            options: dict[str, Any]
            if source == DOWNLOAD:
                where, options = model, {"revision": _pinned(model, revision)}
            else:
                [first, *_] = check_files(Path(weights), weights_sha256, _three_ways())
                # the very files that were looked at, and no others beside them
                safe = first.suffix == ".safetensors"
                where, options = weights, {"local_files_only": True, "use_safetensors": safe}
            loaded = _load(kind, where, key_mapping=key_mapping, unused=unused, **options)
    _check_architecture(loaded.config, architecture, model if source == DOWNLOAD else weights)
    for tensor in (*loaded.parameters(), *loaded.buffers()):
        tensor.data = tensor.data.clone()  # alignment of a mapped file changes the last bits
    loaded.train(False)
    return loaded


def weights_of(
    loaded: PreTrainedModel,
    weights: str,
    model: str,
    license: str | None,  # noqa: A002 - the word of the config
) -> Weights:
    """Return where a model's weights came from.

    The digest is over the tensors and the configuration, which decides as much of the values.
    Published weights have the licence that is published, those of a folder the one that is stated.

    Raises:
        ConfigError: another licence is stated of published weights.
    """
    fields = loaded.config.to_diff_dict()
    stated = {key: value for key, value in fields.items() if key not in _SAYS_NOTHING}
    source = source_of(weights)
    licenses = {RANDOM: "", FILE: license or ""}
    if source == DOWNLOAD:
        licenses[DOWNLOAD] = published_license(model, license)
    return Weights(
        source=source,
        digest=digest([tensors_digest(loaded.state_dict()), stated]),
        license=licenses[source],
    )


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


def _stated(where: str, name: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        path = cached_file(where, name, _raise_exceptions_for_missing_entries=False, **options)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{name} of {where}", expected="a JSON file", got=f"{error}".splitlines()[0]
        ) from error
    return None if path is None else read_json(path, what=f"{name} of {where},", error=WeightsError)


def _load(
    kind: type[Model],
    where: str,
    *,
    key_mapping: Mapping[str, str] | None,
    unused: tuple[str, ...],
    **options: Any,
) -> Model:
    config_class = _config_class(kind)
    try:
        fields, _ = config_class.get_config_dict(where, **options)
        if fields.get("model_type") != config_class.model_type:
            raise WeightsError(
                f"weights {where}",
                expected=f"a model of type {config_class.model_type}",
                got=fields.get("model_type") or "a configuration that states none",
            )
        check_fields(fields, where)
        loaded: Model
        report: dict[str, Any]
        loaded, report = kind.from_pretrained(  # type: ignore[misc] # a pair, on that request
            where,
            **options,
            key_mapping=dict(key_mapping) if key_mapping else None,
            dtype=torch.float32,
            weights_only=True,
            output_loading_info=True,
        )
    except _DAMAGED as error:
        raise WeightsError(
            f"weights {where}",
            expected="a model that transformers can load",
            got=f"{type(error).__name__}: {error}".splitlines()[0][:300],
            hint=_three_ways(),
        ) from error
    _refuse_more_layers(loaded, map(str, report["unexpected_keys"]), where)
    missing = set(report["missing_keys"])
    for name in missing.intersection(unused):
        torch.nn.init.zeros_(loaded.get_parameter(name))
    if unfilled := sorted({*missing.difference(unused), *map(str, report["mismatched_keys"])}):
        raise WeightsError(
            f"weights {where}",
            expected=f"every tensor of {kind.__name__}",
            got=f"none that fits {', '.join(unfilled[:3])} ({len(unfilled)} in all)",
            hint="they would be random; check that the model and the weights belong together",
        )
    return loaded


def _refuse_more_layers(loaded: PreTrainedModel, unexpected: Iterable[str], where: str) -> None:
    """Refuse weights of more layers than the configuration says: the last would be left out."""
    for name in unexpected:
        before, number, _ = [*re.split(r"\.(\d+)\.", name, maxsplit=1), "", ""][:3]
        modules = dict(loaded.named_modules())
        if number and isinstance(modules.get(before), torch.nn.ModuleList):
            raise WeightsError(
                f"weights {where}",
                expected=f"{len(modules[before])} of {before}, as config.json states",
                got=f"{name} too",
                hint="check that the configuration and the weights belong together",
            )


def _config_class(kind: type[PreTrainedModel]) -> type[PreTrainedConfig]:
    config_class = kind.config_class
    assert config_class is not None  # only of the base class of all models
    return config_class


def _random_config(
    kind: type[PreTrainedModel], architecture: Mapping[str, Any], model: str
) -> PreTrainedConfig:
    config_class = _config_class(kind)
    default = config_class()
    if unknown := [name for name in architecture if not hasattr(default, name)]:
        raise ConfigError(
            f"architecture of {model}",
            expected=f"fields of {config_class.__name__}",
            got=", ".join(unknown),
        )
    try:
        return config_class(**architecture)
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise ConfigError(
            f"architecture of {model}",
            expected=f"what {config_class.__name__} takes",
            got=" ".join(str(error).split()),
        ) from error


def _pinned(model: str, revision: str | None) -> str:
    if revision is None or not re.fullmatch("[0-9a-f]{40}", revision):
        raise ConfigError(
            f"revision of {model}",
            expected="a commit, in 40 hexadecimal digits, so that the weights stay the same",
            got="null" if revision is None else revision,
            hint="the model's page lists its commits under Files and versions",
        )
    return revision


def _check_architecture(config: PreTrainedConfig, stated: Mapping[str, Any], where: str) -> None:
    for name, value in stated.items():
        found = getattr(config, name, None)
        if found != value:
            raise WeightsError(
                f"architecture of {where}: {name}",
                expected=value,
                got=found,
                hint="these weights are of another model than the option says",
            )


def _three_ways() -> str:
    return (
        "there are three ways: set weights to a local folder and weights_sha256 to its digest; run "
        "where there is a network (HF_HOME keeps downloads, to be copied too); or set weights: "
        "random for a dry run, whose features mean nothing"
    )
