"""Channels as corpora and their definitions name them."""

from __future__ import annotations

from featbank.base.failures import brief
from featbank.base.manifest import MIX_CHANNELS
from featbank.errors import ConfigError, FeatbankError

_CHANNEL_DIGITS = 4


def parse_channel(
    text: str, where: str, error: type[FeatbankError] = ConfigError, *, others: str = ""
) -> int | None:
    """Read a channel: an index from 0, `mix`, or nothing; an error names `others`, too.

    >>> parse_channel("1", ""), parse_channel("mix", "") == MIX_CHANNELS, parse_channel("", "")
    (1, True, None)

    Raises:
        FeatbankError: as `error`, for anything else.
    """
    if not text:
        return None
    if text == "mix":
        return MIX_CHANNELS
    if text.isascii() and text.isdigit() and len(text) <= _CHANNEL_DIGITS:
        return int(text)
    raise error(where, expected=f"an index from 0, or mix{others}", got=brief(repr(text)))
