"""`featbank card PLACE`: write the card of a corpus or a store, Markdown with a hub's head."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featbank.base.printing import print_json
from featbank.base.tables import print_outcome
from featbank.cards.markdown import dataset_card
from featbank.cards.reading import is_corpus, read_subject
from featbank.cli.parsing import FINE, Run, add_command
from featbank.errors import ConfigError
from featbank.files.provenance import write_atomic
from featbank.store.remote.elsewhere import path_here

OF_STORE = (
    "A store of speech features or tokens, made by featbank: HDF5 shards with a header, a folder a "
    "split."
)
OF_CORPUS = (
    "A speech corpus as featbank has prepared it: manifests, an utterance a line. The audio is not "
    "among them."
)


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_place(
        commands,
        "card",
        "write the dataset card of a corpus or a store",
        _run,
        examples=(
            "data/manifests/demo",
            "data/features/demo/fbank --manifests data/manifests/demo --to C.md",
        ),
    )
    command.add_argument(
        "--to", type=Path, metavar="FILE", help="such as README.md; else it is printed"
    )


def add_place(
    commands: Any, name: str, text: str, run: Run, *, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """Add a command that is given manifests or a store; return its parser."""
    command = add_command(commands, name, text, run, examples=examples)
    command.add_argument(
        "place",
        metavar="PLACE",
        help="data/manifests/CORPUS, or the folder of a store or of its splits",
    )
    command.add_argument(
        "--manifests",
        type=Path,
        metavar="FOLDER",
        help="of a store: such as data/manifests/CORPUS, for licences, languages and hours",
    )
    command.add_argument("--replace", action="store_true", help="write over a file that is there")
    return command


def checked_place(parsed: argparse.Namespace, out: Path | None) -> tuple[Path, str]:
    """Return the folder that is meant, and a sentence about what is there.

    Raises:
        ConfigError: manifests of manifests, or something is at `out` and is not to be replaced.
        StoreError: it is a URL.
    """
    place = path_here(parsed.place)
    if is_corpus(place) and parsed.manifests is not None:
        raise ConfigError(
            "--manifests", expected="none, as PLACE is a corpus itself", got=parsed.manifests
        )
    if out is not None and out.exists() and not parsed.replace:
        raise ConfigError(
            f"file {out}", expected="a free place", got="something there", hint="give --replace"
        )
    return place, OF_CORPUS if is_corpus(place) else OF_STORE


def _run(parsed: argparse.Namespace) -> int:
    place, made = checked_place(parsed, parsed.to)
    text = dataset_card(read_subject(place, parsed.manifests), made=made)
    if parsed.to is not None:
        write_atomic(parsed.to, text)
        told = {"out": str(parsed.to), "place": str(place)}
        print_outcome(told, f"{parsed.to}: the card of {place}", as_json=parsed.json)
    elif parsed.json:
        print_json({"place": str(place), "text": text})
    else:
        sys.stdout.write(text)
    return FINE
