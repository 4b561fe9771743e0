"""Utterances as sequences of text and speech in one vocabulary, for language models."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from featbank.base.label_forms import LabelSource, find_labels, has_labels, open_labels
from featbank.base.labels import Labels, frame_centers_s
from featbank.base.units import Units, deduplicate
from featbank.dataset.features import FeatureDataset
from featbank.dataset.tokens.encoded import UnitEncoder
from featbank.dataset.tokens.packed_windows import IGNORED
from featbank.dataset.tokens.speech_tasks import Piece, Segment, SpeechTask
from featbank.errors import ConfigError, StoreError
from featbank.files.provenance import digest
from featbank.sequences import Vocabulary
from featbank.sequences.alignment import word_frames
from featbank.sequences.checks import check_range
from featbank.store import StoreHeader

SILENCES = ("", "sil", "SIL", "sp", "spn", "<eps>", "<sil>")
"""Labels that are no words, as aligners write them."""


class TokenSequence(NamedTuple):
    """A sequence (L,), or with B before it a padded batch of them."""

    tokens: torch.Tensor
    """(L,) int64, ids of the vocabulary."""
    is_speech: torch.Tensor
    """(L,) bool: ids of speech; the others are text or special tokens."""
    loss_mask: torch.Tensor
    """(L,) bool: whether a token is a target, predicted from those before."""
    lengths: torch.Tensor
    """() int64, or (B,): tokens without padding."""

    @property
    def labels(self) -> torch.Tensor:
        """The tokens that are targets, -100 elsewhere: not shifted, as transformers' models ask."""
        return self.tokens.masked_fill(~self.loss_mask, IGNORED)


def _stack(batch: Sequence[TokenSequence], *, collate_fn_map: Any = None) -> TokenSequence:  # noqa: ARG001
    """Stack sequences of one length: what a `DataLoader` without `collate_fn` calls."""
    lengths = sorted({len(one.tokens) for one in batch})
    if len(lengths) > 1:
        raise ConfigError(
            "sequences of a batch without collate_fn",
            expected="one length",
            got=" and ".join(map(str, lengths[:2])),
            hint="DataLoader(sequences, collate_fn=sequences.collate) pads them; PackedSequences "
            "lays them into windows",
        )
    return TokenSequence(*map(torch.stack, zip(*batch, strict=True)))


default_collate_fn_map[TokenSequence] = _stack


