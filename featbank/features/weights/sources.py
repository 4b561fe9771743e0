"""Sources of weights: a download, a local file or random numbers; and their digests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from featbank.base.notices import tell
from featbank.base.printing import size_text
from featbank.errors import ConfigError
from featbank.features.base import Weights
from featbank.files.provenance import digest, package_versions

DOWNLOAD = "download"
RANDOM = "random"
FILE = "file"

Model = TypeVar("Model", bound=torch.nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[Model]):
    """A model with its weights, in eval mode.

    Args:
        model: of float32 tensors in torch's own memory.
        source: `download`, `random` or `file`.
        license: of the weights.
        compute_digest: names the weights; it reads all of them, so a worker never asks.
    """

    model: Model
    source: str
    license: str
    compute_digest: Callable[[], str]

    def weights(self) -> Weights:
        """Return source, digest and licence of the weights."""
        return Weights(source=self.source, digest=self.compute_digest(), license=self.license)


def checked_source(weights: str, weights_sha256: str | None, *, what: str) -> str:
    """Return `download`, `random` or `file`, if a digest is given only where it is held.

    Args:
        weights: as the configuration has it.
        weights_sha256: likewise.
        what: a local path is of: `file`.

    Raises:
        ConfigError: a digest stands beside weights that are in no local file.
    """
    source = source_of(weights)
    if source != FILE and weights_sha256 is not None:
        raise ConfigError(
            f"weights: {weights}",
            expected=f"weights_sha256: null, since only a local {what} is checked against it",
            got=weights_sha256,
        )
    return source


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
            hint=three_ways(FILE, f"downloads are kept in {hub_cache()}, to be copied too"),
        )
    return weights if weights in (DOWNLOAD, RANDOM) else FILE


def tell_loading(name: str, files: Sequence[Path]) -> None:
    """Tell whoever waits that weights are loaded: which, from where, and how much.

    Args:
        name: of the weights.
        files: that their tensors are in, of one folder.
    """
    size = size_text(sum(file.stat().st_size for file in files))
    where = files[0] if len(files) == 1 else files[0].parent
    tell(phase=f"loading weights of {name} from {where}, {size}")


def random_digest(seed: int, architecture: Any, libraries: Sequence[str]) -> str:
    """Return the digest of random weights: of their seed, the model and the libraries' versions.

    Their tensors are no library's promise: seed 0 gives others in transformers 5.0 and 5.24, and
    torch reproduces random numbers within a release alone.

    Args:
        seed: of the random numbers.
        architecture: of the model, as JSON has it.
        libraries: distributions that draw the tensors, beside torch.
    """
    return digest(
        {
            "seed": seed,
            "architecture": architecture,
            "versions": {
                name: version
                for name, version in package_versions(["torch", *libraries]).items()
                if name != "featbank"
            },
        }
    )


def three_ways(what: str, kept: str) -> str:
    """Return a hint on what to do where weights are missing.

    Args:
        what: may hold them: `file`.
        kept: says where downloads are.
    """
    return (
        f"there are three ways: set weights to a local {what} and weights_sha256 to its digest; "
        f"run where there is a network ({kept}); "
        "or set weights: random for a dry run, whose features mean nothing"
    )


def hub_cache() -> Path:
    """Return the folder where torch keeps downloads."""
    return Path(torch.hub.get_dir(), "checkpoints")
