"""Choices that point at nothing, definitions that lack something: told at once, and all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from featbank.cli import main
from featbank.errors import InvalidConfigError
from featbank.pipeline.checking import check_project
from featbank.pipeline.chosen_options import check_choices
from tests.conftest import ROOT
from tests.pipeline.conftest import Project

Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """The choices and definitions of this repository in a folder that no DVC knows of."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def replace(file: str, old: str, new: str) -> None:
        text = Path(file).read_text(encoding="utf-8")
        assert old in text
        Path(file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return replace


def _said() -> list[str]:
    with pytest.raises(InvalidConfigError) as caught:
        check_choices()
    return [str(one) for one in caught.value.faults]


FEATURES = "features: [fbank, mfcc]"


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        (FEATURES, "features: fbank", ["features: expected a list: [fbank, mfcc], got 'fbank'"]),
        (FEATURES, "features:", ["features: expected a list: [fbank, mfcc], got None"]),
        (FEATURES, "features: [mfcc, mfcc]", ["features: expected each once, got mfcc 2 times"]),
        (
            FEATURES,
            "features: [mfcc, fbnk]",
            ["feature fbnk: expected a file conf/feature/fbnk.yaml, got none; did you mean fbank?"],
        ),
        (
            "\ncorpora: [demo]",
            "\ncorpora: [demo, mine]",
            ["corpus mine: expected a file conf/corpus/mine.yaml, got none; there are aishell, "],
        ),
        (
            FEATURES,
            "features: [fbank]",
            [
                "samples.demo-mfcc.feature: expected one of features: fbank, got mfcc; add it",
                "tokens.0.feature: expected one of features: fbank, got mfcc; add it",
            ],
        ),
        (
            "fit_on: demo}\n# the same",
            "fit_on: dmeo}\n# the same",
            ["tokens.0: expected its codebook, mfcc-kmeans100 of dmeo, among codebooks, got none"],
        ),
        (
            "\nfeatures:",
            "\nfeatuers:",
            [
                "features: expected a list: [fbank, mfcc], got none",
                "featuers: expected one of corpora, features, ",
            ],
        ),
        (
            "seed: 0",
            "seed: '0'",
            ["seed: expected an integer from 0 to 9223372036854775807, got '0'"],
        ),
        # DVC makes no stage of a key that is no text: what lies on the disk would pass
        (
            "\n  demo-mfcc:",
            "\n  1:",
            ["samples: a key: expected letters, digits, '.', '_' and '-'"],
        ),
        (
            "{fit_on: demo, corpus: demo, feature: mfcc,",
            "{fit_on: demo, corpus: demo, featur: mfcc,",
            [
                "samples.demo-mfcc.feature: expected letters, digits, '.', '_' and '-', a letter",
                "samples.demo-mfcc.featur: expected one of fit_on, corpus, feature, stored, got a "
                "key that nothing reads; did you mean feature?",
            ],
        ),
        ("\n  demo-mfcc-kmeans100:", "\n  true:", ["codebooks: a key: expected letters, digits"]),
        ("\n  demo-mfcc:", "\n  '@':", ["samples: a key: expected letters, digits, "]),
        ("seed: 0", "seed: 0\nseed: 1", ["expected YAML, got found duplicate key seed in line"]),
        ("seed: 0", "seed: 2020-01-01", ["seed: expected an integer"]),
    ],
)
def test_choices_that_make_no_sense_are_named(
    old: str, new: str, faults: list[str], edit: Edit
) -> None:
    edit("params.yaml", old, new)
    said = _said()
    assert len(said) == len(faults), said
    for one, expected in zip(said, faults, strict=True):
        assert one.startswith("params.yaml: ")
        assert expected in one


def test_names_that_would_be_those_of_one_stage_are_refused(edit: Edit) -> None:
    for group, name in (("corpus", "a"), ("corpus", "a-b"), ("feature", "b-c"), ("feature", "c")):
        source = "demo" if group == "corpus" else "fbank"
        shutil.copy(f"conf/{group}/{source}.yaml", f"conf/{group}/{name}.yaml")
    edit("params.yaml", "corpora: [demo]", "corpora: [demo, a, a-b]")
    edit("params.yaml", FEATURES, "features: [mfcc, b-c, c]")
    [said] = _said()
    assert "expected pairs that joined by - differ, got a-b-c 2 times" in said


def test_names_that_are_one_folder_on_some_disks_are_refused(edit: Edit) -> None:
    edit("conf/corpus/demo.yaml", "name: demo", "name: Demo")
    Path("conf/corpus/Demo.yaml").write_text(Path("conf/corpus/demo.yaml").read_text())
    edit("params.yaml", "corpora: [demo]", "corpora: [demo, Demo]")
    [said] = _said()
    assert (
        "corpus: expected names that differ in more than the case of letters, got demo, D" in said
    )