class TextAndSpeech(Dataset[TokenSequence]):
    """Utterances with their texts as sequences of one vocabulary: an item is a `TokenSequence`.

    A sequence is, in this order: the task's mark, and for each piece of text or speech the mark of
    its kind and its ids; then the end mark. Codes (Q, T) are given frame by frame, each codebook
    with its own ids.

    Targets are what the task says, with the end mark, and the mark of a piece whose neighbours are
    targets both; never the first token. What is drawn follows from the seed, the epoch and the id.
    """

    def __init__(
        self,
        dataset: FeatureDataset,
        task: SpeechTask,
        *,
        vocabulary: Vocabulary,
        tokenize: Callable[[str], Sequence[int]],
        units: str | None = None,
        labels: Labels | LabelSource | str | Path | None = None,
        silences: Sequence[str] = SILENCES,
        deduplicated: bool = False,
        encoder: UnitEncoder | None = None,
        text_mark: str = "<text>",
        speech_mark: str = "<speech>",
        end_mark: str = "<end>",
        together: int = 1,
        within: str | None = None,
        seed: int = 0,
        epoch: int = 0,
    ) -> None:
        """Prepare sequences.

        Args:
            dataset: with a store of units (T,) or codes (Q, T), and the field `text` of a manifest.
            task: `TextToSpeech()`, `SpeechToText()` or `Interleaved()`.
            vocabulary: that has ids for all of it.
            tokenize: gives the ids of a text, below `vocabulary.text_size`; of a tokenizer of
                transformers `lambda text: tokenizer(text, add_special_tokens=False).input_ids`.
            units: the name of the store; of the only one by default.
            labels: aligned words, as `featbank.base.label_forms` opens them, for what is
                interleaved at words. The words are then the labels, with a space between them.
            silences: labels that are no words; they go with the word before them.
            deduplicated: merge runs of equal units of a piece.
            encoder: of the units of a piece, after that.
            text_mark: the special token before a piece of text.
            speech_mark: the one before a piece of speech.
            end_mark: the one behind all.
            together: consecutive utterances of a sequence, at most.
            within: a field of the manifest, such as `part` or `speaker`, which is the same in all
                utterances of a sequence.
            seed: of what is drawn.
            epoch: of what is drawn; `in_epoch` gives another.

        Raises:
            ConfigError: the vocabulary lacks something, labels are missing, or numbers do not fit.
        """
        self._dataset = dataset
        self.task = task
        self.vocabulary = vocabulary
        # of NumPy's integers too, which would be another key
        self.epoch = operator.index(epoch)
        self._tokenize = tokenize
        self._seed = operator.index(seed)
        self._silences = frozenset(silences)
        self._deduplicated = deduplicated
        self._encoder = encoder
        self._store = dataset.stores[_store_name(dataset, units)]
        self._check_units()
        self._marks = {
            True: vocabulary.special_id(speech_mark),
            False: vocabulary.special_id(text_mark),
        }
        self.padding = self._end = vocabulary.special_id(end_mark)
        """What batches and windows are padded with: the end mark, which is no target there."""
        self._begin = [] if task.mark is None else [vocabulary.special_id(task.mark)]
        self._labels = (
            open_labels(labels) if isinstance(labels, LabelSource | str | Path) else labels
        )
        if within is not None:
            self._check_field(within)
        self._check_texts()
        if together < 1:
            raise ConfigError("together", expected="1 or more utterances", got=together)
        self._starts = self._passages(together, within)

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> TokenSequence:
        """Return a sequence."""
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"expected an index within {len(self)} sequences, got {index}")
        first, stop = self._starts[number % len(self)], self._starts[number % len(self) + 1]
        segments = [one for row in range(first, stop) for one in self._segments(row)]
        key = self._seed, self.epoch, self._dataset.id(int(first))
        tokens = [np.array(self._begin, np.int64)]
        targets = [np.zeros(len(self._begin), bool)]
        was_target = False
        for piece in self.task.pieces(segments, key):
            ids = np.array([self._marks[piece.is_speech], *self._ids(piece)], np.int64)
            mask = np.full(len(ids), piece.is_target)
            mask[0] &= was_target
            was_target = piece.is_target
            tokens.append(ids)
            targets.append(mask)
        tokens.append(np.array([self._end]))
        targets.append(np.array([True]))
        ids = np.concatenate(tokens)
        mask = np.concatenate(targets)
        mask[0] = False
        return TokenSequence(
            torch.from_numpy(ids),
            torch.from_numpy(ids >= self.vocabulary.audio_offsets[0]),
            torch.from_numpy(mask),
            torch.tensor(len(ids)),
        )

    def made_from(self) -> str:
        """Return a digest of what sequences follow from, but the tokenizer and the encoder."""
        return digest(
            [
                self._store.fingerprint,
                [shard.digest for shard in self._store.shards],
                [self._dataset.id(int(first)) for first in self._starts[:-1]],
                repr(self.task),
                self.vocabulary.to_json(),
                [self._marks[True], self._marks[False], self._end, *self._begin],
                [self._deduplicated, self._seed, self.epoch],
            ]
        )

    def in_epoch(self, epoch: int) -> TextAndSpeech:
        """Return these sequences as they are drawn in another epoch."""
        other = copy.copy(self)
        other.epoch = operator.index(epoch)
        return other

    def collate(self, items: Sequence[TokenSequence]) -> TokenSequence:
        """Make a padded batch: the `collate_fn` of a `DataLoader`."""
        lengths = torch.stack([item.lengths for item in items])
        longest = int(lengths.max())

        def padded(rows: Sequence[torch.Tensor], value: int) -> torch.Tensor:
            return torch.stack(
                [torch.nn.functional.pad(row, (0, longest - len(row)), value=value) for row in rows]
            )

        return TokenSequence(
            padded([item.tokens for item in items], self.padding),
            padded([item.is_speech for item in items], value=False),
            padded([item.loss_mask for item in items], value=False),
            lengths,
        )

    def _ids(self, piece: Piece) -> Units:
        """Return the ids of the text, or speech, of a piece."""
        if not piece.is_speech:
            text = " ".join(one.text for one in piece.segments)
            ids = _integer_ids(self._tokenize(text), text)
            check_range(f"token ids of {text[:40]!r}", ids, self.vocabulary.text_size)
            return ids
        frames = np.concatenate([*self._spoken(piece.segments)], axis=-1)
        if self._deduplicated:
            frames, _ = deduplicate(frames)
        if self._encoder is not None:
            frames = self._encoder.encode(frames)
        ids = self.vocabulary.encode_audio(frames)
        return ids if ids.ndim == 1 else ids.T.reshape(-1)

    def _spoken(self, segments: Sequence[Segment]) -> Iterator[Units]:
        """Give the units of segments, utterance by utterance."""
        first = 0
        while first < len(segments):
            index, stop = segments[first].utterance, first
            while stop < len(segments) and segments[stop].utterance == index:
                stop += 1
            # the words of an utterance lie one after the other, with no frame between
            start, end = segments[first].frames.start, segments[stop - 1].frames.stop
            yield self._store[self._dataset.id(index)][..., start:end]
            first = stop

    def _segments(self, index: int) -> list[Segment]:
        """Return the words of an utterance, or the utterance."""
        utterance_id = self._dataset.id(index)
        num_frames = self._store.num_frames(utterance_id)
        if self.task.at == "utterances":
            return [Segment(self._dataset.texts(index)["text"], index, range(num_frames))]
        assert self._labels is not None
        found = find_labels(self._labels, utterance_id)
        assert found is not None
        spoken = [n for n, label in enumerate(found.labels) if label not in self._silences]
        if not spoken:
            return [Segment("", index, range(num_frames))]
        frames = word_frames(found.starts_s[spoken], _centers_s(self._store.header, num_frames))
        return [
            Segment(found.labels[number], index, some)
            for number, some in zip(spoken, frames, strict=True)
        ]

    def _passages(self, together: int, within: str | None) -> npt.NDArray[np.int64]:
        """Return the first utterance of each sequence, then how many utterances there are."""
        if together == 1 or not len(self._dataset):
            return np.arange(len(self._dataset) + 1)
        starts, last = [0], None
        for index in range(len(self._dataset)):
            value = None if within is None else self._dataset.texts(index)[within]
            if index and (value != last or index - starts[-1] == together):
                starts.append(index)
            last = value
        return np.array([*starts, len(self._dataset)], np.int64)

    def _check_units(self) -> None:
        header, sizes = self._store.header, self.vocabulary.codebook_sizes
        where = f"store {self._store.storage_path}"
        if self._store.dtype.kind not in "iu" or len(header.shape) > 1 or header.time_axis is None:
            raise StoreError(
                where,
                expected="integers (T,) or (Q, T)",
                got=f"frames of shape {header.shape}, {header.dtype}",
            )
        num_codebooks = header.shape[0] if header.shape else 1
        if header.shape and (self._deduplicated or self._encoder is not None):
            raise ConfigError(
                "deduplicated or encoder", expected="none, for there are codes (Q, T)", got="one"
            )
        size = header.codebook_size
        if self._encoder is not None:
            if size not in (None, self._encoder.num_units):
                raise ConfigError(
                    "encoder", expected=f"one of {size} units", got=self._encoder.num_units
                )
            size = self._encoder.vocab_size
        if len(sizes) != num_codebooks or (size is not None and set(sizes) != {size}):
            raise ConfigError(
                "codebook_sizes of the vocabulary",
                expected=[size or "any"] * num_codebooks,
                got=list(sizes),
            )

    def _check_texts(self) -> None:
        """Refuse utterances without a text or without aligned words now, not within training."""
        if self.task.at == "words":
            if self._labels is None:
                raise ConfigError("labels", expected="a file of aligned words", got="none")
            _centers_s(self._store.header, 0)
        else:
            self._check_field("text")
        for index in range(len(self._dataset)):
            utterance_id = self._dataset.id(index)
            if self.task.at == "words":
                is_there = self._labels is not None and has_labels(self._labels, utterance_id)
            else:
                is_there = bool(self._dataset.texts(index).get("text"))
            if not is_there:
                raise ConfigError(
                    f"utterance {utterance_id!r}",
                    expected="aligned words" if self.task.at == "words" else "a text",
                    got="none",
                    hint="choose others by FeatureDataset(ids=...)",
                )

    def _check_field(self, name: str) -> None:
        if len(self._dataset) and name not in (found := self._dataset.texts(0)):
            raise ConfigError(
                "fields of the dataset",
                expected=f"{name} among them",
                got=", ".join(found) or "none",
                hint=f"FeatureDataset(..., manifest=..., fields=[{name!r}, ...])",
            )


