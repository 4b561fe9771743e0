"""What a schema makes of a configuration: frozen classes, or every fault at once, a line each."""

from __future__ import annotations

import ast
import copy
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

import featbank.pipeline.choices  # noqa: F401 - the params resolver
from featbank.errors import InvalidConfigError
from featbank.pipeline.composition.composed import stage_faults
from featbank.pipeline.composition.plain import plain_values
from featbank.pipeline.composition.surroundings import surroundings_in
from featbank.pipeline.configs import CONFIGS, ExtractConfig, FitConfig
from featbank.pipeline.described import Described, adapter
from featbank.pipeline.faults import Origin, validated
from featbank.pipeline.sections import CorpusOption, FeatureOption, TokenizerOption
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("FEATBANK_RUNNER", raising=False)
    monkeypatch.delenv("FEATBANK_DEVICE", raising=False)
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def composed(stage: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(stage, list(overrides))


def faults(stage: str, values: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidConfigError) as caught:
        validated(CONFIGS[stage], values, Origin(stage=stage))
    assert not any("\n" in str(one) for one in caught.value.faults)
    return [str(one) for one in caught.value.faults]


def keys_of(node: Any, schema: Described, before: str = "") -> Iterator[str]:
    """The keys of values, down to where the schema leaves them to a class."""
    for key, value in node.items():
        inner = schema.at([key])
        yield f"{before}{key}"
        if isinstance(value, dict) and inner is not None and inner.keys and not inner.is_open:
            yield from keys_of(value, inner, f"{before}{key}.")


def test_objects_of_hydra_stay_in_one_room() -> None:
    """What reads a configuration elsewhere has the frozen classes of its schema."""
    using = {
        path.relative_to(ROOT).parent.as_posix()
        for folder in ("featbank", "stages")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None) or "", *(one.name for one in node.names))
        if name.partition(".")[0] in ("hydra", "omegaconf")
    }
    assert using == {"featbank/pipeline/composition"}


def test_every_stage_has_a_script_a_file_of_conf_and_a_schema() -> None:
    assert set(CONFIGS) == {path.stem for path in ROOT.glob("stages/[a-z]*.py")} - {"code"}
    assert set(CONFIGS) <= {path.stem for path in ROOT.glob("conf/*.yaml")}


@pytest.mark.parametrize("stage", CONFIGS)
def test_the_keys_in_conf_are_those_of_the_schema(stage: str) -> None:
    values, wrong = plain_values(composed(stage))
    assert wrong == []
    schema = Described.of(CONFIGS[stage])
    optional = {"tokenizer.imported.path", "tokenizer.imported.sha256"}
    described = {
        ".".join(steps)
        for steps, _ in schema.walk()
        if not any((at := schema.at(steps[:n])) and at.is_open for n in range(1, len(steps)))
    }
    assert set(keys_of(values, schema)) == described - optional


@pytest.mark.parametrize("stage", CONFIGS)
def test_what_conf_says_is_valid_and_every_key_is_explained(stage: str) -> None:
    typed = {"decode": ["id=a", "out=b"], "import_codebook": ["file=a", "out=b"]}
    values, _ = plain_values(composed(stage, *typed.get(stage, [])))
    config = validated(CONFIGS[stage], values, Origin(stage=stage))
    assert (config.device, config.batch_s) == ("cpu", None)
    assert (config.num_decoders, config.task_s) == (None, None)
    with pytest.raises(FrozenInstanceError):
        config.device = "cuda"  # type: ignore[misc]
    schema = Described.of(CONFIGS[stage])
    assert [steps for steps, inner in schema.walk() if not inner.help] == []


def test_a_value_is_of_its_type_and_a_class_gets_its_arguments_as_they_are_typed() -> None:
    values, _ = plain_values(composed("extract", "corpus.labels=l.jsonl", "max_failures=0.5"))
    config = validated(ExtractConfig, values, Origin(stage="extract"))
    assert config.paths.features == Path("data/features/demo/fbank")
    assert config.max_failures == 0.5
    assert config.corpus.labels == "l.jsonl"
    assert config.corpus.arguments == values["corpus"]
    assert config.feature.extractor.arguments == values["feature"]["extractor"]
    assert config.feature.stored == values["feature"]["storage"]
    assert "labels" not in CorpusOption(_target_="a.B", name="b", root="c").arguments


