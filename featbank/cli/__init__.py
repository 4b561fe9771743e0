"""Command line `featbank`: looks at stores, checks, compares and exports them."""

from featbank.cli.command_line import main

__all__ = ["main"]
