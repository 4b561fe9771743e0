"""What feature stores say they were made from, and the fingerprints that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from featbank.audio import DECODE_VERSION
from featbank.base.parts import Identity
from featbank.feature_io.config import FeatureStorageConfig
from featbank.features.base import Extractor, Weights
from featbank.files.provenance import digest, package_versions

_PACKAGES = ("h5py", "numpy", "soundfile", "soxr", "torch", "torchaudio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What determines the values of one feature.

    Weights appear as what they are, not as the configuration names them: the same tensors from a
    download and from a local file make the same features. What else is computed in the same pass
    appears nowhere.

    Args:
        identity: of what computes it.
        weights: where those came from that compute it.
        decode_version: of the way from a file to a waveform.
    """

    identity: Identity
    weights: Weights
    decode_version: int = DECODE_VERSION

    @classmethod
    def of(cls, extractor: Extractor, feature: str) -> Self:
        """Describe a feature of an extractor.

        Raises:
            ConfigError: its class has no version, or arguments that cannot be told from others.
        """
        return cls(identity=extractor.identity(feature), weights=extractor.weights_of(feature))

    def fingerprint(self, name: str, dtype: str) -> str:
        """Return the fingerprint of a store.

        Args:
            name: of the feature.
            dtype: that its values are stored as.
        """
        return digest(
            {
                "extractor": self.identity.to_json(),
                "decode_version": self.decode_version,
                "name": name,
                "dtype": dtype,
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as headers state it."""
        return {
            "extractor": self.identity.to_json(),
            "decode_version": self.decode_version,
            "weights": asdict(self.weights),
        }


def feature_provenance(
    described: Mapping[str, Description],
    storage: Mapping[str, FeatureStorageConfig],
    name: str,
    corpus: Mapping[str, Any],
    libraries: Sequence[str],
) -> dict[str, Any]:
    """Return the provenance of the store of one feature.

    Args:
        described: what determines each feature, by name.
        storage: one entry a feature name.
        name: of the feature.
        corpus: name and licence, never counts, which change.
        libraries: `Extractor.libraries`.
    """
    return {
        **described[name].to_json(),
        "corpus": dict(corpus),
        "storage": {"shard_bytes": storage[name].shard_bytes},
        "stores": sorted(storage),
        "versions": package_versions([*_PACKAGES, *libraries]),
    }