def test_all_that_is_wrong_is_named_at_once() -> None:
    values, _ = plain_values(composed("fit"))
    values |= {"overwrite": "no", "seed": "3", "device": "cpuu", "num_threads": True, "zz": 1}
    del values["feature"]["name"]
    values["runtime"] = {**values["runtime"], "progress": 1}
    values["tokenizer"]["kmeans"] |= {"num_clusters": 0, "tol": 1.0, "num_cluster": 3}
    assert faults("fit", values) == [
        "overwrite: expected true or false, got 'no'",
        "device: expected cpu or cuda, got 'cpuu'; did you mean cpu?",
        "runtime.progress: expected true or false or null, got 1",
        "feature.name: expected letters, digits, '.', '_' and '-', a letter or digit first, got "
        "none in conf/fit.yaml",
        "tokenizer.kmeans.num_clusters: expected an integer, 1 or more, got 0",
        "tokenizer.kmeans.tol: expected a number from 0 to below 1, got 1.0",
        "tokenizer.kmeans.num_cluster: expected a value that fit takes, got one in conf/fit.yaml "
        "that nothing reads; did you mean tokenizer.kmeans.num_clusters?",
        "seed: expected an integer from 0 to 9223372036854775807, got '3'",
        "num_threads: expected an integer from 1 to 1024, got true",
        "zz: expected a value that fit takes, got one in conf/fit.yaml that nothing reads; "
        "--help lists them",
    ]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("task_s", 0, "a number over 0 up to 86400 (s) or null, got 0"),
        ("task_s", -1.5, "a number over 0 up to 86400 (s) or null, got -1.5"),
        ("task_s", "600 s", "a number over 0 up to 86400 (s) or null, got '600 s'"),
        ("num_decoders", 0, "an integer from 1 to 1024 or null, got 0"),
        ("num_decoders", 1.5, "an integer from 1 to 1024 or null, got 1.5"),
        ("num_decoders", "all", "an integer from 1 to 1024 or null, got 'all'"),
    ],
)
def test_a_task_and_its_decoders_are_of_sane_numbers(key: str, value: Any, expected: str) -> None:
    values, _ = plain_values(composed("extract"))
    assert faults("extract", {**values, key: value}) == [f"{key}: expected {expected}"]


ANYTHING = (None, True, 0, -1, 3, 1 << 62, 0.5, -1e300, "", "x", "no", "3", [], ["x"], {}, {"a": 1})


@pytest.mark.parametrize("stage", CONFIGS)
def test_any_value_of_any_key_is_taken_or_named_by_its_key(stage: str) -> None:
    typed = {"decode": ["id=a", "out=b"], "import_codebook": ["file=a", "out=b"]}
    good, _ = plain_values(composed(stage, *typed.get(stage, [])))
    for steps, _ in Described.of(CONFIGS[stage]).walk():
        for value in ANYTHING:
            values: Any = copy.deepcopy(good)
            node = values
            for step in steps[:-1]:
                node = node[step] if node is not None else None
            if node is None:  # no codebook is imported
                continue
            node[steps[-1]] = value
            try:
                validated(CONFIGS[stage], values, Origin(stage=stage))
            except InvalidConfigError as error:
                for one in error.faults:
                    part = "tokenizer.kmeans: expected null"  # for it goes by another's codebook
                    assert str(one).startswith((".".join(steps), part)), (steps, value)
                    assert "got" in str(one)


KMEANS = {"num_clusters": 9, "num_codebooks": 1, "num_frames": 9, "max_passes": 1, "tol": 0}
GOOD: dict[str, dict[str, Any]] = {
    "corpus": {"_target_": "a.Corpus", "name": "demo", "root": "corpora/demo"},
    "feature": {
        "name": "fbank",
        "extractor": {"_target_": "a.Fbank"},
        "storage": [{"name": "fbank"}],
    },
    "tokenizer": {
        "name": "kmeans100",
        "codebook": "kmeans100",
        "kmeans": KMEANS,
        "imported": None,
        "merge_repeats": False,
        "shard_bytes": 1000,
    },
}
KINDS = {
    "corpus": CorpusOption,
    "feature": FeatureOption,
    "tokenizer": TokenizerOption,
}


