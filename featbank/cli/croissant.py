"""`featbank croissant PLACE OUT.json`: write Croissant 1.1 metadata of a corpus or a store."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

from featbank.base.progress import progress_bar
from featbank.base.tables import print_outcome
from featbank.cards.croissant import Publisher, croissant
from featbank.cards.reading import files_of, read_subject
from featbank.cli.card import add_place, checked_place
from featbank.cli.parsing import FINE
from featbank.files.provenance import readable_json, write_atomic


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_place(
        commands,
        "croissant",
        "write Croissant 1.1 metadata of a corpus or a store",
        _run,
        examples=(
            "data/manifests/demo croissant.json",
            "data/tokens/demo/mfcc-kmeans100 croissant.json --version 1.0.0",
        ),
    )
    command.add_argument("out", type=Path, metavar="OUT.json", help="paths in it start there")
    command.add_argument("--url", default="", help="where the dataset is published")
    command.add_argument("--creator", default="", metavar="NAME", help="who made it")
    command.add_argument("--date", type=_day, metavar="DAY", help="of publication: 2026-11-30")
    command.add_argument("--version", default="", help="of the dataset: 1.0.0")
    command.add_argument("--cite", default="", metavar="TEXT", help="what to cite")


def _day(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a day: 2026-11-30, got {text!r}") from error


def _run(parsed: argparse.Namespace) -> int:
    place, told = checked_place(parsed, parsed.out)
    subject = read_subject(place, parsed.manifests)
    files = files_of(place, parsed.manifests)
    publisher = Publisher(
        url=parsed.url,
        creator=parsed.creator,
        date=parsed.date or "",
        version=parsed.version,
        citation=parsed.cite,
    )
    with progress_bar("read for digests", len(files), unit="files") as advance:
        said = croissant(
            subject,
            files,
            parsed.out.parent,
            told=told,
            publisher=publisher,
            advance=advance,
        )
    write_atomic(parsed.out, readable_json(said))
    done = {
        "out": str(parsed.out),
        "num_files": len(files),
        "num_utterances": subject.num_utterances,
    }
    sentence = f"{parsed.out}: {len(files):,} files, {subject.num_utterances:,} utterances"
    print_outcome(done, sentence, as_json=parsed.json)
    return FINE
