"""The pipeline as people use it: dvc repro, stages typed by hand, push, clone, pull."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from omegaconf import OmegaConf

from featbank.store import Store, open_store
from tests.pipeline.conftest import Project

pytestmark = pytest.mark.slow

CODEBOOK = "data/codebooks/demo/mfcc-kmeans100.safetensors"


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


def test_every_choice_has_its_stores(reproduced: Project) -> None:
    for option in ("features/demo/fbank", "features/demo/mfcc", "tokens/demo/mfcc-kmeans100"):
        assert len(open_store(reproduced.path / "data" / option)) == 38
    assert open_store(reproduced.path / "data/features/demo/mfcc").shape == (39,)


def test_all_that_was_made_is_up_to_date(own_reproduced: Project) -> None:
    assert "Data and pipelines are up to date." in own_reproduced.run("dvc status")
    assert _ran(own_reproduced.run("dvc repro")) == set()


def test_the_committed_lock_is_of_the_committed_inputs(reproduced: Project) -> None:
    """Outputs may differ on a machine of another numerics class; what goes in may not."""

    def inputs(lock: str) -> dict[str, object]:
        stages = OmegaConf.to_container(OmegaConf.create(lock))["stages"]
        return {
            name: {
                "cmd": stage["cmd"],
                "params": stage["params"],
                "deps": [dep for dep in stage["deps"] if not dep["path"].startswith("data/")],
            }
            for name, stage in stages.items()
        }

    committed = reproduced.run("git show HEAD~1:dvc.lock")
    assert inputs(committed) == inputs((reproduced.path / "dvc.lock").read_text())


def test_the_summary_shows_every_store_and_the_report(reproduced: Project) -> None:
    shown = reproduced.run("python -m featbank summary")
    for name in ("features/demo/fbank/fbank", "features/demo/mfcc/mfcc", "mfcc-kmeans100/units"):
        assert name in shown
    assert "report: reports/demo/report.html" in shown
    rows = {
        row["store"]: row for row in json.loads(reproduced.run("python -m featbank summary --json"))
    }
    fbank = rows["data/features/demo/fbank/fbank"]
    assert (fbank["utterances"], fbank["frames"]) == (38, 14406)
    assert fbank["hours"] == pytest.approx(0.0402, abs=1e-4)
    assert fbank["real_time_factor"] > 0
    assert {(row["where"], row["validated"]) for row in rows.values()} == {("here", "good")}


def test_the_summary_of_a_clone_says_what_can_be_pulled_and_lists_what_was_typed_by_hand(
    own_reproduced: Project, tmp_path: Path
) -> None:
    typed = "feature=fbank feature.name=fbank20 feature.extractor.num_mel_bins=20"
    own_reproduced.run(f"python stages/extract.py {typed}")
    own_reproduced.run("python stages/validate.py only=features/fbank20")
    own_reproduced.run(f"dvc remote add --default storage {tmp_path / 'remote'} && dvc push")
    own_reproduced.commit("Share")
    clone = Project(tmp_path / "clone")
    own_reproduced.run(f"git clone -q . {clone.path}")
    [by_hand] = [row for row in _summary(own_reproduced) if "fbank20" in row["store"]]
    assert (by_hand["where"], by_hand["validated"]) == ("here", "good")
    assert {row["where"] for row in _summary(clone)} == {"remote"}
    clone.run("dvc pull -q extract@demo-fbank")
    places = {row["store"].split("/")[3]: row["where"] for row in _summary(clone)}
    assert places == {"fbank": "here", "mfcc": "remote", "mfcc-kmeans100": "remote"}


def _summary(project: Project) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(project.run("python -m featbank summary --json"))
    return rows


def test_a_comment_or_a_runtime_knob_reruns_nothing_but_the_digests_of_code(
    own_reproduced: Project,
) -> None:
    own_reproduced.edit("conf/feature/mfcc.yaml", "name: mfcc", "# another comment\nname: mfcc")
    own_reproduced.edit("conf/runtime.yaml", "overwrite: false", "overwrite: true")
    own_reproduced.edit("conf/runner/local.yaml", "num_workers: null", "num_workers: 1")
    assert _ran(own_reproduced.run("dvc repro")) == {"code"}
    assert "up to date" in own_reproduced.run("dvc status")


def test_a_changed_value_reruns_what_hangs_on_it_and_back_again_nothing(
    own_reproduced: Project,
) -> None:
    before = _digests(own_reproduced.path / "data")
    own_reproduced.edit("conf/feature/mfcc.yaml", "num_ceps: 13", "num_ceps: 12")
    changed = own_reproduced.run("dvc repro")
    assert _ran(changed) == {
        "code",
        "extract@demo-mfcc",
        "sample@demo-mfcc",
        "fit@demo-mfcc-kmeans100",
        "tokenize@demo-tokens0",
        "validate_features@demo-mfcc",
        "validate_tokens@demo-tokens0",
        "stability_features@demo-mfcc",
        "stability_tokens@demo-tokens0",
        "report@demo",
    }
    assert open_store(own_reproduced.path / "data/features/demo/mfcc").shape == (36,)
    own_reproduced.edit("conf/feature/mfcc.yaml", "num_ceps: 12", "num_ceps: 13")
    back = own_reproduced.run("dvc repro")
    assert _ran(back) == {"code"}
    assert back.count("is cached - skipping run") == 9
    assert _digests(own_reproduced.path / "data") == before


def test_a_commit_copies_nothing(reproduced: Project) -> None:
    cache = {path.stat().st_ino for path in (reproduced.path / ".dvc/cache").rglob("*")}
    outputs = [
        path
        for folder in ("data", "reports")
        for path in (reproduced.path / folder).rglob("*")
        if path.is_file() and path.name not in (".gitignore", "metrics.json")
    ]
    assert len(outputs) > 20
    assert [path for path in outputs if path.stat().st_ino not in cache] == []


def test_stages_typed_by_hand_without_workers_write_the_bytes_of_dvc_with_two(
    reproduced: Project, checkout: Project
) -> None:
    for command in (
        "prepare.py runner=local runner.num_workers=1",
        "extract.py feature=fbank",
        "extract.py feature=mfcc",
        "sample.py",
        "fit.py",
        "tokenize.py",
        "stability.py",
        "validate.py",
    ):
        checkout.run(f"python stages/{command}")
    by_hand, by_dvc = (_digests(project.path / "data") for project in (checkout, reproduced))
    assert len(by_hand) > 20
    assert by_hand == {name: digest for name, digest in by_dvc.items() if ".gitignore" not in name}


def test_growth_by_three_utterances_refits_nothing_and_keeps_the_old_tokens(
    own_reproduced: Project, tmp_path: Path
) -> None:
    before = own_reproduced.copy(tmp_path / "before")
    corpus = own_reproduced.path / "corpora" / "demo"
    rng = np.random.default_rng(0)
    with open(corpus / "transcripts.tsv", "a", encoding="utf-8") as table:
        for number in range(3):
            soundfile.write(corpus / f"new-{number}.flac", rng.normal(scale=0.1, size=20000), 16000)
            table.write(f"new-{number}.flac\tnobody\ten\ttrain\thm\n")
    ran = _ran(own_reproduced.run("dvc repro"))
    assert "tokenize@demo-tokens0" in ran
    assert "fit@demo-mfcc-kmeans100" not in ran
    codebooks = [(project.path / CODEBOOK).read_bytes() for project in (before, own_reproduced)]
    assert codebooks[0] == codebooks[1]
    old, new = (
        open_store(project.path / "data/tokens/demo/mfcc-kmeans100/units/train")
        for project in (before, own_reproduced)
    )
    assert len(new) == len(old) + 3
    assert all(old[name].tobytes() == new[name].tobytes() for name in old.ids)


def test_a_pinned_utterance_that_vanished_is_an_error(own_reproduced: Project) -> None:
    table = own_reproduced.path / "corpora/demo/transcripts.tsv"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(line for line in lines if "vm-next" not in line), encoding="utf-8")
    own_reproduced.run("python stages/prepare.py")
    own_reproduced.run("python stages/extract.py feature=mfcc")
    said = own_reproduced.run("python stages/sample.py", status=1)
    assert "got 1 missing, the first 'allison_en/vm-next'" in said
    assert "python stages/sample.py pin=true" in said


def test_a_store_pushed_is_pulled_alone_in_another_clone(
    own_reproduced: Project, tmp_path: Path
) -> None:
    own_reproduced.run(f"dvc remote add --default storage {tmp_path / 'remote'}")
    own_reproduced.commit("Add a remote")
    own_reproduced.run("dvc push")
    own_reproduced.run(f"git clone -q . {tmp_path / 'clone'}")
    clone = Project(tmp_path / "clone")
    clone.run("dvc pull extract@demo-fbank")
    store = "data/features/demo/fbank"
    assert _digests(clone.path / store) == _digests(own_reproduced.path / store)
    assert not (clone.path / "data/features/demo/mfcc").exists()
    script = f"""
