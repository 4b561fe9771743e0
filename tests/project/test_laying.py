"""Projects are laid down and upgraded, and nothing that a person wrote is ever replaced."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from featbank import __version__
from featbank.cli import main
from featbank.errors import ConfigError, FeatbankError
from featbank.machine.packages import EXTRAS
from featbank.pipeline.chosen_options import choice_faults
from featbank.pipeline.composition.plain import as_typed
from featbank.project.chosen_files import PROJECT_NAME, ProjectChoices, chosen_files, is_tokenized
from featbank.project.laying import Laying, lay_down, plan_laying
from featbank.project.record import check_version, read_laid_down
from featbank.project.source import source_files
from tests.conftest import ROOT

SOURCE = source_files()
CHOICES = ProjectChoices(layout="folder", corpus="mine", features=("fbank",))
FILES = chosen_files(SOURCE, CHOICES)


def _lay(folder: Path, files: Mapping[str, bytes] = FILES) -> Laying:
    laying = plan_laying(folder, files, CHOICES, read_laid_down(folder))
    lay_down(folder, laying)
    return laying


def _content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def test_a_project_is_what_this_repository_is_but_for_the_demo() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "conf", "stages", ".dvc", ".dvcignore", ".gitattributes"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    demo = {"conf/corpus/demo.yaml", "conf/sample/demo/demo.txt"}
    made = {"params.yaml", "dvc.yaml", ".gitignore"}
    assert SOURCE.keys() == {name for name in tracked if name not in demo} | made
    for name in SOURCE.keys() - {"dvc.yaml", ".gitignore"}:
        assert SOURCE[name] == (ROOT / name).read_bytes(), name
    ours, theirs = (ROOT / "dvc.yaml").read_bytes(), SOURCE["dvc.yaml"]
    ours_said, theirs_said = yaml.safe_load(ours)["stages"], yaml.safe_load(theirs)["stages"]
    assert theirs_said["code"].pop("always_changed")
    ours_said["code"]["deps"].remove("featbank")
    assert theirs_said == ours_said
    assert b'"marks": []' in SOURCE["conf/forgotten.json"]


def test_every_corpus_and_feature_can_be_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lay(tmp_path)
    monkeypatch.chdir(tmp_path)
    options = {
        group: [Path(name).stem for name in SOURCE if name.startswith(f"conf/{group}/")]
        for group in ("corpus", "feature")
    }
    assert min(map(len, options.values())) > 10
    several = [(one,) for one in options["feature"]] + [("mimi", "mfcc", "fbank")]
    chosen = [ProjectChoices(layout="folder", corpus="folder", features=one) for one in several]
    chosen += [
        ProjectChoices(layout=one, corpus=one, features=("mfcc",)) for one in options["corpus"]
    ]
    for choices in chosen:
        text = chosen_files(SOURCE, choices)["params.yaml"]
        Path("params.yaml").write_bytes(text)
        assert choice_faults() == [], choices
        comments = [line for line in SOURCE["params.yaml"].splitlines() if b"#" in line]
        assert [line.partition(b"#")[2] for line in text.splitlines() if b"#" in line] == [
            line.partition(b"#")[2] for line in comments
        ]


def test_codes_and_vectors_have_no_tokens() -> None:
    features = [Path(name).stem for name in SOURCE if name.startswith("conf/feature/")]
    without = {one for one in features if not is_tokenized(SOURCE, one)}
    codecs = {"dac_16khz", "dac_24khz", "encodec_24khz", "mimi", "xcodec"}
    assert without == codecs | {"mfcc_stats"}


def test_requirements_name_the_extras_of_what_is_chosen() -> None:
    choices = ProjectChoices(
        layout="lhotse", corpus="calls", features=("whisper_tiny", "f0", "mfcc")
    )
    text = chosen_files(SOURCE, choices)["requirements.txt"].decode()
    assert text.splitlines()[-1] == f"featbank[report,lhotse,pitch,transformers]=={__version__}"
    assert EXTRAS.keys() >= {"report", "lhotse", "pitch", "transformers"}


def test_a_link_leads_to_audio_that_lies_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, audio = tmp_path / "project", tmp_path / "audio"
    audio.mkdir()
    assert main(["init", str(folder), "--root", str(audio), "--name", "mine"]) == 0
    assert (folder / "corpora/mine").readlink() == audio
    assert yaml.safe_load((folder / "conf/corpus/mine.yaml").read_text())["root"] == "corpora/mine"
    said = capsys.readouterr().err
    assert f"cd {folder}" in said
    assert "dvc repro" in said
    assert "ln -s" not in said
    assert main(["init", str(tmp_path / "other")]) == 0
    assert "ln -s /folder/of/your/audio corpora/folder" in capsys.readouterr().err


def test_files_in_no_folders_have_no_speakers(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    (audio / "anna").mkdir(parents=True)
    definition = tmp_path / "project/conf/corpus/folder.yaml"
    (audio / "notes.txt").touch()
    (audio / "anna/a.WAV").touch()
    typed = ["init", str(tmp_path / "project"), "--root", str(audio)]
    assert main(typed) == 0
    assert yaml.safe_load(definition.read_text())["folders"] == ["speaker"]
    shutil.rmtree(tmp_path / "project")
    (audio / "a.WAV").touch()
    assert main(typed) == 0
    said = yaml.safe_load(definition.read_text())
    assert (said["folders"], said["split_rule"]["by"]) == ([], "hash")
    laid = read_laid_down(tmp_path / "project")
    assert laid
    assert laid.choices.is_flat


def test_audio_in_a_bucket_has_a_note_that_dvc_tracks(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path), "--root", "s3://bucket/audio", "--name", "away"]) == 0
    definition = yaml.safe_load((tmp_path / "conf/corpus/away.yaml").read_text())
    assert definition["root"] == "s3://bucket/audio"
    assert (tmp_path / "corpora/away/state.txt").read_text().startswith("s3://bucket/audio\n")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--feature", "fbnk"], "got fbnk; did you mean --feature fbank?"),
        (["--corpus", "flder"], "got flder; did you mean --corpus folder?"),
        (["--root", "nowhere"], "--root nowhere: expected the folder of the audio, got nothing"),
        (["--feature", "mfcc,fbank"], "got mfcc,fbank; repeat it: --feature mfcc --feature fbank"),
        (["--root", "a.wav"], "got a file; name the folder that it is in: --root ."),
        (["--root", "~nobody-here/x"], "--root ~nobody-here/x: expected the folder of the audio"),
        (["--root", "ftp://x/y"], "expected a path, or a URL of s3, gs, ssh, http, https, got ftp"),
        (["--root", "."], "got one that project lies in; name another folder for the project"),
        (["--name", "librispeech"], "type --corpus librispeech for that layout"),
        (["--name", "a/b"], "--name: expected letters"),
        (["--name", "a", "--root", "audio"], "expected a link to audio, got something else"),
        (["--upgrade"], "leave out --upgrade to lay one down"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    typed: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("audio", "project/corpora/a"):
        Path(name).mkdir(parents=True)
    Path("a.wav").touch()
    assert main(["init", "project", *typed]) != 0
    assert said in capsys.readouterr().err
    assert [path.name for path in Path("project").iterdir()] == ["corpora"]


@pytest.mark.parametrize(
    "name", ["1e3", "2024", "103_1240", "nan", "-inf", "null", "True", "no", "x2"]
)
def test_a_corpus_has_a_name_that_stages_read_as_text(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    is_text = name[0] != "-" and isinstance(as_typed(name), str)
    assert (main(["init", str(tmp_path / "project"), f"--name={name}"]) == 0) == is_text
    assert is_text or f"got {name}" in capsys.readouterr().err.replace("'", "")


def test_a_link_that_leads_nowhere_is_no_place_for_a_project(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="got a link that leads nowhere"):
        _lay(tmp_path / "link")


def test_a_project_that_git_would_ignore_is_a_repository_of_its_own(tmp_path: Path) -> None:
    """DVC passes by what git ignores, and would find nothing to do."""
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("/ignored*\n")
    assert main(["init", str(tmp_path / "ignored/mine")]) == 0
    assert (tmp_path / "ignored/mine/.git").is_dir()
    assert main(["init", str(tmp_path / "mine")]) == 0
    assert not (tmp_path / "mine/.git").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    for name in ("thesis.tex", "conf/model.yaml", "params.yaml"):
        folder = tmp_path / name.replace("/", "-")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("mine")
        with pytest.raises(ConfigError, match=f"an empty folder, or nothing there, got .*{name}"):
            _lay(folder)
        assert _content(folder) == {name: b"mine"}


def test_files_of_a_new_repository_stay_as_they_are(tmp_path: Path) -> None:
    for name in ("README.md", "LICENSE", ".git/HEAD", ".venv/pyvenv.cfg", "corpora/mine/a.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    assert set(_lay(tmp_path).beside) == {"README.md.new"}
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / "README.md.new").read_bytes() == FILES["README.md"]


def test_a_project_is_laid_down_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _lay(tmp_path)
    before = _content(tmp_path)
    assert main(["init", str(tmp_path), "--feature", "mfcc"]) != 0
    assert "add --upgrade to bring it to this version" in capsys.readouterr().err
    assert main(["init", str(tmp_path), "--upgrade", "--feature", "mfcc"]) != 0
    assert "--feature: expected nothing beside --upgrade" in capsys.readouterr().err
    assert main(["init", str(tmp_path), "--upgrade"]) == 0
    assert "was as this version has it" in capsys.readouterr().err
    assert _content(tmp_path) == before


OLDER = {
    **{name: data for name, data in FILES.items() if name != "stages/stability.py"},
    "dvc.yaml": b"older",
    "conf/fit.yaml": b"older",
    "conf/gone.yaml": b"older",
}
"""What an older version laid down: two files were otherwise, one is gone and one is new."""


def test_an_upgrade_renews_files_and_keeps_what_a_person_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _lay(tmp_path, OLDER)
    edited = {"conf/fit.yaml": b"edited", "params.yaml": b"edited", "conf/own.yaml": b"own"}
    for name, data in edited.items():
        (tmp_path / name).write_bytes(data)
    assert main(["init", str(tmp_path), "--upgrade"]) == 0
    said, notes = capsys.readouterr()
    assert said.splitlines() == [
        "state\tpath", "renewed\tdvc.yaml", "new\tstages/stability.py",
        "beside\tconf/fit.yaml.new", "gone\tconf/gone.yaml",
    ]  # fmt: skip
    assert "conf/fit.yaml is as you wrote it; merge conf/fit.yaml.new into it" in notes
    assert "conf/gone.yaml is no longer part of a project" in notes
    # params.yaml is as the older version had it, and so the person's own is all there is to say
    assert "params.yaml" not in notes
    now = _content(tmp_path)
    del now[PROJECT_NAME]
    assert now == {
        **FILES, **edited, "conf/fit.yaml.new": FILES["conf/fit.yaml"], "conf/gone.yaml": b"older",
    }  # fmt: skip
    assert main(["init", str(tmp_path), "--upgrade"]) == 0
    assert "was as this version has it" in capsys.readouterr().err


def test_a_project_of_a_newer_version_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _lay(tmp_path, OLDER)
    record = tmp_path / PROJECT_NAME
    record.write_text(record.read_text().replace(f'"{__version__}"', '"0.1000.0rc1"'))
    before = _content(tmp_path)
    for typed in (["--upgrade"], ["--name", "mine"]):
        assert main(["init", str(tmp_path), *typed]) != 0
        said = capsys.readouterr().err
        assert "0.1000.0rc1" in said
        assert said.endswith(
            "; pip install -r requirements.txt, in the folder of the project, installs that one\n"
        )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"expected 0\.1000\.0rc1") as refused:
        check_version()
    assert "--upgrade" not in str(refused.value)
    assert _content(tmp_path) == before


def test_a_new_version_that_is_not_merged_is_not_replaced(tmp_path: Path) -> None:
    _lay(tmp_path, OLDER)
    (tmp_path / "conf/fit.yaml").write_bytes(b"edited")
    (tmp_path / "conf/fit.yaml.new").write_bytes(b"half merged")
    before = _content(tmp_path)
    with pytest.raises(ConfigError, match=r"merge it into conf/fit.yaml and delete it"):
        _lay(tmp_path)
    assert _content(tmp_path) == before


_KILLED = """
import os, signal, sys
from featbank.cli import main
from featbank.project import laying
write, left = laying.write_atomic, [int(sys.argv[1])]
def write_some(path, data):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    write(path, data)
laying.write_atomic = write_some
laying.write_laid_down = lambda folder, record: write_some(folder, b"")
main(["init", *sys.argv[2:]])
"""


@pytest.mark.parametrize("num_written", [0, 1, len(FILES) // 2, len(FILES)])
def test_a_killed_laying_down_goes_on_when_it_is_typed_again(
    num_written: int, tmp_path: Path
) -> None:
    typed = [str(tmp_path), "--name", "mine", "--feature", "fbank"]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(num_written), *typed], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(_content(tmp_path)) == num_written
    assert main(["init", *typed]) == 0
    now = _content(tmp_path)
    del now[PROJECT_NAME]
    assert now == FILES


def test_a_killed_upgrade_goes_on_when_it_is_typed_again(tmp_path: Path) -> None:
    _lay(tmp_path, OLDER)
    (tmp_path / "conf/fit.yaml").write_bytes(b"edited")
    typed = [str(tmp_path), "--upgrade"]
    killed = subprocess.run([sys.executable, "-c", _KILLED, "2", *typed], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert main(["init", *typed]) == 0
    now = _content(tmp_path)
    assert now["conf/fit.yaml"] == b"edited"
    assert now["conf/fit.yaml.new"] == FILES["conf/fit.yaml"]
    assert now["dvc.yaml"] == FILES["dvc.yaml"]
    assert "stages/stability.py" in now


def test_another_version_than_the_projects_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_version()  # where nothing was laid down
    _lay(tmp_path)
    check_version()
    record = tmp_path / PROJECT_NAME
    record.write_text(record.read_text().replace(f'"{__version__}"', '"0.0.1"'))
    with pytest.raises(ConfigError, match=r"expected 0\.0\.1, .*type featbank init \. --upgrade"):
        check_version()
    newest = record.read_text().replace('"0.0.1"', '"newest"')
    for text in ("[]", '{"version": 1}', "nothing", newest):
        record.write_text(text)
        with pytest.raises(FeatbankError, match="git checkout"):
            check_version()
