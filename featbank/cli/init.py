"""`featbank init`: lay down a project, or bring one to this version."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from featbank import __version__
from featbank.base.printing import print_line
from featbank.errors import ConfigError
from featbank.files.remote import is_remote
from featbank.project.chosen_files import (
    PROJECT_NAME,
    TOKENIZER,
    ProjectChoices,
    chosen_files,
    is_tokenized,
)
from featbank.project.laying import Laying, lay_down, plan_laying
from featbank.project.record import LaidDown, read_laid_down
from featbank.project.source import source_files
from featbank.project.starting import (
    check_root,
    link_audio,
    note_bucket,
    place_of_audio,
    start_git,
)

_LAYOUT = "folder"
_FEATURES = ("mfcc",)
_FOR_REPORTS = ("jinja2", "matplotlib")


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "lay down a project in a folder: choices, definitions, stages and the settings of DVC"
    command = commands.add_parser("init", help=text, description=text)
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
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    folder: Path = parsed.folder
    before = read_laid_down(folder)
    source = source_files()
    choices = _upgraded(parsed, before) if parsed.upgrade else _chosen(parsed, before)
    files = chosen_files(source, choices)
    laying = plan_laying(folder, files, choices, before)
    root = None if parsed.root is None or is_remote(parsed.root) else Path(parsed.root).expanduser()
    if root is not None:
        check_root(folder, root)
    lay_down(folder, laying)
    if before is not None:
        _tell_upgrade(before, laying)
        return 0
    start_git(folder)
    if root is not None:
        link_audio(folder, choices.corpus, root)
    elif choices.url is not None:
        note_bucket(folder, choices.corpus, choices.url)
    else:
        place_of_audio(folder, choices.corpus).parent.mkdir(exist_ok=True)
    tokens = [f"{one}-{TOKENIZER}" for one in choices.features if is_tokenized(source, one)]
    _tell_start(folder, choices, tokens, laying)
    return 0


def _chosen(parsed: argparse.Namespace, before: LaidDown | None) -> ProjectChoices:
    if before is not None:
        raise ConfigError(
            str(parsed.folder),
            expected="no project yet",
            got=f"one of featbank {before.version}, in {PROJECT_NAME}",
            hint="add --upgrade to bring it to this version; params.yaml says what it computes",
        )
    layout = parsed.corpus or _LAYOUT
    return ProjectChoices(
        layout=layout,
        corpus=parsed.name or layout,
        url=parsed.root if parsed.root is not None and is_remote(parsed.root) else None,
        features=tuple(dict.fromkeys(parsed.feature or _FEATURES)),
    )


def _upgraded(parsed: argparse.Namespace, before: LaidDown | None) -> ProjectChoices:
    if before is None:
        raise ConfigError(
            str(parsed.folder),
            expected=f"a project, with {PROJECT_NAME}, to upgrade",
            got="none",
            hint="leave out --upgrade to lay one down",
        )
    if typed := [
        f"--{name}" for name in ("corpus", "root", "name", "feature") if getattr(parsed, name)
    ]:
        hint = "params.yaml and conf/ say what a project computes, and are yours to edit"
        raise ConfigError(
            ", ".join(typed), expected="nothing beside --upgrade", got="values", hint=hint
        )
    return before.choices


def _tell_start(folder: Path, choices: ProjectChoices, tokens: list[str], laying: Laying) -> None:
    told = f"features {', '.join(choices.features)}"
    if tokens:
        told += f"; tokens {', '.join(tokens)}"
    print_line(f"{folder}: a project for the corpus {choices.corpus}: {told}")
    for name in laying.beside:
        print_line(f"  {name}: merge it into your own file, and delete it")
    print_line("type next:")
    for command in _next_commands(folder, choices):
        print_line(f"  {command}")


def _next_commands(folder: Path, choices: ProjectChoices) -> Iterator[str]:
    if folder.resolve() != Path.cwd():
        yield f"cd {shlex.quote(str(folder))}"
    place = place_of_audio(Path(), choices.corpus)
    if not (folder / place).exists():
        yield f"ln -s /folder/of/your/audio {place}"
    if any(find_spec(name) is None for name in _FOR_REPORTS):
        yield "pip install -r requirements.txt"
    yield "featbank check"
    yield "dvc repro"
    yield "git add . && git commit -m Start"


def _tell_upgrade(before: LaidDown, laying: Laying) -> None:
    for name in laying.written:
        print_line(f"{'renewed' if name in before.files else 'new'}: {name}")
    for name in laying.beside:
        edited = name.removesuffix(".new")
        print_line(f"{name}: what this version has; you edited {edited}: merge it, and delete it")
    for name in laying.gone:
        print_line(f"no longer part of a project: {name}")
    done = "was as this version has it" if not (laying.written or laying.beside) else "is upgraded"
    print_line(f"the project of featbank {before.version} {done}: now of {__version__}")
    if laying.written or laying.beside:
        print_line("type next: featbank check, then dvc repro")
