"""The command line: its commands, and how each of them may end."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from featbank import __version__
from featbank.cli import head, info, ls, summary, verify
from featbank.cli.output import printable
from featbank.errors import FeatbankError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells give it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parsed = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # ids are Unicode, terminals need not be
            stream.reconfigure(errors="backslashreplace")
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        status = run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough: `featbank ls STORE | head`
        # Python flushes standard output once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FeatbankError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {printable(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="featbank", description="Speech features and tokens.")
    parser.add_argument("--version", action="version", version=f"featbank {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (summary, info, ls, verify, head):
        command.add_to(commands)
    return parser
