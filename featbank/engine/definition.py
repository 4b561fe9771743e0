"""Definition of features: an extractor, how they are stored, and the fingerprints that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self

from featbank.audio import DECODE_VERSION
from featbank.base.building import build
from featbank.base.components import ComponentConfig, Identity
from featbank.feature_io.stage_storage import PackedStorage, storage_by_name
from featbank.features.base import Extractor, Weights
from featbank.files.provenance import digest, package_versions
from featbank.files.remote import AnyPath
from featbank.numerics import ON_CPU, Computing
from featbank.store.encoding import find_encoding

_PACKAGES = ("h5py", "numpy", "soundfile", "soxr", "torch", "torchaudio")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDefinition:
    """An extractor as configured, and how its features are stored.

    Args:
        name: of the definition, for errors: `fbank` of conf/feature/fbank.yaml.
        extractor: its class and arguments.
        storage: one entry for each feature name of the extractor.
        trusted_modules: packages beside featbank that its classes may be of.
    """

    name: str
    extractor: ComponentConfig
    storage: Sequence[PackedStorage]
    trusted_modules: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorRecipe:
    """A description of an extractor that can be pickled, so that each worker builds its own.

    Args:
        config: of the extractor.
        audio_root: folder that the manifests' paths are relative to.
        computing: device, threads, and seconds of audio together.
        trusted_modules: packages beside featbank that its classes may be of.
    """

    config: ComponentConfig
    audio_root: str
    computing: Computing = ON_CPU
    trusted_modules: Sequence[str] = ()

    def build(self) -> Extractor:
        """Build the extractor.

        Raises:
            ConfigError: the class is untrusted, or no extractor.
            WeightsError: its weights cannot be had.
        """
        extractor: Extractor = build(self.config, self.trusted_modules, Extractor)
        return extractor


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
                "encoding": {"name": dtype, "version": find_encoding(dtype).version},
            }
        )

    def to_json(self) -> dict[str, object]:
        """Return it as headers state it."""
        return {
            "extractor": self.identity.to_json(),
            "decode_version": self.decode_version,
            "weights": asdict(self.weights),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltDefinition:
    """A definition whose extractor is built, so that what it makes is known.

    Args:
        recipe: of the extractor, for workers.
        extractor: built by it.
        entries: how each feature is stored, by feature name.
        described: what determines the values of each feature, by its name.
        fingerprints: of the stores, by feature name.
    """

    recipe: ExtractorRecipe
    extractor: Extractor
    entries: Mapping[str, PackedStorage]
    described: Mapping[str, Description]
    fingerprints: Mapping[str, str]

    def provenance(self, feature: str, corpus: Mapping[str, object]) -> dict[str, object]:
        """Return what the store of a feature says of how it was made.

        Args:
            feature: its name.
            corpus: name, licence and terms, never counts, which change.
        """
        return {
            **self.described[feature].to_json(),
            "corpus": dict(corpus),
            "storage": {"shard_bytes": self.entries[feature].shard_bytes},
            "stores": sorted(self.entries),
            "versions": package_versions([*_PACKAGES, *self.extractor.libraries]),
        }


def build_definition(
    definition: FeatureDefinition, audio_root: AnyPath, computing: Computing = ON_CPU
) -> BuiltDefinition:
    """Build the extractor of a definition, and work out the fingerprints of its stores.

    Args:
        definition: of the features.
        audio_root: folder that the manifests' paths are relative to.
        computing: device, threads, and seconds of audio together; an extractor that uses no device
            computes on the CPU all the same, each utterance alone.

    Raises:
        ConfigError: the extractor or its storage cannot be used.
        WeightsError: the weights cannot be had.
    """
    recipe = ExtractorRecipe(
        config=definition.extractor,
        audio_root=str(audio_root),
        computing=computing,
        trusted_modules=tuple(definition.trusted_modules),
    )
    built = recipe.build()
    if not built.uses_device:
        computing = computing.on_cpu()
    # settled where the run is planned: workers with other GPUs compute in the shapes of the plan
    computing = replace(
        computing.settled(), in_bfloat16=built.in_bfloat16, libraries=tuple(built.libraries)
    )
    outputs = {name: output.codebook_size for name, output in built.outputs.items()}
    entries = storage_by_name(definition.storage, outputs)
    described = {name: Description.of(built, name) for name in entries}
    return BuiltDefinition(
        recipe=replace(recipe, computing=computing),
        extractor=built,
        entries=entries,
        described=described,
        fingerprints={
            name: described[name].fingerprint(name, entry.dtype) for name, entry in entries.items()
        },
    )
