"""`python -m featbank`: what has been computed, for people, and as JSON for programs."""

from featbank.cli.command_line import main

__all__ = ["main"]
