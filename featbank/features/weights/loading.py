"""Model weights: loaded in one of three ways, and named by what they are.

`weights` is `download`, `random`, or the path of a local file, whose SHA-256 must be given with it.
Nothing in a file can run: tensors only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError

from featbank.errors import LIBRARY_ERRORS, ConfigError, WeightsError
from featbank.features.weights.model_folder import check_pin
from featbank.files.provenance import canonical_json, file_sha256

DOWNLOAD = "download"
RANDOM = "random"
FILE = "file"

Model = TypeVar("Model", bound=torch.nn.Module)

_DAMAGED: tuple[type[Exception], ...] = (*LIBRARY_ERRORS, SafetensorError)


def load_model(
    weights: str,
    *,
    weights_sha256: str | None,
    seed: int,
    build: Callable[[], Model],
    download: Callable[[], Model],
    unused: tuple[str, ...] = (),
) -> Model:
    """Return a model in eval mode whose weights come from where `weights` says.

    The global random state stays as it was. Weights are copied into torch's own memory, since the
    alignment of a mapped file changes the last bits of what the model computes.

    Args:
        weights: `download`, `random` or the path of a local file.
        weights_sha256: of the local file, in hexadecimal.
        seed: of random weights.
        build: makes the model with freshly initialised weights.
        download: makes the model with its publisher's weights.
        unused: name prefixes of tensors in a local file for which the model has no place.

    Raises:
        ConfigError: nothing that could be weights, a file without its digest, or a digest without
            a file.
        WeightsError: the weights cannot be had, or are not the ones that were named.
    """
    source = source_of(weights)
    if source != FILE and weights_sha256 is not None:
        raise ConfigError(
            f"weights: {weights}",
            expected="weights_sha256: null, since only a local file is checked against it",
            got=weights_sha256,
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if source == DOWNLOAD:
            return _download(download).eval()
        if source == RANDOM:
            return build().eval()
        tensors = read_tensors(Path(weights), weights_sha256)
        return _fill(build(), tensors, unused, where=f"weights {weights}").eval()


def source_of(weights: str) -> str:
    """Return `download`, `random` or, for the path of a local file, `file`.

    Raises:
        ConfigError: it is no text, as a `null` of the configuration is not.
    """
    if not isinstance(weights, str):
        raise ConfigError(
            "weights",
            expected="download, random or the path of a local file",
            got="null" if weights is None else repr(weights),
            hint=_three_ways(),
        )
    return weights if weights in (DOWNLOAD, RANDOM) else FILE


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 over name, dtype, shape and bytes of each tensor, in the order of names.

    >>> a, b = torch.zeros(2), torch.ones(2, 3)
    >>> tensors_digest({"a": a, "b": b}) == tensors_digest({"b": b, "a": a})
    True
    >>> tensors_digest({"a": a}) == tensors_digest({"a": a.reshape(1, 2)})
    False
    """
    total = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        dtype = str(tensor.dtype).removeprefix("torch.")
        total.update(canonical_json([name, dtype, list(tensor.shape)]).encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def read_tensors(path: Path, expected_sha256: str | None) -> dict[str, torch.Tensor]:
    """Read the tensors of a file: safetensors by that suffix, else what `torch.save` wrote.

    Raises:
        ConfigError: there is no digest to check the file against.
        WeightsError: the file is missing, has another digest, or holds anything but named tensors.
    """
    where = f"weights {path}"
    if not path.is_file():
        raise WeightsError(
            where,
            expected="download, random or the path of a local file",
            got="no such file",
            hint=_three_ways(),
        )
    check_pin(where, file_sha256(path), expected_sha256, what="this file")
    try:
        if path.suffix == ".safetensors":
            tensors = safetensors.torch.load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        raise WeightsError(
            where, expected="a file of tensors, and nothing else", got=_first_line(error)
        ) from error
    if not isinstance(tensors, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in tensors.items()
    ):
        raise WeightsError(where, expected="a state dict: tensors by name", got=_describe(tensors))
    return dict(tensors)


def _fill(
    model: Model, tensors: Mapping[str, torch.Tensor], unused: tuple[str, ...], where: str
) -> Model:
    used = {name: tensor for name, tensor in tensors.items() if not name.startswith(unused)}
    dtypes = {tensor.dtype for tensor in used.values()} - {torch.float32}
    if dtypes:
        raise WeightsError(where, expected="float32 tensors", got=", ".join(map(str, dtypes)))
    try:
        model.load_state_dict(used)
    except RuntimeError as error:  # torch's one error for missing, unexpected and misshapen tensors
        differences = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise WeightsError(
            where,
            expected="the tensors of this model",
            got=differences[:500],
            hint="check that the bundle and the file belong together",
        ) from error
    return model


def _download(download: Callable[[], Model]) -> Model:
    try:
        return download()
    except (OSError, HTTPException) as error:
        got, hint = _first_line(error), _three_ways()
        raise WeightsError("weights: download failed", got=got, hint=hint) from error
    except _DAMAGED as error:
        raise WeightsError(
            "weights: the downloaded file cannot be used",
            got=_first_line(error),
            hint=f"delete it from {_hub_cache()} and run again",
        ) from error


def _three_ways() -> str:
    return (
        "there are three ways: set weights to a local file and weights_sha256 to its digest; "
        f"run where there is a network (downloads are kept in {_hub_cache()}, to be copied too); "
        "or set weights: random for a dry run, whose features mean nothing"
    )


def _hub_cache() -> Path:
    return Path(torch.hub.get_dir(), "checkpoints")


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _describe(value: object) -> str:
    if not isinstance(value, Mapping):
        return type(value).__name__
    kinds = sorted({type(item).__name__ for item in value.values()})
    return f"a mapping with {', '.join(kinds)} among {', '.join(map(str, list(value)[:5]))}"
