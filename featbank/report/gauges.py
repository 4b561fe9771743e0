"""Gauges of tokens: codebook usage, entropy, bitrates and token rates, from counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log2

from featbank.validation.rounding import six_digits
from featbank.validation.usage import CodebookUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Gauges of one codebook, or of several together.

    Of K codes, let n_k frames of N have code k, and p_k = n_k / N, in s seconds of audio. Where
    runs of equal codes are merged, r_k runs of R have it, and q_k = r_k / R. Several codebooks are
    deduplicated each on its own.

    Args:
        codes_used: share of the codes that occur, |{k: n_k > 0}| / K.
        dead_codes: those that do not, |{k: n_k = 0}|.
        entropy_bits: of a code by its frequency alone (unigram), H = sum of p_k log2(1 / p_k).
        perplexity: exp of that entropy in nats, 2^H: so many evenly used codes have it.
        token_rate: codes a second, N / s.
        bitrate: bit/s with every code written in as many bits, log2(K) N / s.
        bitrate_entropy_coded: bit/s of the best code for single codes of these frequencies
            (Shannon, 1948), H N / s.
        token_rate_deduplicated: codes a second without repeats, R / s.
        bitrate_deduplicated: log2(K) R / s; durations are left out here and below.
        bitrate_deduplicated_entropy_coded: R / s times the entropy of q.
    """

    codes_used: float
    dead_codes: int
    entropy_bits: float
    perplexity: float
    token_rate: float
    bitrate: float
    bitrate_entropy_coded: float
    token_rate_deduplicated: float
    bitrate_deduplicated: float
    bitrate_deduplicated_entropy_coded: float

    def rounded(self) -> dict[str, float]:
        """Return the gauges by name, to six significant digits."""
        return {
            name: value if isinstance(value, int) else six_digits(value)
            for name, value in asdict(self).items()
        }


def entropy_bits(counts: Sequence[int]) -> float:
    """Return the entropy of the shares of some counts, in bits; 0 where nothing was counted.

    >>> entropy_bits([5, 5, 0, 10])
    1.5
    """
    total = sum(counts)
    return sum(count / total * log2(total / count) for count in counts if count)


def codebook_gauges(usage: CodebookUsage, audio_s: float) -> Gauges:
    """Return the gauges of a codebook of which some code occurs.

    Args:
        usage: of its codes; at least one was counted.
        audio_s: seconds of audio that they stand for, over 0.
    """
    num_codes, entropy = len(usage.frames), entropy_bits(usage.frames)
    dead = usage.frames.count(0)
    rate, merged_rate = sum(usage.frames) / audio_s, sum(usage.runs) / audio_s
    return Gauges(
        codes_used=1 - dead / num_codes,
        dead_codes=dead,
        entropy_bits=entropy,
        perplexity=2**entropy,
        token_rate=rate,
        bitrate=rate * log2(num_codes),
        bitrate_entropy_coded=rate * entropy,
        token_rate_deduplicated=merged_rate,
        bitrate_deduplicated=merged_rate * log2(num_codes),
        bitrate_deduplicated_entropy_coded=merged_rate * entropy_bits(usage.runs),
    )


def store_gauges(codebooks: Sequence[CodebookUsage] | None, audio_s: float) -> list[Gauges]:
    """Return the gauges of each codebook of a store; none where there are no tokens to gauge."""
    if not codebooks or not audio_s or not all(sum(one.frames) for one in codebooks):
        return []
    return [codebook_gauges(one, audio_s) for one in codebooks]


def together(gauges: Sequence[Gauges]) -> Gauges:
    """Return the gauges of all codebooks of a store together.

    Rates, bits and dead codes are summed: the entropy is that of a frame, were its codes
    independent. The share of codes used and the perplexity are means over the codebooks.
    """
    columns = {name: [asdict(one)[name] for one in gauges] for name in asdict(gauges[0])}
    means = ("codes_used", "perplexity")
    return Gauges(
        **{
            name: sum(values) / len(values) if name in means else sum(values)
            for name, values in columns.items()
        }
    )
