"""Certify the stores of a choice: compute a sample of its utterances again, and compare."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from featbank.base.units import UNITS
from featbank.certification.certificate import Certificate
from featbank.certification.comparing import Comparison, FeatureComparison, TokenComparison
from featbank.certification.definition import DefinitionCheck
from featbank.certification.findings import Tolerances
from featbank.engine.extract import extract
from featbank.engine.recomputing import DrawnSample, recomputed
from featbank.engine.run import Run
from featbank.engine.tokenize_audio import FeatureTokens, tokenize_audio
from featbank.errors import ConfigError
from featbank.store import HEADER_NAME, Store, open_verified
from featbank.tokenizers.token_stores import TokenStores


@dataclass(frozen=True, slots=True, kw_only=True)
class Certifier:
    """Computes a sample of a choice again and compares it with what is stored.

    Args:
        name: of the choice in the certificate and in sentences, such as `features/fbank`.
        stores: folder of the choice: `<store name>/<split>`.
        sample: drawn from the manifests.
        tolerances: between numerics classes.
        run: that would make the stores; its work folder takes what is computed, until it is
            compared.
    """

    name: str
    stores: Path
    sample: DrawnSample
    tolerances: Tolerances
    run: Run

    def features(self) -> Certificate:
        """Certify the stores of an extractor's features.

        Raises:
            StoreError: a store is missing or damaged.
            ValidationError: one was made from another definition; nothing is computed.
        """
        definition = DefinitionCheck(self.run, self.stores)
        stored = {name: self._open(self.stores / name) for name in definition.fingerprints}
        for by_split in stored.values():
            for store in by_split.values():
                definition.require(store)
        comparisons = []
        with recomputed(extract, self.run, self.sample.rows) as out:
            for name, by_split in stored.items():
                computed = self._open(out / name)
                kind = TokenComparison if definition.outputs[name].is_codes else FeatureComparison
                comparison = kind(name, self.name, self.tolerances)
                for split in self.sample.rows:
                    comparison.add(
                        split,
                        self.sample.rows[split],
                        {name: by_split[split]},
                        {name: computed[split]},
                    )
                comparisons.append(comparison)
        return self._certificate(comparisons)

    def tokens(self, stores: TokenStores, features: Path) -> Certificate:
        """Certify token stores, straight from audio.

        Args:
            stores: as the definition has them.
            features: folder of the feature that is tokenized: `<split>` below the feature's name.
                Where it holds what the tokens were made from, the numerics classes of those
                features count as well as those of the tokens.

        Raises:
            ConfigError: the definition has no such feature.
            StoreError: a store is missing or damaged.
            ValidationError: one was made from another definition; nothing is computed.
        """
        definition = DefinitionCheck(self.run, self.stores)
        feature = features.name
        if feature not in definition.fingerprints:
            raise ConfigError(
                "feature to tokenize", expected=" or ".join(definition.fingerprints), got=feature
            )
        stored = {name: self._open(self.stores / name) for name in stores.dtypes}
        for by_split in stored.values():
            for store in by_split.values():
                definition.require_tokens(store, feature, stores)
        compute = functools.partial(
            tokenize_audio, tokens=FeatureTokens(feature=feature, stores=stores)
        )
        comparison = TokenComparison(UNITS, self.name, self.tolerances)
        with recomputed(compute, self.run, self.sample.rows) as out:
            computed = {name: self._open(out / name) for name in stores.dtypes}
            for split in self.sample.rows:
                comparison.add(
                    split,
                    self.sample.rows[split],
                    {name: by_split[split] for name, by_split in stored.items()},
                    {name: by_split[split] for name, by_split in computed.items()},
                    _open_source(features / split, definition.fingerprints[feature]),
                )
        return self._certificate([comparison])

    def _open(self, folder: Path) -> dict[str, Store]:
        """Open the stores of all splits."""
        return {split: open_verified(folder / split) for split in self.sample.rows}

    def _certificate(self, comparisons: Sequence[Comparison]) -> Certificate:
        return Certificate(
            name=self.name,
            seed=self.sample.seed,
            sample=self.sample.ids,
            tolerances=self.tolerances,
            stores=tuple(comparison.result() for comparison in comparisons),
        )


def _open_source(folder: Path, fingerprint: str) -> Store | None:
    """Open what tokens were made from; None where it is not there, or is something else by now."""
    if not (folder / HEADER_NAME).is_file():
        return None
    store = open_verified(folder)
    return store if store.fingerprint == fingerprint else None