@pytest.mark.parametrize(
    ("group", "changes", "said"),
    [
        ("corpus", {"name": "../x"}, "name: expected letters, digits"),
        ("corpus", {"name": "a\n"}, "name: expected letters, digits"),
        ("corpus", {"root": None}, "root: expected text, got null"),
        ("corpus", {"labels": 3}, "labels: expected a path, {path: ..., tier: ...} or null, got 3"),
        ("corpus", {"labels": {"tier": "words"}}, "labels: expected a path, {path: ..."),
        ("corpus", {"labels": {"path": "a", "form": "x"}}, "labels: expected a path, {path: ..."),
        ("feature", {"extractor": "fbank"}, "extractor: expected _target_ and its arguments, got"),
        ("feature", {"extractor": {"seed": 0}}, "extractor._target_: expected text, got none"),
        ("feature", {"storage": None}, "storage: expected a list of one entry a feature name"),
        ("feature", {"storage": []}, "storage: expected a list of one entry a feature name"),
        ("feature", {"storage": ["fbank"]}, "storage.0: expected values by name, got 'fbank'"),
        ("feature", {"storage": [{"dtype": "float32"}]}, "storage.0.name: expected letters"),
        ("feature", {"storage": [{"name": "../x"}]}, "storage.0.name: expected letters"),
        ("feature", {"storage": [{"name": 3}]}, "storage.0.name: expected letters"),
        (
            "feature",
            {"storage": [{"name": "fbank", "writer_kwargs": {"shard_bytes": 9}}]},
            "storage: expected flat keys alone: name, dtype, shard_bytes and compression",
        ),
        ("tokenizer", {"merge_repeats": "no"}, "merge_repeats: expected true or false, got 'no'"),
        ("tokenizer", {"shard_bytes": 1e8}, "shard_bytes: expected an integer, 1 or more (bytes)"),
        ("tokenizer", {"kmeans": None}, "kmeans: expected settings of k-means, or"),
        ("tokenizer", {"codebook": "rvq8"}, "kmeans: expected null, as imported, for its codebook"),
        ("corpus", {"train": "train"}, "train: expected a list of splits, got 'train'"),
        ("corpus", {"held_out": ["../x"]}, "held_out: expected a list of splits"),
        ("tokenizer", {"imported": {"path": "a"}}, "imported.sha256: expected text, got none"),
    ],
)
def test_a_definition_of_another_form_is_refused(
    group: str, changes: dict[str, Any], said: str
) -> None:
    assert adapter(KINDS[group]).validate_json(json.dumps(GOOD[group]))
    with pytest.raises(InvalidConfigError) as caught:
        validated(KINDS[group], {**GOOD[group], **changes}, Origin(stage="x"))
    [one] = caught.value.faults
    assert str(one).startswith(said)


def test_an_imported_codebook_stands_in_for_the_settings_of_kmeans() -> None:
    imported = {"path": "km.safetensors", "sha256": "abc"}
    values = {**GOOD["tokenizer"], "kmeans": None, "imported": imported}
    assert validated(TokenizerOption, values, Origin(stage="x")).kmeans is None


def test_tokens_are_made_of_the_first_entry_of_storage_which_is_told_where_there_are_others() -> (
    None
):
    values = {**GOOD["feature"], "storage": [{"name": "fbank"}]}
    assert validated(FeatureOption, values, Origin(stage="x")).told_choice("fbank") == ""
    values["storage"] = [{"name": "mfcc"}, {"name": "fbank"}]
    feature = validated(FeatureOption, values, Origin(stage="x"))
    assert feature.of_tokens(feature.name) == "mfcc"
    assert feature.of_tokens(f"{feature.name}-fbank") == "fbank"
    assert feature.told_choice("mfcc") == " of mfcc; storage names fbank, too"


def test_what_json_and_a_terminal_take_is_left_as_it_is() -> None:
    values = {"a": [1, -2.5, True, None, "é", "two\n\tlines"], "b": {"c": (1 << 63) - 1}}
    assert plain_values(OmegaConf.create(values)) == (values, [])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "a.b: expected a finite number, got nan"),
        (float("inf"), "a.b: expected a finite number, got inf"),
        (10**400, "a.b: expected a number of at most 64 bits"),
        ("\x1b[2J", "a.b: expected a text without control characters, got '\\x1b"),
        ("a\0b", "a.b: expected a text without control characters"),
        ("\x9b31m", "a.b: expected a text without control characters"),
        ("\ud800", "a.b: expected a text without control characters"),
        (Path("x"), "a.b: expected a number or a text, got PosixPath"),
        (b"x", "a.b: expected a number or a text, got bytes"),
        ([{"c": [1e999]}], "a.b.0.c.0: expected a finite number"),
        ({1: "x"}, "a.b: expected names that are texts, got 1"),
        ({"c\0": 1}, "a name in a.b: expected a text without"),
        ("${a.c}", "a.b: expected a value, got Interpolation key 'a.c' not found"),
        ("???", "a.b: expected a value, got Missing mandatory value: a.b"),
    ],
)
def test_what_they_do_not_take_is_named(value: Any, said: str) -> None:
    _, wrong = plain_values(OmegaConf.create({"a": {"b": value}}))
    assert [str(one.error)[: len(said)] for one in wrong] == [said]


