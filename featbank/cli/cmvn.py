"""`featbank cmvn STORE OUT`: means and variances of features, of a corpus or of each speaker."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from featbank.base.tables import print_outcome
from featbank.cli.parsing import FINE
from featbank.cli.stores import add_store_command
from featbank.feature_io.cmvn import compute_cmvn
from featbank.feature_io.cmvn_file import BY, write_cmvn


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "write means and variances of features, by corpus or speaker"
    command = add_store_command(
        commands,
        "cmvn",
        text,
        _run,
        examples=(
            "--by corpus data/features/demo/mfcc mfcc.safetensors --manifests data/manifests/demo",
            "--by speaker data/features/demo/mfcc mfcc.safetensors --manifests data/manifests/demo",
        ),
    )
    command.add_argument("out", type=Path, metavar="OUT", help="the file: a .safetensors")
    command.add_argument(
        "--manifests",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="data/manifests/CORPUS",
    )
    command.add_argument("--by", choices=BY, required=True, help="what statistics are of")
    command.add_argument(
        "--split",
        action="append",
        metavar="NAME",
        help="whose frames count, again for several (by corpus: train; by speaker: all)",
    )


def _run(parsed: argparse.Namespace) -> int:
    cmvn = compute_cmvn(parsed.store, parsed.manifests, by=parsed.by, splits=parsed.split)
    write_cmvn(parsed.out, cmvn)
    told = {
        "out": str(parsed.out),
        "by": cmvn.by,
        "splits": cmvn.provenance["splits"],
        "num_speakers": len(cmvn.speakers),
        "num_frames": int(cmvn.num_frames[0]),
    }
    of = f"{len(cmvn.speakers):,} speakers" if cmvn.by == "speaker" else "the corpus"
    said = f"{parsed.out}: {of}, {told['num_frames']:,} frames of {', '.join(told['splits'])}"
    print_outcome(told, said, as_json=parsed.json)
    return FINE
