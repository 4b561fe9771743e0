"""`featbank export STORE ... --to FORMAT OUT`: write stores as the files of another toolkit."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from featbank.base.printing import print_note, size_text
from featbank.base.tables import print_outcome
from featbank.cli.parsing import FINE, add_command
from featbank.errors import ConfigError
from featbank.export import EXPORTS
from featbank.export.exporting import Exported, export_stores
from featbank.export.formats import find_export, parse_options

_TEXT = "write stores as the files of another toolkit"

_VALUES = (
    "Whole or not at all; a stopped run goes on. Values are what a read gives: float32 of bfloat16 "
    "and int8_scaled stores."
)


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands,
        "export",
        _TEXT,
        _run,
        examples=(
            "data/features/demo/fbank --to kaldi exports/kaldi",
            "data/tokens/demo/mfcc-kmeans100 --to nanogpt exports/nanogpt",
        ),
        more=_VALUES,
    )
    command.listing = _formats
    command.add_argument(
        "stores",
        nargs="+",
        metavar="STORE",
        help="folder of a store, or of its splits; NAME=FOLDER gives the feature another name; "
        "several are joined by id",
    )
    command.add_argument(
        "--to",
        nargs=2,
        required=True,
        metavar=("FORMAT", "OUT"),
        help="a format of those below, and the folder to be",
    )
    command.add_argument(
        "--manifests", type=Path, metavar="FOLDER", help="such as data/manifests/CORPUS: for texts"
    )
    command.add_argument(
        "--audio-root", type=Path, metavar="FOLDER", help="of the corpus: for paths of audio"
    )
    command.add_argument(
        "--split", action="append", metavar="NAME", help="only this one; may be repeated"
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the format"
    )
    command.add_argument("--replace", action="store_true", help="write over an earlier export")


def _formats() -> Iterator[str]:
    """List all formats, which are imported only here."""
    yield "formats:"
    for name in sorted({one.name for one in EXPORTS.components()}):
        kind = find_export(name)
        line = (kind.__doc__ or "").partition("\n")[0]
        yield f"  {name:<12}{line}"
        if options := [f"{one.name}={_typed(one.default)}" for one in fields(kind)]:
            yield f"  {'':<12}--set {' '.join(options)}"


def _typed(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _run(parsed: argparse.Namespace) -> int:
    name, out = parsed.to
    kind = find_export(name)
    export = parse_options(name, kind, _options(parsed.set))
    exported = export_stores(
        export,
        parsed.stores,
        out,
        manifests=parsed.manifests,
        audio_root=parsed.audio_root,
        splits=parsed.split,
        replace=parsed.replace,
    )
    told = {**asdict(exported), "out": str(exported.out)}
    print_outcome(told, _sentence(exported), as_json=parsed.json)
    if exported.num_failures and not parsed.json:
        print_note(f"utterances that failed, and are not in it: {exported.num_failures:,}")
    return FINE


def _options(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        option, sign, value = one.partition("=")
        if not sign or option in found:
            raise ConfigError(
                f"--set {one}",
                expected="OPTION=VALUE, each option once",
                got="the option again" if sign else "no value",
            )
        found[option] = value
    return found


def _sentence(exported: Exported) -> str:
    size = size_text(exported.num_bytes)
    text = f"{exported.num_utterances:,} utterances, {exported.num_files:,} files, {size}"
    if exported.was_there:
        text += ": there already, made from the same"
    elif exported.num_kept:
        text += f", {exported.num_kept:,} of the files kept from a stopped run"
    return f"{exported.out}: {text}"