def test_what_follows_from_a_fault_is_not_told_besides() -> None:
    config = composed("extract", "num_threads=x", "~corpus")
    config.batch_s = float("inf")
    values, wrong = plain_values(config)
    with pytest.raises(InvalidConfigError) as caught:
        validated(ExtractConfig, values, Origin(stage="extract"), wrong)
    assert [str(one).partition(":")[0] for one in caught.value.faults] == [
        "batch_s",
        "corpus",
        "num_threads",
    ]


def test_a_stage_can_be_held_against_its_schema_without_being_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [stage_faults(CONFIGS[name], {}) for name in ("extract", "validate")] == [[], []]
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("corpora: [demo]\nfeatures: [fbank]\n")
    edited = Path("conf/extract.yaml")
    edited.write_text(edited.read_text() + "max_utterances: many\n")
    said = [str(one) for one in stage_faults(ExtractConfig, {"corpus": "folder"})]
    assert said == [
        "max_utterances: expected a value that extract takes, got one in conf/extract.yaml that "
        "nothing reads; --help lists them"
    ]
    [said_one] = stage_faults(ExtractConfig, {"feature": "nope"})
    assert "Could not find 'feature/nope'" in str(said_one)
    [said_one] = stage_faults(FitConfig, {})
    assert str(said_one).startswith("params.yaml: codebooks.0.codebook: expected a choice, got no")


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
def test_a_value_from_outside_of_the_configuration_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    config = OmegaConf.create({"corpus": {**GOOD["corpus"], **OUTSIDE[name]}})
    config.device = "${oc.env:SECRET,cpu}"
    [found] = surroundings_in(config, "corpus")
    assert "the same on every machine, got an interpolation of" in str(found.error)
    assert config.device == "hunter2"  # as before


def test_the_root_of_a_corpus_may_be_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "corpora/x")
    config = OmegaConf.create({"corpus": {**GOOD["corpus"], "root": "${oc.env:SECRET}"}})
    assert list(surroundings_in(config, "corpus")) == []


def test_a_script_puts_the_root_in_place_of_its_folder_wherever_it_is_run_from(
    tmp_path: Path,
) -> None:
    """The folder of the scripts would shadow `tokenize`, which `linecache` imports."""
    say = "import sys, tokenize; print(sys.path[0], tokenize.__file__, *sys.path)"
    for flags in ([], ["-P"]):
        script = tmp_path / "stages" / "x.py"
        script.parent.mkdir(exist_ok=True)
        (script.parent / "tokenize.py").write_text("raise SystemExit('shadowed')\n")
        (script.parent / "_root.py").write_bytes((ROOT / "stages" / "_root.py").read_bytes())
        head = (ROOT / "stages" / "fit.py").read_text().partition('"_root.py"))\n')
        script.write_text(f"{head[0]}{head[1]}{say}\n")
        done = subprocess.run(
            [sys.executable, *flags, str(script)], capture_output=True, text=True, check=True
        )
        first, found, *path = done.stdout.split()
        assert first == str(tmp_path)
        assert found.startswith(sys.base_prefix) or "python3" in found
        assert str(script.parent) not in path


@pytest.mark.parametrize("stage", [*CONFIGS, "code"])
def test_a_script_that_is_typed_away_from_the_root_says_so_in_one_line(
    stage: str, tmp_path: Path
) -> None:
    script = [*(["-P"] if stage == "fit" else []), str(ROOT / "stages" / f"{stage}.py")]
    done = subprocess.run(
        [sys.executable, *script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    lines = done.stderr.splitlines()
    if stage == "import_codebook":  # which needs nothing of a project, but what is not typed here
        assert [line.partition(":")[2][:30] for line in lines] == [
            " file: expected text, got null",
            " out: expected text, got null;",
        ]
    else:
        assert len(lines) == 1
        assert "run from the root of the project" in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_every_script_begins_alike() -> None:
    heads = set()
    for path in ROOT.glob("stages/[a-z]*.py"):
        _, _, rest = path.read_text(encoding="utf-8").partition('"""\n\n')
        heads.add(rest.partition('"_root.py"))\n')[0])
    assert len(heads) == 1


def test_the_root_can_be_found_in_a_spawned_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child runs the script again under another name, with the path of its parent."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    names = runpy.run_path(str(ROOT / "stages" / "report.py"), run_name="__mp_main__")
    assert "main" in names
