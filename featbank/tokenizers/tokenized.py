"""Choice of the feature of an extractor that tokens are made of."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from featbank.errors import ConfigError


def feature_of_tokens(stored: str, definition: str, names: Sequence[str]) -> str:
    """Return the feature that a codebook is fitted on and tokens are made of.

    What is made of it is named after `stored`, which begins with the name of the definition, so
    that no two features of all definitions share an output.

    >>> feature_of_tokens("both", "both", ["fbank", "mfcc"])
    'fbank'
    >>> feature_of_tokens("both-mfcc", "both", ["fbank", "mfcc"])
    'mfcc'
    >>> feature_of_tokens("wavlm-l9", "wavlm", ["wavlm-l*"])
    'wavlm-l9'

    Args:
        stored: the name of the definition, for the first of its features; or the name of one of
            them, behind that of the definition where it does not begin with it.
        definition: its name.
        names: of the features, in the order of the definition's `storage`; a `*` in one stands for
            what several features differ in.

    Raises:
        ConfigError: the definition has no such feature.
    """
    prefix = f"{definition}-"
    asked = [names[0]] if stored == definition else []
    if stored.startswith(prefix):
        asked = [stored, stored.removeprefix(prefix)]
    for feature in asked:
        if "*" not in feature and any(fnmatchcase(feature, name) for name in names):
            return feature
    known = [] if "*" in names[0] else [definition]
    if known != [definition] or len(names) > 1:
        known += [name if name.startswith(prefix) else prefix + name for name in names]
    raise ConfigError(f"stored, of feature {definition}", expected=" or ".join(known), got=stored)
