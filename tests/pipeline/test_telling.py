"""What stages show while they run and say at their end, on a terminal and in a pipe."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.pipeline.conftest import Project

TERMINAL = "python -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)'"
"""Runs a command on a terminal of its own, and prints what came to that."""

EXTRACT = "python stages/extract.py runner=local runner.num_workers=2"


@pytest.fixture
def damaged(own_prepared: Project) -> Project:
    """A prepared corpus of which one file has gone since, and one may."""
    own_prepared.edit("conf/extract.yaml", "max_failures: 0", "max_failures: 1")
    (own_prepared.path / "corpora/demo/june_fr/vm-toreply.flac").unlink()
    return own_prepared


def test_a_terminal_shows_what_is_waited_for_then_a_bar_with_failures_on_one_line(
    damaged: Project,
) -> None:
    shown = damaged.run(f"{TERMINAL} {EXTRACT}", TERM="xterm", COLUMNS="120", CI="")
    drawn, closing = shown.rsplit("\x1b[2K", 1)
    for phase in ("extract: loading libraries", "extract fbank: starting up to 2 workers"):
        assert phase in drawn
    # counted while it runs: before the stores are whole
    assert re.search(r"publishing the stores .* of 2\.4 min, [0-9:]+, .* x, 1 failure", drawn)
    assert "publishing" not in closing  # nothing of the line stays
    assert re.match(r"extract: done in [0-9.]+ (s|min)\n", closing)
    assert "data/features/demo/fbank: 37 utterances, " in drawn  # above the line


def test_a_pipe_gets_each_phase_once_and_the_closing_lines_say_where_failures_are(
    damaged: Project,
) -> None:
    lines = damaged.run(f"{EXTRACT} feature=mfcc").splitlines()
    # a machine under load takes its minutes, and tells of them
    phases = [line for line in lines if line.startswith("extract") and " elapsed" not in line]
    assert phases[:-1] == [
        "extract: loading libraries",
        "extract: looking for previous stores",
        "extract mfcc: looking for finished shards",
        "extract mfcc: reading manifests",
        "extract mfcc: starting up to 2 workers",
        "extract mfcc: 2.4 min of audio to go",
        "extract mfcc: publishing the stores",
    ]
    assert lines[-5].startswith("data/features/demo/mfcc: 37 utterances, ")
    assert lines[-4] == "test: 1 failure is in data/features/demo/mfcc/mfcc/test/failures.jsonl"
    assert lines[-3].startswith("extract: done in ")
    assert lines[-2:] == [
        "look: featbank info data/features/demo/mfcc",
        "next: python stages/sample.py feature=mfcc runner=local runner.num_workers=2",
    ]
    by_dvc = damaged.run(f"{EXTRACT} feature=mfcc", DVC_STAGE="extract@demo-mfcc")
    assert by_dvc.splitlines()[-1].startswith("extract: done in ")  # DVC goes on by itself


def test_what_each_stage_says_is_next_leads_to_the_report_as_it_is_typed(
    own_reproduced: Project,
) -> None:
    for made in ("samples", "codebooks", "tokens"):
        shutil.rmtree(own_reproduced.path / "data" / made)
    command, typed = "python stages/prepare.py", []
    while not command.startswith("open "):
        typed.append(command)
        said = own_reproduced.run(command)
        [command] = re.findall("^next: (.*)$", said, re.MULTILINE)
        for look in re.findall("^look: (.*)$", said, re.MULTILINE):
            assert "utterances" in own_reproduced.run(look)
    assert typed == [
        "python stages/prepare.py",
        "python stages/extract.py feature=fbank",
        "python stages/sample.py feature=mfcc",
        "python stages/fit.py feature=mfcc tokenizer=kmeans100",
        "python stages/tokenize.py feature=mfcc tokenizer=kmeans100",
        "python stages/validate.py",
    ]
    assert command == "open reports/demo/report.html in a browser"
    assert (own_reproduced.path / "reports/demo/report.html").is_file()


def test_what_was_typed_is_in_the_next_command_too(own_prepared: Project) -> None:
    own_prepared.run("cp -r conf/corpus/demo.yaml conf/corpus/mine.yaml")
    own_prepared.edit("conf/corpus/mine.yaml", "name: demo", "name: mine")
    said = own_prepared.run(
        "python stages/prepare.py corpus=mine corpus.root=corpora/demo runtime.progress=false"
    )
    assert said.splitlines()[-1] == (
        "next: python stages/extract.py feature=fbank corpus=mine corpus.root=corpora/demo "
        "runtime.progress=false"
    )
    assert "reading the corpus" not in said
