"""`featbank init`: lay down a project, or bring one to this version."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from featbank import __version__
from featbank.base.printing import on_terminal, print_json, print_line, print_note
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import add_command
from featbank.errors import ConfigError
from featbank.files.remote import RemotePath, any_path
from featbank.machine.packages import lacks_extra
from featbank.project.chosen_files import (
    PROJECT_NAME,
    TOKENIZER,
    ProjectChoices,
    chosen_files,
    is_tokenized,
    needed_extras,
)
from featbank.project.laying import Laying, lay_down, plan_laying
from featbank.project.record import NEWER_HINT, LaidDown, read_laid_down
from featbank.project.source import source_files
from featbank.project.starting import (
    check_root,
    is_flat,
    link_audio,
    note_bucket,
    place_of_audio,
    start_git,
)

_LAYOUT = "folder"
_FEATURES = ("mfcc",)


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands,
        "init",
        "lay down a project: choices, definitions, stages, DVC",
        _run,
        examples=(
            "mine --root ~/audio --name mine --feature wavlm",
            "cv --corpus common_voice --root /data/cv/de",
            ". --upgrade",
        ),
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="of the project, new or empty")
    command.add_argument(
        "--corpus", metavar="LAYOUT",
        help=f"how the audio is laid out: a name of conf/corpus, docs/corpora.md ({_LAYOUT})",
    )  # fmt: skip
    command.add_argument(
        "--root", metavar="PATH", help="of the audio: a folder, which is linked to, or a URL"
    )
    command.add_argument(
        "--name", metavar="NAME", help="of the corpus, in all paths (that of its layout)"
    )
    command.add_argument(
        "--feature", action="append", metavar="NAME",
        help=f"a name of conf/feature; repeat for several ({', '.join(_FEATURES)})",
    )  # fmt: skip
    command.add_argument(
        "--upgrade", action="store_true",
        help="bring a project to this version; what you edited stays, with the new file beside it",
    )  # fmt: skip


def _run(parsed: argparse.Namespace) -> int:
    before = read_laid_down(parsed.folder)
    if parsed.upgrade:
        _upgrade(parsed, before)
    else:
        _start(parsed, before)
    return 0


def _start(parsed: argparse.Namespace, before: LaidDown | None) -> None:
    folder: Path = parsed.folder
    if before is not None:
        raise ConfigError(
            str(folder),
            expected="no project yet",
            got=f"one of featbank {before.version}, in {PROJECT_NAME}",
            hint=NEWER_HINT
            if before.is_newer
            else "add --upgrade to bring it to this version; params.yaml says what it computes",
        )
    layout = parsed.corpus or _LAYOUT
    corpus = parsed.name or layout
    place = any_path(parsed.root) if parsed.root is not None else None
    url = parsed.root if isinstance(place, RemotePath) else None
    root = place if isinstance(place, Path) else None
    if root is not None:
        with suppress(RuntimeError):  # of ~nobody, which then is not there
            root = root.expanduser()
        check_root(folder, corpus, root)
    choices = ProjectChoices(
        layout=layout,
        corpus=corpus,
        url=url,
        is_flat=layout == _LAYOUT and root is not None and is_flat(root),
        features=tuple(dict.fromkeys(parsed.feature or _FEATURES)),
    )
    source = source_files()
    laying = plan_laying(folder, chosen_files(source, choices), choices, None)
    folder.mkdir(parents=True, exist_ok=True)
    start_git(folder)
    if root is not None:
        link_audio(folder, corpus, root)
    elif url is not None:
        note_bucket(folder, corpus, url)
    else:
        place_of_audio(folder, corpus).parent.mkdir(exist_ok=True)
    lay_down(folder, laying)  # last: what was stopped before is typed again
    tokens = [f"{one}-{TOKENIZER}" for one in choices.features if is_tokenized(source, one)]
    told = [
        f"{folder}: a project for the corpus {corpus}",
        f"  features: {', '.join(choices.features)}",
        f"  tokens: {', '.join(tokens) or 'none, for these are no frames of floats'}",
    ]
    if root is not None and not any(root.iterdir()):
        told.append(f"  {root} is empty: it is to hold the audio, before dvc repro")
    is_lacking = any(map(lacks_extra, needed_extras(source, choices)))
    _tell(parsed, laying, None, told, list(_next_commands(folder, choices, is_lacking)))


def _upgrade(parsed: argparse.Namespace, before: LaidDown | None) -> None:
    if before is None:
        raise ConfigError(
            str(parsed.folder),
            expected=f"a project, with {PROJECT_NAME}, to upgrade",
            got="none",
            hint="leave out --upgrade to lay one down",
        )
    if before.is_newer:
        raise ConfigError(
            str(parsed.folder),
            expected=f"a project of featbank {__version__} or older, to upgrade",
            got=f"one of {before.version}",
            hint=NEWER_HINT,
        )
    typed = [f"--{one}" for one in ("corpus", "root", "name", "feature") if getattr(parsed, one)]
    if typed:
        hint = "params.yaml and conf/ say what a project computes, and are yours to edit"
        what = ", ".join(typed)
        raise ConfigError(what, expected="nothing beside --upgrade", got="values", hint=hint)
    files = chosen_files(source_files(), before.choices)
    laying = plan_laying(parsed.folder, files, before.choices, before)
    lay_down(parsed.folder, laying)
    is_changed = bool(laying.written or laying.beside)
    done = "is upgraded" if is_changed else "was as this version has it"
    told = f"the project of featbank {before.version} {done}: now of {__version__}"
    _tell(parsed, laying, before, [told], ["featbank check", "dvc repro"] if is_changed else [])


def _next_commands(folder: Path, choices: ProjectChoices, is_lacking: bool) -> Iterator[str]:
    if folder.resolve() != Path.cwd():
        yield f"cd {shlex.quote(str(folder))}"
    place = place_of_audio(Path(), choices.corpus)
    if not (folder / place).exists():
        yield f"ln -s /folder/of/your/audio {place}"
    if is_lacking:
        yield "pip install -r requirements.txt"
    yield "featbank check"
    yield "dvc repro"
    yield "git add . && git commit -m Start"


def _tell(
    parsed: argparse.Namespace,
    laying: Laying,
    before: LaidDown | None,
    told: Sequence[str],
    commands: Sequence[str],
) -> None:
    """Tell what was done, and what to type next."""
    rows = [{"state": state, "path": path} for state, path in _states(laying, before)]
    if parsed.json:
        print_json({"project": str(parsed.folder), "files": rows, "next": commands})
        return
    if not on_terminal():
        print_table([TableColumn(key="state"), TableColumn(key="path")], rows)
    elif before is not None:
        for row in rows:
            print_line(f"{row['state']}: {row['path']}")
    for line in told:
        print_note(line)
    for path in laying.beside:
        edited = path.removesuffix(".new")
        print_note(f"{edited} is as you wrote it; merge {path} into it, and delete that")
    for path in laying.gone:
        print_note(f"{path} is no longer part of a project: delete it, unless it is yours")
    if commands:
        print_note("type next:")
    for command in commands:
        print_note(f"  {command}")


def _states(laying: Laying, before: LaidDown | None) -> Iterator[tuple[str, str]]:
    for path in sorted(laying.written):
        yield ("renewed" if before is not None and path in before.files else "new"), path
    for path in laying.beside:
        yield "beside", path
    for path in laying.gone:
        yield "gone", path
