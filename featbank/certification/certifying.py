"""Certification of a choice: are its stores what a sample of its utterances gives when computed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.base.manifest import SPLITS
from featbank.base.units import UNITS
from featbank.certification.certificate import Certificate
from featbank.certification.comparing import Comparison
from featbank.certification.definition import FeatureDefinition
from featbank.certification.findings import Tolerances
from featbank.certification.kinds import FeatureComparison, TokenComparison
from featbank.certification.recomputing import Sample, recomputed
from featbank.engine.extract import extract
from featbank.engine.tokenize_audio import tokenize_audio
from featbank.errors import ConfigError
from featbank.store import HEADER_NAME, Store, open_verified
from featbank.tokenizers.codebook import Codebook
from featbank.tokenizers.token_stores import TokenStores


@dataclass(frozen=True, slots=True, kw_only=True)
class Certifier:
    """Computes a sample of a choice again and compares it with what is stored.

    Args:
        name: of the choice in the certificate and in sentences, such as `features/fbank`.
        stores: folder of the choice: `<store name>/<split>`.
        sample: drawn from the manifests.
        seed: that it was drawn by.
        tolerances: between numerics classes.
        work: folder for what is computed, until it is compared.
        settings: of `extract` or `tokenize_audio`, but for the manifests and the output.
    """

    name: str
    stores: Path
    sample: Sample
    seed: int
    tolerances: Tolerances
    work: Path
    settings: Mapping[str, Any]

    def features(self) -> Certificate:
        """Certify the stores of an extractor's features.

        Raises:
            StoreError: a store is missing or damaged.
            ValidationError: one was made from another definition; nothing is computed.
        """
        definition = FeatureDefinition(self.settings, self.stores)
        stored = {name: _open(self.stores / name) for name in definition.fingerprints}
        for by_split in stored.values():
            for store in by_split.values():
                definition.require(store)
        comparisons = []
        with recomputed(extract, self.sample, self.work, self.settings) as out:
            for name, by_split in stored.items():
                computed = _open(out / name)
                kind = TokenComparison if definition.outputs[name].is_codes else FeatureComparison
                comparison = kind(name, self.name, self.tolerances)
                for split in SPLITS:
                    comparison.add(
                        split,
                        self.sample[split],
                        {name: by_split[split]},
                        {name: computed[split]},
                    )
                comparisons.append(comparison)
        return self._certificate(comparisons)

    def tokens(self, codebook: Codebook, features: Path, *, merge_repeats: bool) -> Certificate:
        """Certify token stores, straight from audio.

        Args:
            codebook: read from its file.
            features: folder of the feature that is tokenized: `<split>` below the feature's name.
                Where it holds what the tokens were made from, the numerics classes of those
                features count as well as those of the tokens.
            merge_repeats: whether runs of equal units are stored once, with durations beside them.

        Raises:
            ConfigError: the definition has no such feature.
            StoreError: a store is missing or damaged.
            ValidationError: one was made from another definition; nothing is computed.
        """
        definition = FeatureDefinition(self.settings, self.stores)
        feature = features.name
        if feature not in definition.fingerprints:
            raise ConfigError(
                "feature to tokenize", expected=" or ".join(definition.fingerprints), got=feature
            )
        tokens = TokenStores(codebook=codebook, merge_repeats=merge_repeats)
        stored = {name: _open(self.stores / name) for name in tokens.dtypes}
        for by_split in stored.values():
            for store in by_split.values():
                definition.require_tokens(store, feature, tokens)
        settings = {
            **self.settings,
            "feature": feature,
            "codebook": codebook,
            "merge_repeats": merge_repeats,
        }
        comparison = TokenComparison(UNITS, self.name, self.tolerances)
        with recomputed(tokenize_audio, self.sample, self.work, settings) as out:
            computed = {name: _open(out / name) for name in tokens.dtypes}
            for split in SPLITS:
                comparison.add(
                    split,
                    self.sample[split],
                    {name: by_split[split] for name, by_split in stored.items()},
                    {name: by_split[split] for name, by_split in computed.items()},
                    _open_source(features / split, definition.fingerprints[feature]),
                )
        return self._certificate([comparison])

    def _certificate(self, comparisons: Sequence[Comparison]) -> Certificate:
        return Certificate(
            name=self.name,
            seed=self.seed,
            sample={split: tuple(row.id for row in rows) for split, rows in self.sample.items()},
            tolerances=self.tolerances,
            stores=tuple(comparison.result() for comparison in comparisons),
        )


def _open(folder: Path) -> dict[str, Store]:
    """Open the stores of all splits."""
    return {split: open_verified(folder / split) for split in SPLITS}


def _open_source(folder: Path, fingerprint: str) -> Store | None:
    """Open what tokens were made from; None where it is not there, or is something else by now."""
    if not (folder / HEADER_NAME).is_file():
        return None
    store = open_verified(folder)
    return store if store.fingerprint == fingerprint else None
