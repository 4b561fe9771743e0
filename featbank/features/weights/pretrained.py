"""Loading of models of the transformers library: published, from a local folder, or random.

`weights` is `download`, `random` or the path of a folder that `save_pretrained` wrote. Nothing in a
file can run: tensors only, and no code from a hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from featbank.base.notices import tell
from featbank.errors import ConfigError, WeightsError
from featbank.features.weights.checkpoint import read_tensors, tensors_digest
from featbank.features.weights.hub import find_files, hub_errors  # first: it says what is lacking
from featbank.features.weights.licenses import license_of
from featbank.features.weights.model_folder import check_fields
from featbank.features.weights.sources import (
    DOWNLOAD,
    RANDOM,
    Loaded,
    checked_source,
    random_digest,
    tell_loading,
)
from featbank.files.provenance import digest

# isort: split
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from featbank.features.weights.configuration import deciding_fields, drop_unknown

disable_progress_bar()  # type: ignore[no-untyped-call]  # each worker would draw one

Model = TypeVar("Model", bound=PreTrainedModel)


def load_pretrained(
    kind: type[Model],
    *,
    weights: str,
    model: str,
    revision: str | None,
    weights_sha256: str | None,
    architecture: Mapping[str, Any],
    license: str | None = None,  # noqa: A002 - the word of the config
    seed: int = 0,
    part: str | None = None,
    unused: tuple[str, ...] = (),
    unread: tuple[str, ...] = (),
) -> Loaded[Model]:
    """Return a model in eval mode, in float32 and in torch's own memory.

    Published and local weights are named by the tensors of their files, under the names and in the
    dtypes that they have there, and by what of their configuration decides values: the same in
    every version of the library, whatever it calls the tensors of the model that it builds.

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
        license: of the weights in a local folder, as the user states it.
        seed: of random weights.
        part: pattern of the prefix of the names of those tensors that are read, for a model that is
            part of another; None for all.
        unused: tensors that only training reads. Weights may lack them; then they are zero.
        unread: fields of the configuration that the model does not read, but the whole may.

    Raises:
        ConfigError: a download without a revision, a folder without its digest, a digest without a
            folder, or a licence that is not the published one.
        WeightsError: the weights cannot be had, leave a tensor unfilled, or are of another model.
    """
    source = checked_source(weights, weights_sha256, what="folder")
    stated = license_of(source, model, license)
    where = model if source == DOWNLOAD else weights
    tensors: Mapping[str, torch.Tensor] = {}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if source == RANDOM:
            tell(phase=f"drawing random weights of {model}")
            config = _random_config(kind, architecture, model)
            loaded = kind(config)
        else:
            tell(phase=f"looking for the weights of {where}")
            folder, files = find_files(
                source,
                weights=weights,
                model=model,
                revision=revision,
                weights_sha256=weights_sha256,
            )
            tell_loading(model, files)
            config = _read_config(kind, folder, where)
            tensors = _part_of(read_tensors(files), part)
            loaded = _load(kind, where, config, tensors, unused)
    _check_architecture(loaded.config, architecture, where)
    for tensor in (*loaded.parameters(), *loaded.buffers()):
        tensor.data = tensor.data.clone()  # alignment of a mapped file changes the last bits
    loaded.train(False)

    def compute_digest() -> str:
        fields = deciding_fields(config, unread)
        if source == RANDOM:
            return random_digest(seed, fields, ["transformers"])
        return digest({"configuration": fields, "tensors": tensors_digest(tensors)})

    return Loaded(model=loaded, source=source, license=stated, compute_digest=compute_digest)


def _read_config(kind: type[PreTrainedModel], folder: Path, where: str) -> PreTrainedConfig:
    config_class = _config_class(kind)
    with hub_errors(where):
        fields, _ = config_class.get_config_dict(folder, local_files_only=True)
        if fields.get("model_type") != config_class.model_type:
            raise WeightsError(
                f"weights {where}",
                expected=f"a model of type {config_class.model_type}",
                got=fields.get("model_type") or "a configuration that states none",
            )
        check_fields(fields, where)
        return drop_unknown(config_class.from_dict(fields))


def _part_of(tensors: Mapping[str, torch.Tensor], part: str | None) -> dict[str, torch.Tensor]:
    """Return the tensors whose names have a prefix, without it."""
    if part is None:
        return dict(tensors)
    found = {name: re.match(part, name) for name in tensors}
    return {name[match.end() :]: tensors[name] for name, match in found.items() if match}


def _load(
    kind: type[Model],
    where: str,
    config: PreTrainedConfig,
    tensors: Mapping[str, torch.Tensor],
    unused: tuple[str, ...],
) -> Model:
    loaded: Model
    report: dict[str, Any]
    with hub_errors(where):
        loaded, report = kind.from_pretrained(  # type: ignore[misc] # a pair, on that request
            None,
            config=config,
            state_dict=dict(tensors),
            dtype=torch.float32,
            output_loading_info=True,
        )
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
