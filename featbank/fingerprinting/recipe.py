"""The fingerprint of what a recipe computes, by named parts, so that a refusal can say which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from featbank.feature_io import FeatureStorageConfig
from featbank.provenance import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeFingerprint:
    """What determines the values of a recipe's features.

    Args:
        digest: of all parts: the `fingerprint` of the stores.
        parts: the digest of each, by what it is: `modules.encoder`, `hparams.compute_fbank`,
            `source of compute_features`, `package torchaudio`.
        named: what `fingerprint_with` stood for.
    """

    digest: str
    parts: Mapping[str, str]
    named: tuple[str, ...] = ()


def fingerprint_recipe(
    compute: Callable[..., Any],
    *,
    owner: object,
    modules: Mapping[str, torch.nn.Module],
    hparams: Mapping[str, Any] | object | None,
    feature_configs: Sequence[FeatureStorageConfig],
    fingerprint_with: Mapping[str, Any] | None = None,
) -> RecipeFingerprint:
    """Take the fingerprint of a recipe: in this version, of what is named and declared alone."""
    del compute, owner, modules, hparams
    parts = {f"named {name}": digest(value) for name, value in (fingerprint_with or {}).items()}
    parts["feature_configs"] = digest([[one.name, one.dtype] for one in feature_configs])
    return RecipeFingerprint(
        digest=digest(parts), parts=parts, named=tuple(sorted(fingerprint_with or ()))
    )


def difference(stored_parts: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say in words which parts differ, are new or are gone.

    >>> difference({"hparams.win": "a", "hparams.hop": "b"}, {"hparams.win": "c", "self.x": "d"})
    ['hparams.hop is gone', 'hparams.win differs', 'self.x is new']
    """
    found = {name: "differs" for name in stored_parts if now.get(name) != stored_parts[name]}
    found |= {name: "is gone" for name in stored_parts if name not in now}
    found |= {name: "is new" for name in now if name not in stored_parts}
    return [f"{name} {found[name]}" for name in sorted(found)]
