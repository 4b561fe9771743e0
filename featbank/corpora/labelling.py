"""Labels of a corpus as `prepare` meets them: wrong ones are said before any file is decoded."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from featbank.base.failures import Failure
from featbank.base.label_forms import LabelSource, has_labels, open_labels
from featbank.base.manifest import UtteranceTuple
from featbank.base.speeds import speed_prefix
from featbank.corpora.base import Corpus, CorpusRow
from featbank.corpora.joining import Take
from featbank.errors import CorpusError

_log = logging.getLogger(__name__)


class Labelling:
    """Holds the labels of a corpus against its rows, and counts the utterances that have some.

    Args:
        corpus: whose `labels` are held against it; one without has nothing to tell.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._labels = None
        if corpus.labels is not None:
            self._source = LabelSource.of(corpus.labels, str(corpus.root))
            self._labels = open_labels(self._source)
        self._is_met = self._labels is None
        self._first = ""
        self._num_labelled = self._num_utterances = 0

    def meet(self, row: CorpusRow) -> None:
        """Look for labels of a row, until one has some; those are read, so that a fault is told.

        Raises:
            CorpusError: the labels are missing or malformed.
            ConfigError: they need a package that is not installed.
        """
        if self._is_met:
            return
        assert self._labels is not None
        self._first = self._first or row.id
        for one in self._ids(row):
            if self._labels.name_of(one) is not None:
                self._labels.find(one, 0 if self._corpus.each_channel else None)
                self._is_met = True
                return

    def require_any(self) -> None:
        """Refuse labels of which none is of a row of the corpus.

        Raises:
            CorpusError: there are such.
        """
        if self._is_met or not self._first:
            return
        assert self._labels is not None
        names = self._labels.names()
        raise CorpusError(
            f"labels {self._source.path}",
            expected=f"those of utterances of {self._corpus.name}, such as {self._first!r}",
            got=f"none; {len(names)} of others, such as {min(names)!r}" if names else "none",
            hint="ids of labels are paths below corpus.labels, or stand in its files",
        )

    def counted(self, take: Take) -> Take:
        """Return what counts the utterances that have labels, and hands all on."""
        labels = self._labels
        if labels is None:
            return take

        def count(
            row: CorpusRow, number: int, split: str, become: UtteranceTuple | Failure
        ) -> None:
            if isinstance(become, UtteranceTuple):
                self._num_utterances += 1
                self._num_labelled += has_labels(labels, become.id)
            take(row, number, split, become)

        return count

    def log(self) -> None:
        """Tell how many utterances have labels, if the corpus has labels."""
        if self._labels is not None:
            _log.info(
                "%s: %d of %d utterances have labels, in %s",
                self._corpus.name, self._num_labelled, self._num_utterances, self._source.path,
            )  # fmt: skip

    def _ids(self, row: CorpusRow) -> Iterator[str]:
        """Give the ids that utterances of a row have, or would have of two channels."""
        channels = ("-ch0", "-ch1") if self._corpus.each_channel else ()
        for speed in (1.0, *self._corpus.speeds):
            yield from (f"{speed_prefix(speed)}{row.id}{channel}" for channel in ("", *channels))
