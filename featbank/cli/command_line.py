"""Entry point of the command line: its commands, and the exit status of each outcome."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from featbank import PROGRAM, __version__
from featbank.base.printing import printable
from featbank.base.progress import tell_on_stderr
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
    init,
    ls,
    summary,
    verify,
    where,
)
from featbank.cli.parsing import INTERRUPTED, MISTYPED, CommandParser
from featbank.errors import ConfigError, FeatbankError
from featbank.files.streams import guarded

COMMANDS = {
    "start a project": (init,),
    "look at stores": (summary, ls, info, head),
    "check": (check, verify, doctor),
    "compare": (compare, diff),
    "people in the data": (where, forget),
    "take out": (export, cmvn, card, croissant),
}
"""The commands, each in a module of its name, by what a person wants."""

_STATUSES = f"""exit statuses:
  0  fine
  1  something is wrong: it was looked for and found, or nothing could be done
  2  mistyped; of diff, too, that something could not be read

In a pipe, tables are tab-separated values, and --json gives JSON.
{PROGRAM} COMMAND --help has examples. The stages are scripts: python stages/extract.py --help"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    Raises:
        SystemExit: help was asked for, the arguments are none of ours, or nobody reads on.
    """
    with guarded():
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # ids are Unicode, terminals need not be
                stream.reconfigure(errors="backslashreplace")
        tell_on_stderr()
        parser = command_parser()
        if not (sys.argv[1:] if arguments is None else arguments):
            parser.print_help(sys.stderr)
            return MISTYPED
        parsed = parser.parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = parsed.run
        try:
            return run(parsed)
        except (FeatbankError, OSError) as error:
            with suppress(OSError):
                sys.stderr.write(f"{type(error).__name__}: {printable(str(error))}\n")
            return MISTYPED if isinstance(error, ConfigError) else int(parsed.trouble)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("featbank"):
                raise
            package = error.name.partition(".")[0]
            sys.stderr.write(
                f"{PROGRAM} {parsed.command}: expected the package {package}, got none; pip "
                "install featbank, with all that it needs (docs/install.md)\n"
            )
            return int(parsed.trouble)
        except KeyboardInterrupt:
            return INTERRUPTED


def command_parser() -> CommandParser:
    """Return the parser of the whole command line."""
    parser = CommandParser(prog=PROGRAM, description="Speech features and discrete tokens.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    lines = []
    for wanted, modules in COMMANDS.items():
        lines.append(f"{wanted}:")
        for module in modules:
            module.add_to(commands)
            name = module.__name__.rpartition(".")[2]
            lines.append(f"  {name:<10} {commands.choices[name].get_default('text')}")
        lines.append("")
    parser.listing = lambda: [*lines, _STATUSES]
    return parser
