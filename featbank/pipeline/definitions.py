"""The definitions in conf/: which there are, what they store, and which make stores of a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featbank.base.nearest import did_you_mean
from featbank.errors import ConfigError
from featbank.pipeline.choices import read_choices
from featbank.pipeline.composition.composed import CONF, options_in
from featbank.pipeline.composition.conf_files import read_yaml
from featbank.tokenizers.tokenized import feature_of_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedTokens:
    """What tokens are made of.

    Args:
        feature: the definition of conf/feature.
        stored: which of its features, as `feature_of_tokens` takes it.
        tokenizer: the definition of conf/tokenizer.
    """

    feature: str
    stored: str
    tokenizer: str


def stored_names(feature: str) -> Sequence[str]:
    """Return the names of the storage of a definition as its file has them, or one it is made of.

    Raises:
        ConfigError: a file is no YAML.
    """
    if feature not in options_in("feature"):
        return []
    said = read_yaml(CONF / "feature" / f"{feature}.yaml")
    said = said if isinstance(said, dict) else {}
    if (storage := said.get("storage")) is not None:
        entries = storage if isinstance(storage, list) else []
        return [str(one.get("name")) for one in entries if isinstance(one, dict)]
    bases = [one for one in said.get("defaults") or () if isinstance(one, str) and one != feature]
    return [name for base in bases for name in stored_names(base)]


def defined_feature(name: str) -> str:
    """Return the definition that makes the stores `features/<name>`.

    Raises:
        ConfigError: there is none.
    """
    if name not in (features := options_in("feature")):
        raise _undefined(f"features/{name}", "a file of conf/feature", features)
    return name


def defined_tokens(name: str) -> DefinedTokens:
    """Return the definitions that make the stores `tokens/<name>`: as chosen, else what fits.

    Raises:
        ConfigError: there are none.
    """
    for one in read_choices().all_tokens:
        if one.name == name:
            return DefinedTokens(feature=one.feature, stored=one.stored, tokenizer=one.tokenizer)
    features, tokenizers = options_in("feature"), options_in("tokenizer")
    # of names that begin alike, the longest first
    for feature in sorted(features, key=len, reverse=True):
        for tokenizer in tokenizers:
            stored = name.removesuffix(f"-{tokenizer}")
            if stored != name and _stores(feature, stored):
                return DefinedTokens(feature=feature, stored=stored, tokenizer=tokenizer)
    known = [f"{feature}-{tokenizer}" for feature in features for tokenizer in tokenizers]
    told = "<stored feature>-<tokenizer>, of files of conf/feature and conf/tokenizer"
    raise _undefined(f"tokens/{name}", told, known)


def _stores(feature: str, stored: str) -> bool:
    """Tell whether a definition has a feature; what its own name lacks, who composes it tells."""
    if stored == feature:
        return True
    names = stored_names(feature) if stored.startswith(feature) else []
    if not names:
        return False
    try:
        feature_of_tokens(stored, feature, names)
    except ConfigError:
        return False
    return True


def _undefined(what: str, expected: str, known: Sequence[str]) -> ConfigError:
    near = did_you_mean(what.partition("/")[2], known)
    return ConfigError(
        f"definition of {what}",
        expected=expected,
        got="no such file",
        hint=(f"{near} Or " if near else "")
        + "put what was typed by hand for these stores into a file under their name",
    )
