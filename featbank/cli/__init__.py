"""Command line `python -m featbank`: lists and checks stores, for people and as JSON."""

from featbank.cli.command_line import main

__all__ = ["main"]
