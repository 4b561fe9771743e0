"""Warn of what will hold a run up, a line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from featbank.base.amounts import amount, percent, times_real_time
from featbank.engine.forecast.decoding import DecodedKind
from featbank.engine.forecast.forecasting import Forecast
from featbank.engine.forecast.kinds import AudioKind, KindLeft

_TOO_OFTEN = 1.5  # times the audio that is used


def advice(forecast: Forecast) -> Iterator[str]:
    """Yield what will hold the run up, and what to do."""
    if not forecast.num_left:
        return
    if forecast.rewriting:
        yield forecast.rewriting
    yield from _in_other_batches(forecast)
    yield from _starved(forecast)
    if forecast.decoding is not None:
        for kind, found in forecast.decoding.kinds.items():
            yield from _decoded_again(kind, found, forecast.audio[kind])
    if forecast.resampled_s:
        yield (
            f"{hours(forecast.resampled_s)} of audio "
            f"({percent(forecast.resampled_s / forecast.left_s)}) are resampled to "
            f"{forecast.target_rate:,} Hz, which costs more than to decode FLAC: convert once what "
            "is read often"
        )
    if forecast.num_tasks < forecast.num_workers:
        idle = forecast.num_workers - forecast.num_tasks
        yield (
            f"{forecast.num_workers:,} workers have {forecast.num_tasks:,} tasks: {idle:,} idle; "
            "start fewer, or lower task_s"
        )


def _in_other_batches(forecast: Forecast) -> Iterator[str]:
    """Warn where a rate was measured with other batches than the run will have."""
    for speed in forecast.speeds:
        if speed.batch_s != forecast.batch_s:
            yield (
                f"{speed.device} was measured with {speed.batch_s:g} s computed together, and this "
                f"run computes {forecast.batch_s:g} s: set batch_s={speed.batch_s:g} to have its "
                "rate"
            )


def _starved(forecast: Forecast) -> Iterator[str]:
    """Warn where a device waits for decoders: of the slowest kinds by name."""
    for speed in forecast.speeds:
        if not speed.is_starved or speed.decoding_factor is None:
            continue
        could = speed.device_factor
        yield (
            f"{speed.device} waits for audio: {speed.num_decoders:,} decoders of a worker give "
            f"{times_real_time(speed.decoding_factor)}"
            + (f", and it could take {times_real_time(could)}" if could else "")
            + f"{_slowest(forecast)}; give a worker more processors and num_decoders, or convert "
            f"the audio to FLAC of {forecast.target_rate:,} Hz"
        )


def _slowest(forecast: Forecast) -> str:
    """Name the kind that takes most of the decoders' time, where there are several."""
    if forecast.decoding is None or len(forecast.decoding.kinds) < 2:
        return ""
    seconds = {
        kind: found.decoded_s(forecast.audio[kind]) / found.real_time_factor
        for kind, found in forecast.decoding.kinds.items()
        if found.real_time_factor is not None
    }
    if not seconds:
        return ""
    kind = max(seconds, key=lambda one: seconds[one])
    return f", {percent(seconds[kind] / sum(seconds.values()))} of that time for {kind}"


def _decoded_again(kind: AudioKind, found: DecodedKind, left: KindLeft) -> Iterator[str]:
    """Warn of segments that are found by decoding all before them."""
    decoded_s = found.decoded_s(left)
    if found.can_seek is False and decoded_s > _TOO_OFTEN * left.audio_s:
        yield (
            f"{kind} cannot seek: for {hours(left.audio_s)} of its segments at least "
            f"{hours(decoded_s)} are decoded, from the start of a file each time that a worker "
            "comes to it; convert to FLAC, or raise task_s"
        )


def hours(seconds: float) -> str:
    """Return a length of time for people: in seconds below an hour.

    >>> hours(7200), hours(90)
    ('2.0 h', '90.0 s')
    """
    return f"{amount(seconds / 3600, 1)} h" if seconds >= 3600 else f"{amount(seconds, 1)} s"
