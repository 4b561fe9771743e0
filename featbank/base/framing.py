"""Exact frame arithmetic: how many frames a waveform gives, and where each one lies in time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from featbank.errors import FeatbankError

_WHOLE = 1 << 62  # a hop behind the end of any waveform


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """The frame grid of a feature, in samples of `sample_rate`.

    A chain of unpadded convolutions has the same grid as one window of its receptive field hopped
    by the product of its strides, and one that pads has the grid of a padded waveform: so this
    covers signal features, encoders and codecs alike.

    Args:
        sample_rate: of the waveform that enters the extractor, in Hz.
        window_length: samples seen by one frame.
        hop_length: samples between frames.
        snip_edges: True keeps only windows that lie inside the waveform; False is Kaldi's other
            grid, `round(num_samples / hop_length)` frames over a mirrored edge.
        left: samples that the extractor puts before the waveform, such as half a window.
        right: samples that it puts behind it.
    """

    sample_rate: int
    window_length: int
    hop_length: int
    snip_edges: bool = True
    left: int = 0
    right: int = 0

    def num_frames(self, num_samples: int) -> int:
        """Return the exact number of frames of `num_samples` samples.

        >>> wav2vec2 = Framing(sample_rate=16000, window_length=400, hop_length=320)
        >>> [wav2vec2.num_frames(n) for n in (399, 400, 719, 720, 16000)]
        [0, 1, 1, 2, 49]
        >>> kaldi = dict(sample_rate=16000, window_length=400, hop_length=160)
        >>> Framing(**kaldi).num_frames(16000), Framing(**kaldi, snip_edges=False).num_frames(16000)
        (98, 100)

        Whisper's log-mel frames are centred on each hop, and the last is dropped; a codec pads its
        last frame.

        >>> Framing(**kaldi, left=200, right=40).num_frames(16000)
        100
        >>> codec = Framing(sample_rate=24000, window_length=320, hop_length=320, right=319)
        >>> [codec.num_frames(n) for n in (0, 1, 320, 321)]
        [0, 1, 1, 2]
        """
        if not self.snip_edges:
            return (num_samples + self.hop_length // 2) // self.hop_length
        padded = self.left + num_samples + self.right
        if num_samples < 1 or padded < self.window_length:
            return 0
        return 1 + (padded - self.window_length) // self.hop_length

    def span(self, frames: range) -> range:
        """Return the positions of the samples that some consecutive frames see.

        >>> kaldi = dict(sample_rate=16000, window_length=400, hop_length=160)
        >>> Framing(**kaldi).span(range(10, 12))
        range(1600, 2160)

        Where edges are padded or mirrored, positions lie before the waveform and behind it.

        >>> Framing(**kaldi, snip_edges=False).span(range(2))
        range(-120, 440)
        """
        first = -self.left if self.snip_edges else self.hop_length // 2 - self.window_length // 2
        last = (frames.stop - 1) * self.hop_length
        return range(frames.start * self.hop_length + first, last + first + self.window_length)

    @property
    def min_samples(self) -> int:
        """The shortest waveform, in samples, that gives a frame."""
        if not self.snip_edges:
            return self.hop_length - self.hop_length // 2
        return max(1, self.window_length - self.left - self.right)

    @classmethod
    def whole(cls, *, sample_rate: int, min_samples: int = 1) -> Framing:
        """Return the grid of what has one value an utterance: one frame, however long it is.

        Args:
            sample_rate: of the waveform that enters the extractor, in Hz.
            min_samples: the shortest waveform that gives a value.

        >>> embedding = Framing.whole(sample_rate=16000, min_samples=400)
        >>> [embedding.num_frames(n) for n in (399, 400, 16000 * 3600)], embedding.is_whole
        ([0, 1, 1], True)
        """
        return cls(sample_rate=sample_rate, window_length=min_samples, hop_length=_WHOLE)

    @property
    def is_whole(self) -> bool:
        """Whether there is one value an utterance, which has no place in time."""
        return self.hop_length == _WHOLE

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def first_frame_center_s(self) -> float:
        """Time of the middle of the first frame, in seconds from the utterance's start."""
        center = self.window_length / 2 - self.left if self.snip_edges else self.hop_length / 2
        return center / self.sample_rate

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, without the padding where there is none."""
        fields = asdict(self)
        return {key: fields[key] for key in fields if key not in ("left", "right") or fields[key]}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Framing:
        """Build a grid from what `to_json` returned."""
        return cls(**fields)


def frame_counts(waveforms: Any, framing: Framing) -> list[int]:
    """Return the exact numbers of frames of the utterances of a padded batch.

    Frames are no fixed share of the samples, so that a share of the padded frames, rounded, is one
    off with some batch mates. Samples are: the share of an utterance gives their exact number.

    Args:
        waveforms: a pair of the padded waveforms (B, N) and of each utterance's share of N, as
            speechbrain's `PaddedData` is: `frame_counts(batch.sig, framing)`. Or numbers of samples
            in place of the shares.
        framing: of the feature. Speechbrain's `Fbank` at 16 kHz has a frame of 400 samples each 160
            and half a frame of padding at both ends, `left=200, right=200`.

    Raises:
        FeatbankError: the batch is too long for shares in this precision: 2**23 samples in float32.
    """
    padded, lengths = waveforms
    longest = int(padded.shape[1])
    shares = lengths.tolist()
    if not all(isinstance(share, float) for share in shares):
        return [framing.num_frames(int(number)) for number in shares]
    # half a unit in the last place of a share must stay under half a sample
    bits = 53 if "64" in str(lengths.dtype) else 24 if "32" in str(lengths.dtype) else 8
    if longest >= 2 ** (bits - 1):
        raise FeatbankError(
            "lengths of waveforms",
            expected=f"under {2 ** (bits - 1)} samples, where shares in {lengths.dtype} are exact",
            got=longest,
            hint="give numbers of samples, or of frames",
        )
    return [framing.num_frames(round(share * longest)) for share in shares]
