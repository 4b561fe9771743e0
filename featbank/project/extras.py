"""Optional packages that a project needs, as extras of featbank, for what it is laid down for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import yaml

_REPORT = "report"

_CLASSES: Mapping[str, str] = {
    "featbank.corpora.HuggingFaceCorpus": "huggingface",
    "featbank.corpora.LhotseCorpus": "lhotse",
    "featbank.features.F0": "pitch",
    "featbank.features.Dac": "transformers",
    "featbank.features.Encodec": "transformers",
    "featbank.features.Mimi": "transformers",
    "featbank.features.TransformersEncoder": "transformers",
    "featbank.features.Wav2Vec2BertEncoder": "transformers",
    "featbank.features.WhisperEncoder": "transformers",
    "featbank.features.Xcodec": "transformers",
}
"""The extra of each class that needs one, as a `_target_` of conf/ names it."""


def extras_of(definitions: Iterable[bytes]) -> Sequence[str]:
    """Return the extras that definitions of conf/ need, behind the report, which each project has.

    Args:
        definitions: content of the files of corpora and features.
    """
    said = [yaml.safe_load(text) for text in definitions]
    targets = {one.get("_target_", one.get("extractor", {}).get("_target_")) for one in said}
    return [_REPORT, *sorted({_CLASSES[target] for target in targets if target in _CLASSES})]
