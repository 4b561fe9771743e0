"""Entry point of the command line: its commands, and the exit status of each outcome."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from featbank import __version__
from featbank.base.printing import printable
from featbank.cli import (
    card,
    check,
    cmvn,
    compare,
    croissant,
    diff,
    doctor,
    export,
    forget,
    head,
    info,
    ls,
    summary,
    verify,
    where,
)
from featbank.errors import FeatbankError
from featbank.files.streams import guarded

_COMMANDS = (
    summary,
    check,
    doctor,
    info,
    ls,
    verify,
    head,
    diff,
    compare,
    where,
    forget,
    export,
    cmvn,
    card,
    croissant,
)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells give it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    Raises:
        SystemExit: help was asked for, the arguments are none of ours, or nobody reads on.
    """
    with guarded():
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # ids are Unicode, terminals need not be
                stream.reconfigure(errors="backslashreplace")
        parsed = _parser().parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = parsed.run
        try:
            return run(parsed)
        except (FeatbankError, OSError) as error:
            with suppress(OSError):
                sys.stderr.write(f"{type(error).__name__}: {printable(str(error))}\n")
            return getattr(parsed, "trouble", 1)  # of a command to which 1 means another thing
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("featbank"):
                raise
            needed = error.name.partition(".")[0]
            sys.stderr.write(
                f"ConfigError: featbank {parsed.command}: expected the package {needed}, got none; "
                "pip install featbank, with all that it needs (docs/install.md)\n"
            )
            return getattr(parsed, "trouble", 1)
        except KeyboardInterrupt:
            return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="featbank", description="Speech features and tokens.")
    parser.add_argument("--version", action="version", version=f"featbank {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in _COMMANDS:
        command.add_to(commands)
    return parser
