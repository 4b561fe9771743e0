"""Decode the stored codes of an utterance into an audio file, for a listening check."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import soundfile
from numpy.typing import NDArray

from featbank.engine.definition import FeatureDefinition, build_definition
from featbank.errors import ConfigError, StoreError
from featbank.files.provenance import write_atomic
from featbank.store import open_verified
from featbank.store.near_ids import refuse_unknown_id

_FORMATS = ("flac", "wav")


@runtime_checkable
class Decoder(Protocol):
    """An extractor that can decode the one feature it computes: a codec."""

    def decode(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """Synthesise (num_samples,) at the extractor's rate from (Q, T)."""


def decode_utterance(
    definition: FeatureDefinition, features: Path, utterance_id: str, out: Path
) -> float:
    """Decode the codes of one utterance into an audio file of 16 bits; louder samples are clipped.

    Args:
        definition: of a codec, with the weights that made the codes.
        features: holds the codec's stores as `<feature name>/<split>`.
        utterance_id: in any of the splits.
        out: the audio file: `.wav` or `.flac`.

    Returns:
        How long it is, in seconds.

    Raises:
        ConfigError: the extractor decodes nothing, or the file is to be of another format.
        StoreError: no such store or utterance, or the codes are damaged or of another codec.
        WeightsError: the weights cannot be had.
    """
    file_format = out.suffix.removeprefix(".").lower()
    if file_format not in _FORMATS:
        raise ConfigError("out", expected=" or ".join(f"*.{one}" for one in _FORMATS), got=out)
    made = build_definition(definition, Path())
    if not isinstance(made.extractor, Decoder):
        raise ConfigError(
            f"extractor {definition.extractor.target}",
            expected="a codec, whose codes can be decoded",
            got="one that only computes features",
        )
    [name] = made.extractor.outputs
    store = open_verified(features / name)
    if store.fingerprint != made.fingerprints[name]:
        raise StoreError(
            f"codes of store {store.path}",
            expected=f"those of this codec: fingerprint {made.fingerprints[name]}",
            got=store.fingerprint,
            hint="decode with the definition and the weights that they were extracted with",
        )
    refuse_unknown_id(store, utterance_id)
    waveform = made.extractor.decode(store[utterance_id])
    sample_rate = made.extractor.framing.sample_rate
    written = io.BytesIO()
    soundfile.write(written, waveform, sample_rate, format=file_format, subtype="PCM_16")
    write_atomic(out, written.getvalue())
    return len(waveform) / sample_rate