from featbank.store import open_store
store = open_store("{store}/fbank/dev")
for utterance in store.ids:
    print(utterance, store[utterance].shape)
"""
    (clone.path / "five.py").write_text(script)
    printed = clone.run("python five.py", PYTHONPATH=str(clone.path))
    assert "allison_en/conf-leaderhasleft (225, 80)" in printed


def test_a_value_typed_by_hand_does_not_touch_what_dvc_tracks(own_reproduced: Project) -> None:
    before = _digests(own_reproduced.path / "data")
    for command, value in (
        ("extract.py feature=fbank", "feature.extractor.num_mel_bins=40"),
        ("extract.py feature=fbank overwrite=true", "feature.extractor.num_mel_bins=40"),
        ("fit.py overwrite=true", "seed=3"),
        ("tokenize.py", "tokenizer.merge_repeats=true"),
        ("prepare.py", "corpus.license=mine"),
    ):
        said = own_reproduced.run(f"python stages/{command} {value}", status=1)
        assert "is tracked by DVC: expected the values of its definition in conf/, got" in said
        assert value in said
    assert _digests(own_reproduced.path / "data") == before
    own_reproduced.run(
        "python stages/extract.py feature=fbank feature.name=fbank40"
        " feature.extractor.num_mel_bins=40"
    )
    assert open_store(own_reproduced.path / "data/features/demo/fbank40").shape == (40,)


def test_an_option_that_takes_the_name_of_another_is_refused(checkout: Project) -> None:
    for name in ("feature/mfcc", "corpus/demo"):
        shutil.copy(checkout.path / f"conf/{name}.yaml", checkout.path / f"conf/{name}2.yaml")
    said = checkout.run("python stages/prepare.py corpus=demo2", status=1)
    assert "name in conf/corpus/demo2.yaml: expected demo2, got 'demo'" in said
    checkout.run("python stages/prepare.py")
    said = checkout.run("python stages/extract.py feature=mfcc2", status=1)
    assert "name in conf/feature/mfcc2.yaml: expected mfcc2, got 'mfcc'" in said


def test_definitions_of_another_folder_do_not_touch_what_dvc_tracks(
    checkout: Project, tmp_path: Path
) -> None:
    shutil.copytree(checkout.path / "conf", tmp_path / "conf")
    said = checkout.run(f"python stages/prepare.py --config-path {tmp_path}/conf", status=1)
    assert "data/manifests/demo is tracked by DVC" in said
    assert f"got the definitions in {tmp_path}/conf" in said


def test_a_validation_of_another_tree_does_not_touch_the_tracked_report(
    own_reproduced: Project, tmp_path: Path
) -> None:
    shutil.copytree(own_reproduced.path / "data", tmp_path / "data")
    said = own_reproduced.run(f"python stages/validate.py paths.root={tmp_path}/data", status=1)
    assert "reports/demo is tracked by DVC" in said


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("extract.py overwrite=no", "overwrite: expected true or false, got 'no'"),
        ("extract.py max_failures=all", "max_failures: expected a number, 0 or more, got 'all'"),
        (
            "extract.py runner=local runner.num_workers=two",
            "num_workers: expected int or null, got str 'two'",
        ),
        (
            "extract.py feature.name=x feature.extractor.num_mel_bins=abc",
            "num_mel_bins: expected int",
        ),
        ("extract.py feature.name=x +feature.extractor.mel_bins=3", "did you mean num_mel_bins?"),
        (
            "extract.py feature.name=x feature.extractor._target_=os.system",
            "expected a class under",
        ),
        ("sample.py pin=true hours=0", "hours: expected a number over 0 up to 10000000 (h), got 0"),
        (
            "sample.py pin=true hours=ten",
            "hours: expected a number over 0 up to 10",
        ),
        ("stability.py max_s=inf", "max_s: expected a finite number, got inf"),
        ("stability.py max_s=3", "write it elsewhere: paths.stability=FOLDER, or change"),
        (
            "validate.py only=features/..",
            "only: expected features/NAME or tokens/NAME, NAME of",
        ),
        ("validate.py only=fbank", "only: expected features/NAME or tokens/NAME, NAME of"),
        ("extract.py feature=[fbank,mfcc]", "feature: expected one option, got several"),
        (
            "extract.py feature=fbank ~feature.storage",
            "feature.storage: expected a list of one entry a feature name: [{name: fbank, dtype: "
            "float32}], got none in conf/feature/fbank.yaml",
        ),
        ("extract.py ~runner", "runner: expected values by name, got none in conf/extract.yaml"),
        ("extract.py ~corpus", "corpus: expected values by name, got none in conf/extract.yaml"),
        ("extract.py paths.root=null", "paths.root: expected a path, got null"),
        ("extract.py runtime=null", "runtime: expected values by name, got null"),
        ("extract.py runtime.progress=some", "runtime.progress: expected true or false or null"),
        ("extract.py trusted_modules=mine", "trusted_modules: expected a list: [yourpackage], got"),
        (
            "extract.py feature.name=x runner._target_=featbank.features.signal.kaldi.Fbank",
            "features.signal.kaldi.Fbank': expected a class of Runner, got Fbank",
        ),
        (
            "prepare.py corpus.name=x runner=local runner.num_workers=two",
            "num_workers: expected int or null",
        ),
        (
            "prepare.py corpus.name=x runner=local runner.num_workers=0",
            "num_workers: expected 1 or more, got 0",
        ),
        ("extract.py num_threads=100000", "num_threads: expected an integer from 1 to 1024, got"),
        ("sample.py pins=null", "pins: expected a path, got null"),
        ("import_codebook.py file=3 out=x", "file: expected text, got 3; quote it twice"),
        ("import_codebook.py file=x out=data/codebooks", "got file=x out=data/codebooks; write it"),
        ("validate.py certificate=null", "certificate: expected values by name, got null"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_without_a_traceback(
    command: str, message: str, prepared: Project
) -> None:
    said = prepared.run(f"python stages/{command}", status=1)
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("extract.py +num_mel_bins=40", "did you mean feature.extractor.num_mel_bins=40?"),
        ("extract.py +feature.num_mel_bins=40", "did you mean feature.extractor.num_mel_bins=40?"),
        ("extract.py ++runtime.wrok=x", "did you mean runtime.work=x?"),
        ("report.py +only=features/fbank", "expected a value that report takes, got an option"),
        (
            "stability.py only=features/mimi +feature.extractor.weights=random",
            "expected nothing of feature, for stability goes by the definitions in conf/feature;"
            " write the value into one of its own there",
        ),
        ("stability.py +tokenizer=kmeans500", "goes by the definitions in conf/tokenizer"),
        ("validate.py recompute=2 +feature.extractor.seed=1", "validate goes by the definitions"),
    ],
)
def test_what_hydra_advises_to_type_is_refused_where_nothing_reads_it(
    command: str, message: str, prepared: Project
) -> None:
    typed = next(word for word in command.split() if word.startswith("+"))
    said = prepared.run(f"python stages/{command}", status=1)
    assert said.startswith(f"ConfigError: {typed}: ")
    assert message in said
    assert said.count("\n") == 1


def test_what_a_class_takes_may_be_added_with_a_plus(own_prepared: Project) -> None:
    own_prepared.run("python stages/prepare.py corpus.name=x +corpus.url=mine ++overwrite=true")
    wavlm = "feature=wavlm feature.extractor.weights=random feature.extractor.precision=float8"
    said = own_prepared.run(f"python stages/extract.py {wavlm}", status=1)
    assert "precision: expected float32 or bfloat16" in said


@pytest.mark.parametrize(
    ("file", "text", "command", "lacks"),
    [
        (
            "tokenizer/x",
            "name: x\nkmeans: {num_clusters: 20}",
            "fit.py tokenizer=x",
            [
                "codebook",
                *(f"kmeans.{key}" for key in ("num_codebooks", "num_frames", "max_passes", "tol")),
                *("imported", "merge_repeats", "shard_bytes"),
            ],
        ),
        (
            "feature/x",
            "name: x\nextractor: {_target_: a.B}",
            "extract.py feature=x",
            ["storage"],
        ),
        (
            "feature/x",
            "extractor: {}\nstorage: []",
            "sample.py feature=x",
            ["name", "extractor._target_", "storage"],
        ),
        ("corpus/x", "name: x\nroot: corpora/x", "prepare.py corpus=x", ["_target_"]),
        ("feature/x", "", "stability.py only=tokens/x-rvq8", ["name", "extractor", "storage"]),
    ],
)
def test_all_that_a_definition_lacks_is_named_with_its_file(
    file: str, text: str, command: str, lacks: list[str], own_prepared: Project
) -> None:
    (own_prepared.path / f"conf/{file}.yaml").write_text(text)
    said = own_prepared.run(f"python stages/{command}", status=1)
    told = [line.partition(": expected ")[0] for line in said.splitlines() if "Error" in line]
    assert told == [f"ConfigError: {file.split('/')[0]}.{key}" for key in lacks]
    assert said.count(f"got none in conf/{file}.yaml") + said.count("got []") == len(lacks)


def test_a_damaged_summary_of_a_corpus_is_named(own_prepared: Project) -> None:
    (own_prepared.path / "data/manifests/demo/corpus.json").write_text("{")
    said = own_prepared.run("python stages/extract.py feature=fbank", status=1)
    assert "corpus.json: expected a JSON object, got Expecting" in said
    assert "run python stages/prepare.py corpus=demo" in said


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("features: [fbank, mfcc]", "features: fbank", "features: expected a list: [fbank, mfcc]"),
        ("tokenizer: kmeans100,", "tokeniser: kmeans100,", "tokens.0.tokenizer: expected letters"),
        ("corpora: [demo]", "corpora: [demo", "params.yaml: expected YAML"),
        ("corpora: [", "korpora: [", "params.yaml: corpora.0: expected a choice, got no 'corpora'"),
        ("corpora: [demo]", "corpora: [2024]", "params.yaml: corpora.0: expected a name, got 2024"),
    ],
)
def test_choices_of_another_form_are_named(
    old: str, new: str, message: str, own_prepared: Project
) -> None:
    own_prepared.edit("params.yaml", old, new)
    said = own_prepared.run("python stages/validate.py", status=1)
    assert message in said
    assert "Traceback" not in said


def test_a_hand_typed_store_of_another_content_is_kept(own_reproduced: Project) -> None:
    typed = "python stages/extract.py feature=fbank feature.name=mine feature.extractor"
    own_reproduced.run(f"{typed}.num_mel_bins=40")
    before = _digests(own_reproduced.path / "data/features/demo/mine")
    said = own_reproduced.run(f"{typed}.num_mel_bins=41", status=1)
    assert "was made in another way" in said
    assert _digests(own_reproduced.path / "data/features/demo/mine") == before


def test_a_codebook_is_not_refitted_by_accident(own_reproduced: Project) -> None:
    pins = own_reproduced.path / "conf/sample/demo/demo.txt"
    pins.write_text("".join(pins.read_text().splitlines(keepends=True)[:-3]))
    own_reproduced.run("python stages/sample.py")
    before = (own_reproduced.path / CODEBOOK).read_bytes()
    said = own_reproduced.run("python stages/fit.py", status=1)
    assert "was fitted in another way: num_frames, num_frames_drawn, num_utterances, sample" in said
    assert (own_reproduced.path / CODEBOOK).read_bytes() == before


def test_a_damaged_store_fails_validation_by_name(own_reproduced: Project) -> None:
    [shard] = (own_reproduced.path / "data/features/demo/fbank/fbank/dev").glob("*.h5")
    data = bytearray(shard.read_bytes())
    data[-100] ^= 1
    shard.unlink()  # DVC has linked the file to its cache
    shard.write_bytes(data)
    said = own_reproduced.run("python stages/validate.py", status=1)
    assert "features/fbank/fbank/dev" in said
    assert shard.name in said
    assert "features/mfcc" not in said.split("ValidationError")[-1]


def test_a_repro_over_a_damaged_store_fails_and_its_report_says_so(
    own_reproduced: Project,
) -> None:
    header = own_reproduced.path / "data/features/demo/fbank/fbank/dev/header.json"
    text = header.read_text()
    header.unlink()
    header.write_text(text.replace('"frame_rate": 100.0', '"frame_rate": 99.0'))
    said = own_reproduced.run(
        "dvc repro validate_features@demo-fbank report@demo --single-item", status=255
    )
    assert "ValidationError" in said
    assert "features/fbank/fbank/dev" in said
    assert json.loads((own_reproduced.path / "reports/demo/metrics.json").read_text())["problems"]
    assert "All good" not in (own_reproduced.path / "reports/demo/report.html").read_text()


def test_wavlm_with_random_weights_runs_with_no_network(own_reproduced: Project) -> None:
    own_reproduced.run("python stages/extract.py feature=wavlm feature.extractor.weights=random")
    store = open_store(own_reproduced.path / "data/features/demo/wavlm")
    assert (len(store), store.shape, str(store.dtype)) == (38, (768,), "float16")
    header = json.loads(
        (own_reproduced.path / "data/features/demo/wavlm/wavlm/dev/header.json").read_text()
    )
    assert header["provenance"]["weights"]["source"] == "random"
    _same_as_torchaudio(store, own_reproduced.path / "corpora/demo")
    said = own_reproduced.run("python stages/validate.py only=features/wavlm recompute=1", status=1)
    assert "expected weights download, got weights random" in said
    assert "Downloading" not in said


def _same_as_torchaudio(store: Store, root: Path) -> None:
    """Compare with torchaudio's own model, built with the same seed and run as its users run it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torchaudio.models.wavlm_base(aux_num_out=None).eval()
    name = "allison_en/vm-next"
    waveform, _ = soundfile.read(root / f"{name}.flac", dtype="float32")
    with torch.inference_mode():
        layers, _ = model.extract_features(torch.from_numpy(waveform)[None], num_layers=9)
    torch.set_num_threads(threads)
    np.testing.assert_array_equal(store[name], layers[8][0].numpy().astype(np.float16))


