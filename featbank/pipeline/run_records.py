"""Record of how long a stage took on this machine, for `featbank summary`."""

from __future__ import annotations

from featbank.base.progress import Stopwatch
from featbank.files.provenance import readable_json, write_atomic
from featbank.pipeline.sections import Knobs


def record_run(config: Knobs, name: str, watch: Stopwatch, audio_s: float, **counts: float) -> None:
    """Record how long a stage took on this machine for how much audio, and its other counts."""
    fields = {"audio_s": audio_s, "seconds": watch.seconds, **counts}
    write_atomic(config.runtime.records / f"{name}.json", readable_json(fields))