@pytest.mark.parametrize("name", ["1", "null", "1e3", "103_1240"])
def test_names_that_a_command_line_reads_as_something_else_are_refused(
    name: str, edit: Edit
) -> None:
    shutil.copy("conf/corpus/demo.yaml", f"conf/corpus/{name}.yaml")
    edit("params.yaml", "corpora: [demo]", f"corpora: [demo, '{name}']")
    [said] = _said()
    assert said.startswith(f"params.yaml: corpus {name}: expected a name that is text")


def test_lists_of_a_joint_sample_are_drawn_one_after_the_other(edit: Edit) -> None:
    for name in ("one", "other"):
        shutil.copy("conf/corpus/demo.yaml", f"conf/corpus/{name}.yaml")
    edit("params.yaml", "corpora: [demo]", "corpora: [one, other]")
    of_both = "{{fit_on: both, corpus: {0}, feature: mfcc, stored: mfcc}}".format
    edit(
        "params.yaml",
        "demo-mfcc: {fit_on: demo, corpus: demo, feature: mfcc, stored: mfcc}",
        f"one: {of_both('one')}\n  other: {of_both('other')}",
    )
    edit("params.yaml", "{fit_on: demo, feature: mfcc,", "{fit_on: both, feature: mfcc,")
    edit("params.yaml", "codebook: kmeans100, fit_on: demo}", "codebook: kmeans100, fit_on: both}")
    Path("conf/sample/both").mkdir()
    for name in ("one", "other"):
        check_choices()
        Path(f"conf/sample/both/{name}.txt").touch()
    check_choices()
    Path("conf/sample/both/third.txt").touch()
    [said] = _said()
    assert "an entry of samples for each list in conf/sample/both: one, other, third" in said