def _integer_ids(given: Any, text: str) -> npt.NDArray[np.int64]:
    """Return what a tokenizer gave as ids; nothing else, which an array would make integers of."""
    try:
        ids = np.asarray(given)
    except ValueError:  # lists of several lengths
        ids = np.array(None)
    if ids.shape != (0,) and (ids.ndim != 1 or ids.dtype.kind not in "iu"):
        raise ConfigError(
            f"what tokenize gives for {text[:40]!r}",
            expected="a list of integers",
            got=repr(given)[:80],
            hint="of a tokenizer of transformers: "
            "lambda text: tokenizer(text, add_special_tokens=False).input_ids",
        )
    return ids.astype(np.int64)


def _store_name(dataset: FeatureDataset, name: str | None) -> str:
    if name is None and len(dataset.stores) == 1:
        return next(iter(dataset.stores))
    if name not in dataset.stores:
        raise ConfigError(
            "units", expected=" or ".join(dataset.stores), got="none" if name is None else name
        )
    return name


def _centers_s(header: StoreHeader, num_frames: int) -> npt.NDArray[np.float64]:
    """Return the time of the middle of each frame, (num_frames,), from the utterance's start.

    Raises:
        ConfigError: the store does not say.
    """
    if header.framing is not None:
        return frame_centers_s(header.framing, num_frames)
    if header.frame_rate is None or header.first_frame_center_s is None:
        raise ConfigError(
            f"frames of store {header.name!r}",
            expected="a framing, or frame_rate and first_frame_center_s, to hold words against",
            got="none: where runs of units are merged, frames have no time",
        )
    # as they are written, so that a middle that is a word's border to the last digit is equal to
    # it: whole numbers, whose quotient is rounded once, whatever their size
    first, rate = Fraction(str(header.first_frame_center_s)), Fraction(str(header.frame_rate))
    start, step = first.numerator * rate.numerator, first.denominator * rate.denominator
    whole = first.denominator * rate.numerator
    middles = [(start + number * step) / whole for number in range(num_frames)]
    return np.array(middles, np.float64)
