"""Parsers of the commands, alike in their options, examples, errors and exit statuses."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from featbank import PROGRAM
from featbank.base.nearest import did_you_mean, near_choice

FINE, FOUND, MISTYPED, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: all is fine; something is wrong, which was looked for or stopped the command; what
is typed makes no sense; after Ctrl-C, as shells give it."""

_EXAMPLE = 74  # columns of a line of an example
_EXAMPLES = (f"  {PROGRAM} ", "      ")

Run = Callable[[argparse.Namespace], int]


class CommandHelp(argparse.RawDescriptionHelpFormatter):
    """Help whose texts keep their lines, each wrapped to the width of the terminal."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = []
        for line in text.splitlines():
            if line.startswith(_EXAMPLES):  # to be copied
                lines.append(line)
                continue
            own = " " * (len(line) - len(line.lstrip()))
            more = 2 * own  # of a list's entry
            lines += textwrap.wrap(
                line.strip(), width, initial_indent=indent + own, subsequent_indent=indent + more
            ) or [""]
        return "\n".join(lines)


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line, which ends with what to type next."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=CommandHelp, **options)
        self._typed: Sequence[str] = ()
        self.listing: Callable[[], Iterable[str]] = tuple
        """Lines below the help, made only where somebody reads them."""

    def format_help(self) -> str:
        """Return the help, with what it lists."""
        if listed := list(self.listing()):
            self.epilog = "\n".join([*([self.epilog, ""] if self.epilog else []), *listed])
            self.listing = tuple
        return super().format_help()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is typed; here, and not further up, for this parser knows what is near."""
        self._typed = list(sys.argv[1:] if args is None else args)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """End with the exit status for what is mistyped."""
        hint = near_choice(message)
        if hint:
            message = message.partition(" (choose from")[0]
        hint = hint or self._near_flag() or self._stage() or f"{self.prog} --help has examples"
        self.exit(MISTYPED, f"{self.prog}: {message}; {hint}\n")

    def _near_flag(self) -> str:
        known = [flag for one in self._actions for flag in one.option_strings if flag[:2] == "--"]
        for word in self._typed:
            flag = word.partition("=")[0]
            if flag[:1] == "-" and not any(one.startswith(flag) for one in known):
                return did_you_mean(flag, known)
        return ""

    def _stage(self) -> str:
        script = Path("stages", f"{next(iter(self._typed), '')}.py")
        return f"it is a stage: python {script}" if script.is_file() else ""


def add_command(
    commands: Any,
    name: str,
    text: str,
    run: Run,
    *,
    examples: Sequence[str],
    more: str = "",
    trouble: int = FOUND,
    has_json: bool = True,
) -> CommandParser:
    """Add a command; return its parser.

    Args:
        commands: the parsers of all commands, that argparse has made.
        name: of the command.
        text: what it does, in a line.
        run: carries it out, and returns its exit status.
        examples: what may be typed behind the name.
        more: what else its help says.
        trouble: exit status where an error ends it.
        has_json: whether it prints data, which `--json` gives to programs.
    """
    lines = [f"{text[0].upper()}{text[1:]}.", *(["", more] if more else [])]
    shown = ["examples:"]
    for one in examples:
        parts = textwrap.wrap(f"{PROGRAM} {name} {one}", _EXAMPLE, break_on_hyphens=False)
        shown.append("  " + " \\\n      ".join(parts))
    command: CommandParser = commands.add_parser(
        name, description="\n".join(lines), epilog="\n".join(shown)
    )
    if has_json:
        command.add_argument("--json", action="store_true", help="print JSON, for programs")
    command.set_defaults(run=run, trouble=trouble, examples=tuple(examples), text=text)
    return command
