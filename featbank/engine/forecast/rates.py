"""Measured rates: how fast machines computed and stored features, in a table kept as JSON.

`python -m benchmarks.gpu --rates FILE` writes such a table, and forecasts read it. An extractor is
known in it by what its speed depends on, so that rates of random weights hold for published ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from featbank.base.components import Component, meaning, original
from featbank.errors import FeatbankError
from featbank.features.base import Extractor
from featbank.files.json_files import read_json
from featbank.files.provenance import digest, readable_json, write_atomic
from featbank.files.records import record

_SAY_WHICH_WEIGHTS = frozenset({"weights", "weights_sha256", "license", "seed", "revision"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRate:
    """How fast one worker took an extractor's features from audio files to shards on a disk.

    Args:
        option: name of the definition, for people.
        extractor: `cost_digest` of what computed.
        device: `device_name` of where.
        machine: processor and number of cores, for people.
        date: of the measurement, YYYY-MM-DD.
        batch_s: seconds of audio computed together, padding included; 0 for each utterance alone.
        num_decoders: threads that decoded.
        real_time_factor: seconds of audio a second, from files to shards.
        computing_factor: the same of the forward pass alone, its batches on the device already.
        decoding_factor: the same of one thread that decodes and does nothing else.
        stored_bytes_per_s: of values written.
    """

    option: str
    extractor: str
    device: str
    machine: str
    date: str
    batch_s: float
    num_decoders: int
    real_time_factor: float
    computing_factor: float
    decoding_factor: float
    stored_bytes_per_s: float

    def __post_init__(self) -> None:
        """Refuse rates that nothing can have.

        Raises:
            ValueError: one is not above 0.
        """
        for name in ("real_time_factor", "computing_factor", "decoding_factor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected above 0, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class RateTable:
    """Rates that were measured, one for each extractor, device and size of batches.

    Args:
        rates: in the order in which they were measured.
    """

    rates: Sequence[MeasuredRate] = ()

    def fastest(self, extractor: Extractor, batch_s: float | None = None) -> list[MeasuredRate]:
        """Return the rate of an extractor on each device that has one, the fastest device first.

        Args:
            extractor: whose.
            batch_s: of a run: rates at it are preferred to others of the same device.
        """
        key = cost_digest(extractor)
        best: dict[str, MeasuredRate] = {}
        for one in sorted(
            (one for one in self.rates if one.extractor == key),
            key=lambda one: (one.batch_s == batch_s, one.real_time_factor),
        ):
            best[one.device] = one
        return sorted(best.values(), key=lambda one: -one.real_time_factor)

    def with_new(self, new: Iterable[MeasuredRate]) -> RateTable:
        """Return the table with new rates in place of older ones of the same."""
        kept = {_key(one): one for one in self.rates}
        for one in new:
            kept.pop(_key(one), None)
            kept[_key(one)] = one
        return RateTable(tuple(kept.values()))


def cost_digest(extractor: Extractor) -> str:
    """Return a digest of what the speed of an extractor depends on: all but its weights' values."""
    return digest(_costs(extractor))[:16]


def device_name(device: str) -> str:
    """Return what a device is called in the table: torch's name of the GPU, or `cpu`."""
    return torch.cuda.get_device_name() if device == "cuda" else device


def read_rates(path: str | Path) -> RateTable:
    """Read a table.

    Raises:
        FeatbankError: there is none, or it is damaged.
    """
    found = read_json(path, what="table of rates", error=FeatbankError)
    try:
        rates = found["rates"]
        return RateTable(tuple(record(MeasuredRate, one) for one in rates))
    except (KeyError, TypeError, ValueError) as wrong:
        raise FeatbankError(
            f"table of rates {path}",
            expected="what `python -m benchmarks.gpu --rates FILE` writes",
            got=wrong,
        ) from wrong


def add_rates(path: str | Path, new: Iterable[MeasuredRate]) -> RateTable:
    """Write rates into a table, which is begun where there is none; return all that it holds.

    Raises:
        FeatbankError: what is there is no table.
    """
    before = read_rates(path) if Path(path).exists() else RateTable()
    table = before.with_new(new)
    write_atomic(path, readable_json({"rates": [asdict(one) for one in table.rates]}))
    return table


def _key(rate: MeasuredRate) -> tuple[str, str, float]:
    return rate.extractor, rate.device, rate.batch_s


def _costs(value: Any) -> Any:
    """Return a component as JSON values, without what only says which weights it has."""
    if isinstance(value, Component):
        kind = original(type(value))
        name = value.registry.name_of(kind) if value.registry else None
        bound = Component.deciding(value)  # of subclasses, some leave out what weights stand for
        return {
            "name": name or f"{kind.__module__}.{kind.__qualname__}",
            "version": value.version,
            "arguments": {
                name: _costs(one) for name, one in bound.items() if name not in _SAY_WHICH_WEIGHTS
            },
        }
    if isinstance(value, Mapping):
        return {str(key): _costs(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_costs(one) for one in value]
    return meaning(value, "an argument")
