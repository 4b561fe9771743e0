"""Loading of models of the transformers library: published, from a local folder, or random.

`weights` is `download`, `random` or the path of a folder that `save_pretrained` wrote. Nothing in a
file can run: tensors only, and no code from a hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from featbank.errors import ConfigError, WeightsError
from featbank.features.weights.checkpoint import (
    DAMAGED,
    first_line,
    read_tensors,
    tensors_digest,
)
from featbank.features.weights.loading import (
    DOWNLOAD,
    RANDOM,
    Loaded,
    checked_source,
    license_of,
    random_digest,
    source_of,
)
from featbank.features.weights.model_folder import CONFIG, check_fields, check_files, fetch_weights
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

from featbank.features.weights.configuration import deciding_fields, drop_unknown  # isort: skip

disable_progress_bar()  # type: ignore[no-untyped-call]  # each worker would draw one

Model = TypeVar("Model", bound=PreTrainedModel)

_DAMAGED: tuple[type[Exception], ...] = (*DAMAGED, ImportError, OSError, StrictDataclassError)
"""What transformers raises about a folder; ImportError for what only an extra of its could read."""


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
            config = _random_config(kind, architecture, model)
            loaded = kind(config)
        else:
            if source == DOWNLOAD:
                folder, files = _downloaded(model, _pinned(model, revision))
            else:
                folder = Path(weights)
                files = check_files(folder, weights_sha256, _three_ways())
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


def _downloaded(model: str, revision: str) -> tuple[Path, Sequence[Path]]:
    """Fetch the configuration and the weights of a model, or find them in the library's cache."""

    def fetch(name: str) -> Path | None:
        path = cached_file(
            model, name, revision=revision, _raise_exceptions_for_missing_entries=False
        )
        return None if path is None else Path(path)

    with _hub_errors(model):
        config = fetch(CONFIG)
        files = fetch_weights(fetch)
    if config is None or not files:
        raise WeightsError(
            f"weights {model}",
            expected=f"{CONFIG} and tensors in commit {revision}",
            got=f"no {CONFIG}" if config is None else "no weights",
        )
    return config.parent, files


@contextmanager
def _hub_errors(where: str) -> Iterator[None]:
    """Tell what transformers raises about a model's files as an error of its weights."""
    try:
        yield
    except _DAMAGED as error:
        raise WeightsError(
            f"weights {where}",
            expected="a model that transformers can load",
            got=first_line(error),
            hint=_three_ways(),
        ) from error


def _read_config(kind: type[PreTrainedModel], folder: Path, where: str) -> PreTrainedConfig:
    config_class = _config_class(kind)
    with _hub_errors(where):
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
    with _hub_errors(where):
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