@pytest.mark.usefixtures("on_terminal")
def test_all_that_is_wrong_is_said_in_one_go(
    edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    edit("params.yaml", FEATURES, "features: mfcc")
    edit("conf/feature/f0.yaml", "name: f0", "name: pitch")
    edit("conf/tokenizer/rvq8.yaml", "merge_repeats: false", "merge_repeats: no way")
    edit("conf/corpus/ljspeech.yaml", "name: ljspeech", "nmae: ljspeech")
    edit("conf/fit.yaml", "\nseed:", "\nmax_utterances: many\nseed:")
    Path("conf/feature/broken.yaml").write_text("name: [")
    assert main(["check"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if not line.startswith("ConfigError: ")] == []
    for expected in (
        "params.yaml: features: expected a list",
        "name in conf/feature/f0.yaml: expected f0, got 'pitch'",
        "tokenizer.merge_repeats in conf/tokenizer/rvq8.yaml: expected true or false, got 'no way'",
        "got none in conf/corpus/ljspeech.yaml",
        "max_utterances: expected a value that fit takes, got one in conf/fit.yaml",
        "conf/feature/broken.yaml: expected YAML",
    ):
        assert [line for line in said if expected in line], f"{expected}: {said}"


def test_keys_that_no_class_takes_are_named_with_their_file_and_the_nearest(
    edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    edit("conf/corpus/aishell.yaml", "transcripts:", "transcipts:")
    edit("conf/corpus/kaldi.yaml", "dirs:", "folders:")
    edit("conf/corpus/mls.yaml", "MLSCorpus", "MSLCorpus")
    edit("conf/feature/mfcc.yaml", "num_ceps:", "num_cep:")
    edit("conf/runner/local.yaml", "max_retries:", "retries:")
    edit("conf/feature/spectrogram.yaml", "  n_fft:", "  num_bins: 3\n  n_fft:")
    assert main(["check"]) == 1
    said = capsys.readouterr().out
    assert "num_bins" not in said  # of a feature that is not chosen, whose extractor may be heavy
    assert main(["check", "--all"]) == 1
    also = capsys.readouterr().out
    assert "num_bins: expected a key of Spectrogram" in also
    said = said.splitlines()
    for expected in (
        "corpus.transcipts: expected a key of TreeCorpus, got one in conf/corpus/aishell.yaml that "
        "nothing reads; did you mean transcripts?",
        "corpus.folders: expected a key of KaldiCorpus, got one in conf/corpus/kaldi.yaml that "
        "nothing reads; it reads dirs",
        "corpus: expected a value for dirs, got none in conf/corpus/kaldi.yaml",
        "corpus in conf/corpus/mls.yaml: _target_ 'featbank.corpora.MSLCorpus': expected a class",
        "feature.extractor.num_cep: expected a key of Mfcc, got one in conf/feature/mfcc.yaml that "
        "nothing reads; did you mean num_ceps?",
        "runner.retries: expected a key of LocalRunner, got one in conf/runner/local.yaml that "
        "nothing reads; did you mean max_retries?",
    ):
        assert len([line for line in said if expected in line]) == 1, f"{expected}: {said}"


def test_nothing_is_wrong_with_this_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert check_project().faults == []


def test_what_dvc_would_find_missing_later_is_said_now(checkout: Project) -> None:
    checkout.edit("dvc.yaml", "conf/extract.yaml:\n", "conf/extract.yaml: [max_failure]\n")
    (checkout.path / "conf/sample/demo/demo.txt").unlink()
    said = checkout.run("python -m featbank check", status=1)
    assert "expected max_failure in conf/extract.yaml, which it tracks, got none" in said
    assert "expected conf/sample/demo/demo.txt to be there, got nothing" in said


def test_a_corpus_whose_audio_dvc_does_not_watch_is_told(checkout: Project) -> None:
    """As where a definition is a copy of another's, and its root was forgotten."""
    (checkout.path / "corpora/mine").mkdir()
    definition = (checkout.path / "conf/corpus/demo.yaml").read_text()
    mine = checkout.path / "conf/corpus/mine.yaml"
    mine.write_text(definition.replace("name: demo", "name: mine"))
    checkout.edit("params.yaml", "corpora: [demo]", "corpora: [demo, mine]")
    said = checkout.run("python -m featbank check", status=1)
    assert (
        "root in conf/corpus/mine.yaml: expected corpora/mine, which dvc.yaml tracks, got" in said
    )
    checkout.edit("conf/corpus/mine.yaml", "root: corpora/demo", "root: corpora/mine")
    checkout.run("python -m featbank check")
    # of a bucket, what is in corpora/mine says what it holds
    checkout.edit("conf/corpus/mine.yaml", "root: corpora/mine", "root: s3://bucket/mine")
    checkout.run("python -m featbank check")


@pytest.mark.slow
def test_tokens_of_a_feature_that_is_not_chosen_are_refused_though_it_lies_on_the_disk(
    own_reproduced: Project,
) -> None:
    own_reproduced.edit("params.yaml", FEATURES, "features: [fbank]")
    own_reproduced.edit("conf/feature/mfcc.yaml", "num_ceps: 13", "num_ceps: 12")
    refused = "params.yaml: tokens.0.feature: expected one of features: fbank, got mfcc"
    for command, status in (
        ("dvc repro", 255),
        ("python -m featbank check", 1),
        ("python stages/tokenize.py", 1),
        ("python stages/report.py", 1),
    ):
        said = own_reproduced.run(command, status=status)
        assert refused in said, command
        assert "Running stage 'tokenize" not in said


def test_a_package_that_is_not_installed_is_missed_where_it_is_chosen_alone(edit: Edit) -> None:
    edit("conf/runtime.yaml", "trusted_modules: []", "trusted_modules: [absent_lab]")
    edit("conf/feature/energy.yaml", "featbank.features.Energy", "absent_lab.Energy")
    assert check_project().faults == []
    edit("params.yaml", FEATURES, "features: [energy, fbank, mfcc]")
    [said] = map(str, check_project().faults)
    assert "conf/feature/energy.yaml" in said
    assert "No module named 'absent_lab'" in said


def test_without_torch_all_but_the_arguments_of_extractors_is_checked(
    edit: Edit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What each class of ours says where torch is not installed, said by a package of a test."""
    monkeypatch.syspath_prepend(Path.cwd())
    Path("torchless_lab.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    )
    edit("conf/runtime.yaml", "trusted_modules: []", "trusted_modules: [torchless_lab]")
    for name in ("fbank", "mfcc"):
        edit(f"conf/feature/{name}.yaml", "_target_: featbank.features", "_target_: torchless_lab")
    assert main(["check"]) == 0
    said = capsys.readouterr()
    assert said.out == "error\tmessage\n"
    assert "not checked: the arguments of 2 extractors (torch is not installed)" in said.err
    edit("conf/feature/fbank.yaml", "shard_bytes: 67108864", "shard_bytes: wide")
    assert main(["check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert "got 'wide'" in found["faults"][0]["message"]
    assert found["unchecked"] == ["conf/feature/mfcc.yaml"]


def test_a_definition_whose_name_is_a_number_to_a_command_line_is_a_fault_and_no_crash(
    edit: Edit,
) -> None:
    definition = Path("conf/corpus/demo.yaml").read_text().replace("name: demo", "name: '1e3'")
    Path("conf/corpus/1e3.yaml").write_text(definition)
    edit("params.yaml", "corpora: [demo]", "corpora: ['1e3']")
    said = [str(one) for one in check_project(with_unchosen=False).faults]
    assert any("corpus 1e3: expected a name that is text on a command line" in one for one in said)
    assert not any("conf/corpus/1e3.yaml" in one for one in said)
