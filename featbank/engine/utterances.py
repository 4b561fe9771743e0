"""Decode utterances and compute their features in one process, each alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from featbank.audio.recording import Recording
from featbank.base.manifest import Utterance
from featbank.engine.calling import Caller, Features
from featbank.engine.reading import Audio, AudioReader
from featbank.errors import AudioError
from featbank.features.base import Extractor


class UtteranceComputer:
    """Computes the features of utterances alone and unpadded, in the threads that torch has.

    Args:
        extractor: that is loaded.
        reader: of the audio.
        num_decoders: threads that decode ahead.
    """

    def __init__(self, extractor: Extractor, reader: AudioReader, num_decoders: int) -> None:
        self._call = Caller(extractor)
        self._reader = reader
        self._num_decoders = num_decoders

    def __call__(
        self, rows: Sequence[Utterance], split: str
    ) -> Iterator[tuple[Utterance, Iterator[Features]]]:
        """Compute rows, not always in their order.

        Yields:
            Each row with the consecutive pieces of its features, to be taken before the next row;
            they raise an AudioError where it cannot be computed.
        """
        # files that cannot seek are decoded once if their segments are read one after the other
        in_files = sorted(rows, key=lambda row: (row.audio, row.start_sample))
        for row, audio in self._reader.read_ahead(in_files, self._num_decoders):
            yield row, self._pieces(row, audio, split)

    def _pieces(self, row: Utterance, audio: Future[Audio], split: str) -> Iterator[Features]:
        """Compute one utterance: in pieces where it is a long recording.

        Raises:
            AudioError: the utterance cannot be read or computed.
        """
        read = audio.result()
        if isinstance(read, Recording):
            yield from self._call.pieces(row, read, split)
            return
        [features] = self._call.each([row], [read], None, split)
        if isinstance(features, AudioError):
            raise features
        yield features
