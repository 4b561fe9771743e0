"""The speed that a worker is expected to have, and where it is known from."""

from __future__ import annotations

from dataclasses import dataclass

from featbank.engine.forecast.rates import MeasuredRate
from featbank.engine.forecast.timing import TimedSample
from featbank.numerics import CPU

_NOT_AHEAD = 1.1  # decoding that is not faster than the whole by more than this is what holds it up


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a worker makes shards of audio, and what its device could do.

    Args:
        device: what it is called; `cpu`, or torch's name of the GPU.
        real_time_factor: seconds of audio a second that a worker takes from files to shards.
        decoding_factor: the same of its decoders alone, over this corpus; None if unknown.
        device_factor: the same of its device alone, audio always ready; None if unknown.
        num_decoders: threads that decode.
        batch_s: seconds of audio that were computed together.
        origin: where this is known from, for people.
    """

    device: str
    real_time_factor: float
    decoding_factor: float | None
    device_factor: float | None
    num_decoders: int
    batch_s: float
    origin: str

    @property
    def told(self) -> str:
        """Where it is known from; the device first, unless that is this machine's processor."""
        on = "" if self.device == CPU else f"on {self.device}, "
        return f"{on}{self.origin}"

    @property
    def is_starved(self) -> bool:
        """Whether the device waits for decoders."""
        if self.decoding_factor is None:
            return False
        if self.device_factor is not None:
            return self.decoding_factor < self.device_factor
        return self.decoding_factor < _NOT_AHEAD * self.real_time_factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoders:
    """What the decoders of this machine give of a corpus.

    Args:
        factor: seconds of audio a second, of all threads together; None where it is not known.
        num_threads: that were timed.
        share: of that which one worker has, where workers share this machine.
    """

    factor: float | None = None
    num_threads: int = 1
    share: float = 1.0

    def of(self, num_threads: int) -> float | None:
        """Return what so many threads would give, each as fast as one of this machine."""
        return None if self.factor is None else self.factor / self.num_threads * num_threads


def timed_speed(
    sample: TimedSample, device: str, decoders: Decoders, batch_s: float = 0.0
) -> Speed | None:
    """Return the speed that a sample had on this machine; None where all of it failed.

    Args:
        sample: that was timed.
        device: what it is called.
        decoders: of this machine.
        batch_s: seconds of audio that were computed together.
    """
    if sample.real_time_factor is None:
        return None
    return Speed(
        device=device,
        real_time_factor=sample.real_time_factor,
        decoding_factor=None if decoders.factor is None else decoders.factor * decoders.share,
        device_factor=None,
        num_decoders=decoders.num_threads,
        batch_s=batch_s,
        origin="timed on this machine",
    )


def known_speed(rate: MeasuredRate, decoders: Decoders, num_decoders: int | None) -> Speed:
    """Return the speed that a measured rate promises for a corpus.

    Args:
        rate: of the extractor on some device.
        decoders: of this machine, which stand for those that the run will have.
        num_decoders: threads that the run asks for; None takes as many as were measured.
    """
    threads = num_decoders or rate.num_decoders
    decoding = decoders.of(threads)
    together = f"in batches of {rate.batch_s:g} s" if rate.batch_s else "each utterance alone"
    return Speed(
        device=rate.device,
        real_time_factor=min(rate.real_time_factor, decoding or rate.real_time_factor),
        decoding_factor=decoding,
        device_factor=rate.computing_factor,
        num_decoders=threads,
        batch_s=rate.batch_s,
        origin=f"measured {rate.date} with {rate.machine}, {together}",
    )