def test_a_name_that_leaves_its_folder_is_refused(checkout: Project) -> None:
    said = checkout.run("python stages/extract.py feature.name=../../x", status=1)
    assert "ConfigError: feature.name: expected letters, digits" in said


def test_an_unknown_feature_is_answered_with_the_nearest(checkout: Project) -> None:
    said = checkout.run("python stages/extract.py feature=wavml", status=1)
    assert "did you mean feature=wavlm?" in said


def test_a_stage_before_its_inputs_says_what_to_run(checkout: Project) -> None:
    for stage, expected in (
        ("extract", "run python stages/prepare.py"),
        ("sample", "run python stages/extract.py"),
        ("fit", "run python stages/sample.py"),
        ("tokenize", "run python stages/prepare.py"),
    ):
        assert expected in checkout.run(f"python stages/{stage}.py", status=1)


def test_a_stage_away_from_the_root_says_so(checkout: Project, tmp_path: Path) -> None:
    away = Project(tmp_path)
    said = away.run(f"python {checkout.path}/stages/extract.py", status=1)
    assert "run from the root of the project" in said


def test_an_interrupted_directory_of_a_stage_is_never_in_the_way(own_reproduced: Project) -> None:
    # what a kill leaves beside a store: an unfinished folder with a shard in it
    partial = own_reproduced.path / "data/features/demo/fbank/fbank/.dev.partial"
    shutil.copytree(own_reproduced.path / "data/features/demo/fbank/fbank/dev", partial)
    before = _digests(own_reproduced.path / "data/features/demo/fbank/fbank/dev")
    own_reproduced.run("python stages/extract.py feature=fbank")
    assert not partial.exists()
    assert _digests(own_reproduced.path / "data/features/demo/fbank/fbank/dev") == before
