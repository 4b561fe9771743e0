"""What feature stores say they were made from, and the fingerprints that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featbank.audio import DECODE_VERSION
from featbank.feature_io import PackedStorage
from featbank.features.base import Extractor
from featbank.features.pooled import Pooled
from featbank.features.several import Several
from featbank.files.provenance import digest, package_versions

_NAMES_OF_WEIGHTS = ("weights", "weights_sha256", "license", "model", "revision")
_PACKAGES = ("h5py", "numpy", "soundfile", "soxr", "torch", "torchaudio")


def describe(config: Mapping[str, Any], extractor: Extractor) -> dict[str, Any]:
    """Return what determines the values of an extractor, as its stores' provenance records it.

    Weights appear as what they are, not as the configuration names them: the same tensors from a
    download and from a local file make the same features.
    """
    weights = extractor.weights
    return {
        "extractor": _without_names(config, extractor),
        "extractor_version": type(extractor).version,
        "decode_version": DECODE_VERSION,
        "weights": {
            "source": weights.source,
            "digest": weights.digest,
            "license": weights.license,
        },
    }


def _without_names(config: Mapping[str, Any], extractor: Extractor) -> dict[str, Any]:
    named_otherwise = _NAMES_OF_WEIGHTS if extractor.weights.digest else ()
    settings = {key: value for key, value in config.items() if key not in named_otherwise}
    if isinstance(extractor, Several):
        each = zip(config["extractors"], extractor.extractors, strict=True)
        settings["extractors"] = [_without_names(*one) for one in each]
    if isinstance(extractor, Pooled):
        settings["extractor"] = _without_names(config["extractor"], extractor.extractor)
    return settings


def feature_fingerprints(
    described: Mapping[str, Any], storage: Mapping[str, PackedStorage]
) -> dict[str, str]:
    """Return the fingerprint of each store that an extractor fills, by feature name."""
    values = {**described, "weights": described["weights"]["digest"]}
    return {
        name: digest({**values, "name": name, "dtype": entry.dtype})
        for name, entry in storage.items()
    }


def feature_provenance(
    described: Mapping[str, Any],
    storage: Mapping[str, PackedStorage],
    name: str,
    corpus: Mapping[str, Any],
    libraries: Sequence[str],
) -> dict[str, Any]:
    """Return the provenance of the store of one feature.

    Args:
        described: what `describe` returned.
        storage: one entry a feature name.
        name: of the feature.
        corpus: name and licence, never counts, which change.
        libraries: `Extractor.libraries`.
    """
    return {
        **described,
        "corpus": dict(corpus),
        "storage": {"shard_bytes": storage[name].shard_bytes},
        "stores": sorted(storage),
        "versions": package_versions([*_PACKAGES, *libraries]),
    }
