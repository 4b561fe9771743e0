"""Pieces of a long recording on their way from the thread that computes to the one that writes."""

from __future__ import annotations

from collections.abc import Iterator

from featbank.engine.calling import Features
from featbank.engine.device.crew import Channel
from featbank.errors import AudioError

AHEAD = 2
"""Pieces that are computed before they are written."""


class Pieces:
    """The pieces of one recording, which may end by an error.

    Args:
        channel: that they go through, one recording after the other.
    """

    def __init__(self, channel: Channel[Features | AudioError | None]) -> None:
        self._channel = channel
        self._is_wanted = True
        self._has_ended = False

    def send(self, pieces: Iterator[Features]) -> None:
        """Send all pieces, or as many as are wanted."""
        try:
            for piece in pieces:
                if not self._is_wanted:
                    break
                self._channel.put(piece)
        except AudioError as error:
            self._channel.put(error)
        self._channel.put(None)

    def __iter__(self) -> Iterator[Features]:
        """Take the pieces.

        Raises:
            AudioError: what the pieces ended by.
        """
        while True:
            piece = self._channel.get()
            if piece is None:
                self._has_ended = True
                return
            if isinstance(piece, AudioError):
                raise piece
            yield piece

    def close(self) -> None:
        """Take no more; what is sent yet is dropped."""
        self._is_wanted = False
        while not self._has_ended:
            self._has_ended = self._channel.get() is None
