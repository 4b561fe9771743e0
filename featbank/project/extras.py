"""Optional packages that a project needs, as extras of featbank, for what it is laid down for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec

import yaml

from featbank.files.remote.paths import SCHEMES

_PACKAGES: Mapping[str, Sequence[str]] = {
    "report": ("jinja2", "matplotlib"),
    "huggingface": ("datasets", "pyarrow"),
    "lhotse": ("lhotse",),
    "pitch": ("librosa",),
    "transformers": ("transformers",),
}
"""What each extra brings that is imported, in the order in which requirements.txt has them."""

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
    """Return the extras that definitions of conf/ need, and the report, which each project has.

    Args:
        definitions: content of the files of corpora and features.
    """
    said = [yaml.safe_load(text) for text in definitions]
    targets = {one.get("_target_", one.get("extractor", {}).get("_target_")) for one in said}
    needed = {"report", *(_CLASSES[target] for target in targets if target in _CLASSES)}
    return [extra for extra in _PACKAGES if extra in needed]


def lacks_any(extras: Iterable[str]) -> bool:
    """Tell whether a package that these extras bring is not installed."""
    packages = {**_PACKAGES, **{extra: [package] for package, extra in SCHEMES.values()}}
    return any(find_spec(package) is None for one in extras for package in packages[one])
