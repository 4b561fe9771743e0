"""What a definition in conf/ must have, and which feature tokens are made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from featbank.errors import ConfigError
from featbank.pipeline.definitions import check_definition, stored_names, told_choice
from featbank.pipeline.stage import chosen_stores
from featbank.tokenizers.tokenized import feature_of_tokens

GOOD: dict[str, dict[str, Any]] = {
    "corpus": {"_target_": "a.Corpus", "name": "demo", "root": "corpora/demo"},
    "feature": {
        "name": "fbank",
        "extractor": {"_target_": "a.Fbank"},
        "storage": [{"name": "fbank"}],
    },
    "tokenizer": {
        "name": "kmeans100",
        "kmeans": {"num_clusters": 100},
        "imported": None,
        "merge_repeats": False,
        "shard_bytes": 1000,
    },
}
KEYS = [(group, key) for group, definition in GOOD.items() for key in definition]


def _config(group: str, **changes: Any) -> DictConfig:
    return OmegaConf.create({group: {**GOOD[group], **changes}})


@pytest.mark.parametrize("group", GOOD)
def test_a_whole_definition_is_accepted(group: str) -> None:
    check_definition(_config(group), group, "x.yaml")


@pytest.mark.parametrize(("group", "key"), KEYS)
def test_a_key_that_is_missing_is_named_with_its_file(group: str, key: str) -> None:
    config = _config(group)
    del config[group][key]
    keys = ", ".join(GOOD[group])
    message = f"{group} of conf/x.yaml: expected the keys {keys}, got no {key}"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        check_definition(config, group, "conf/x.yaml")


@pytest.mark.parametrize("found", [None, "fbank", ["fbank"]])
def test_a_definition_that_is_no_mapping_lacks_all_keys(found: object) -> None:
    with pytest.raises(ConfigError, match="got no name, extractor, storage"):
        check_definition(OmegaConf.create({"feature": found}), "feature", "x.yaml")


@pytest.mark.parametrize(
    ("group", "changes", "message"),
    [
        ("corpus", {"name": "../x"}, r"corpus.name: expected letters, digits"),
        ("corpus", {"root": None}, "corpus.root: expected str, got NoneType"),
        ("feature", {"extractor": "fbank"}, "feature.extractor: expected _target_ and its arg"),
        ("feature", {"extractor": {"seed": 0}}, "feature.extractor: expected _target_"),
        ("feature", {"storage": None}, "feature.storage: expected a list of one entry .* got None"),
        ("feature", {"storage": []}, "feature.storage: expected a list of one entry"),
        ("feature", {"storage": ["fbank"]}, "feature.storage: expected a list of one entry"),
        ("feature", {"storage": [{"dtype": "float32"}]}, "feature.storage: expected a list of one"),
        ("feature", {"storage": [{"name": "../x"}]}, "feature.storage: name: expected letters"),
        ("feature", {"storage": [{"name": 3}]}, "feature.storage: name: expected letters"),
        ("tokenizer", {"merge_repeats": "no"}, "tokenizer.merge_repeats: expected bool"),
        ("tokenizer", {"shard_bytes": 1e8}, "tokenizer.shard_bytes: expected int"),
        ("tokenizer", {"kmeans": None}, "tokenizer.kmeans: expected settings of k-means, or"),
    ],
)
def test_a_value_of_another_kind_is_refused(
    group: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_definition(_config(group, **changes), group, "x.yaml")


def test_an_imported_codebook_stands_in_for_the_settings_of_kmeans() -> None:
    imported = {"path": "km.safetensors", "sha256": "abc"}
    check_definition(_config("tokenizer", kmeans=None, imported=imported), "tokenizer", "x.yaml")


def test_tokens_are_made_of_the_first_entry_of_storage() -> None:
    one, two = ({"name": name} for name in ("fbank", "mfcc"))
    names = stored_names(_config("feature", storage=[one, two]))
    assert feature_of_tokens(names) == "fbank"
    names = stored_names(_config("feature", storage=[two, one]))
    assert feature_of_tokens(names) == "mfcc"


def test_which_feature_tokens_are_made_of_is_told_where_there_are_several() -> None:
    one, two = ({"name": name} for name in ("fbank", "mfcc"))
    assert told_choice(_config("feature", storage=[one]), "fbank") == ""
    told = " of fbank; storage names mfcc, too"
    assert told_choice(_config("feature", storage=[one, two]), "fbank") == told


OUTSIDE: dict[str, dict[str, Any]] = {
    "itself": {"license": "${oc.env:SECRET}"},
    "with a default": {"license": "${oc.env:SECRET,x}"},
    "in a text": {"license": "by ${oc.env:SECRET}"},
    "in a list": {"splits": {"names": ["${oc.env:SECRET}"]}},
    "decoded": {"license": "${oc.decode:${oc.env:SECRET}}"},
    "through another value": {"license": "${device}"},
    "through the root": {"license": "${.root}", "root": "${oc.env:SECRET}"},
    "chosen by name": {"license": "${oc.select:device}"},
    "the time": {"license": "${now:%Y}"},
    "the folder": {"license": "${hydra:runtime.cwd}"},
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_value_from_outside_of_the_configuration_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    config = _config("corpus", **OUTSIDE[name])
    config.device = "${oc.env:SECRET,cpu}"
    with pytest.raises(ConfigError, match="the same on every machine, got an interpolation of"):
        check_definition(config, "corpus", "x.yaml")
    assert config.device == "hunter2"  # as before


def test_the_root_of_a_corpus_may_be_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "corpora/x")
    check_definition(_config("corpus", root="${oc.env:SECRET}"), "corpus", "x.yaml")


@pytest.mark.parametrize(
    "choice",
    [
        "features: [../../x]",
        "features: [[fbank]]",
        "features: [null]",
        "features: [fbank]\ntokens: {a: {feature: mfcc, tokenizer: ../x}}",
        "features: [fbank]\ntokens: {a: {feature: [x], tokenizer: b}}",
        "features: [fbank]\ntokens: {a: {feature: '${oc.env:HOME}', tokenizer: b}}",
    ],
)
def test_a_choice_that_is_no_name_is_refused_before_a_file_is_named_by_it(
    choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stated = choice if "tokens:" in choice else f"{choice}\ntokens: {{}}"
    Path("params.yaml").write_text(f"{stated}\ntokens_from_audio: {{}}\n")
    with pytest.raises(ConfigError, match=r"params\.yaml: (features|tokens\.a): expected letters"):
        chosen_stores()
