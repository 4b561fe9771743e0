"""Checks of a local model folder: the files that are read, and their configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from featbank.errors import ConfigError, WeightsError
from featbank.files.json_files import read_json
from featbank.files.provenance import file_sha256

CONFIG = "config.json"

# in the order in which transformers looks for them: a file of all tensors, or a list of such files
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")

_REDIRECTS = {
    "transformers_weights": "the weights are model.safetensors: give that name to the right file",
    "quantization_config": "save the model without it, in float32",
    "attn_implementation": "remove it: the attention is chosen by featbank",
    "_attn_implementation": "remove it: the attention is chosen by featbank",
    "attn_implementation_internal": "remove it",
    "_attn_implementation_internal": "remove it",
}
"""Fields by which a configuration names other weights, other numbers or code of a hub."""

_HARMLESS = (None, "sdpa")
_ADAPTER = "adapter_config.json"
_MOST_LAYERS = 1000
_MOST = 1 << 31  # of any number of an architecture; a vocabulary has some 10^5


def check_files(folder: Path, expected_sha256: str | None, hint: str) -> Sequence[Path]:
    """Return the weight files of a folder, if their digest is the one that was stated.

    Raises:
        ConfigError: there is no digest to check them against.
        WeightsError: there are none, others than the digest says, or a configuration that names
            others or is of no sane size.
    """
    files = weight_files(folder)
    if not files or not (folder / CONFIG).is_file():
        raise WeightsError(
            f"weights {folder}",
            expected=f"download, random or a folder with {CONFIG} and {_WEIGHTS[0]}",
            got="no such folder" if not folder.is_dir() else "a folder without them",
            hint=hint,
        )
    digests = [file_sha256(path) for path in files]
    found = digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()
    check_pin(f"weights {folder}", found, expected_sha256, what="its weights")
    if (folder / _ADAPTER).exists():
        raise WeightsError(
            f"weights {folder}",
            expected="a whole model",
            got=f"an {_ADAPTER}, which names other weights",
            hint="merge the adapter into the model, and save that",
        )
    try:
        fields = read_json(folder / CONFIG, what="its", error=WeightsError)
    except WeightsError as error:
        raise WeightsError(
            f"weights {folder}", expected="a model that transformers can load", got=error
        ) from error
    check_fields(fields, str(folder))
    return files


def weight_files(folder: Path) -> Sequence[Path]:
    """Return the files that a model's tensors are read from: one, or those that an index lists.

    Raises:
        WeightsError: an index lists what is no file of the folder.
    """

    def find(name: str) -> Path | None:
        return folder / name if (folder / name).is_file() else None

    return fetch_weights(find)


def fetch_weights(fetch: Callable[[str], Path | None]) -> Sequence[Path]:
    """Return the files that a model's tensors are read from, of those that there are.

    Args:
        fetch: returns the file of a name, or None where there is none.

    Raises:
        WeightsError: an index lists what is no file beside it.
    """
    for name in _WEIGHTS:
        if whole := fetch(name):
            return [whole]
        if index := fetch(f"{name}.index.json"):
            return [_fetch_part(fetch, index, part, Path(name).suffix) for part in _listed(index)]
    return []


def _listed(index: Path) -> Sequence[Any]:
    """Return the files that an index names, each once, in the order of their names."""
    listed = read_json(index, what="index of weights", error=WeightsError).get("weight_map")
    names = listed.values() if isinstance(listed, Mapping) else [listed]
    return sorted({str(name): name for name in names}.values(), key=str)


def _fetch_part(fetch: Callable[[str], Path | None], index: Path, name: Any, suffix: str) -> Path:
    plain = isinstance(name, str) and re.fullmatch(r"[\w-][\w.-]*", name)
    found = fetch(name) if plain and name.endswith(suffix) else None
    if found is None:
        raise WeightsError(
            f"index of weights {index}", expected=f"*{suffix} files beside it", got=repr(name)
        )
    return found


def check_fields(fields: Mapping[str, Any], where: str) -> None:
    """Refuse a configuration that names other weights or code, or numbers that no model has.

    Args:
        fields: of a model's `config.json`.
        where: it stands, for errors.

    Raises:
        WeightsError: it does.
    """
    for name, value in fields.items():
        if isinstance(value, Mapping) and name not in _REDIRECTS:  # the configuration of a part
            check_fields(value, f"{where}: {name}")
        if name in _REDIRECTS and value not in _HARMLESS:
            raise WeightsError(
                f"{CONFIG} of {where}",
                expected=f"no {name}, for weights_sha256 does not vouch for what it names",
                got=repr(value)[:80],
                hint=_REDIRECTS[name],
            )
        most = _MOST_LAYERS if re.fullmatch(r"num_\w*layers", name) else _MOST
        if type(value) is int and abs(value) > most:
            raise WeightsError(
                f"{CONFIG} of {where}: {name}", expected=f"at most {most}", got=value
            )


def check_pin(where: str, found: str, expected_sha256: str | None, *, what: str) -> None:
    """Refuse weights that are not those that a definition pins by their SHA-256.

    Args:
        where: the weights, for errors.
        found: the SHA-256 that they have, in hexadecimal.
        expected_sha256: the one that is pinned; None where none is.
        what: the digest is of: `this file`.

    Raises:
        ConfigError: none is pinned.
        WeightsError: another one is.
    """
    if expected_sha256 is None:
        raise ConfigError(
            f"{where}: weights_sha256",
            expected=f"the SHA-256 of {what}",
            got="null",
            hint=f"if you trust {what} as found, set weights_sha256: {found}",
        )
    if found != expected_sha256.lower():
        raise WeightsError(
            where,
            expected=f"sha256 {expected_sha256}",
            got=found,
            hint="get the right weights, or set weights_sha256 to this if you trust them",
        )
