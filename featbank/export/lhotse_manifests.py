"""lhotse's manifests of one utterance in stores: arrays, features, its recording, its cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featbank.audio import UNKNOWN_LENGTH, open_audio
from featbank.base.manifest import MIX_CHANNELS, Utterance
from featbank.base.places import Place
from featbank.base.terms import TERMS
from featbank.errors import StoreError
from featbank.export.rows import ExportField, ExportRow

STORAGE_TYPE = "featbank"
"""What lhotse's manifests call a store; beside it, its folder and the id of an utterance."""

_NO_LETTER = re.compile(r"\W")
_DIGITS = 12  # after which lhotse takes a hop for whole
_RATES = (16000, 24000, 44100, 48000)  # of features whose rate nobody states: one that fits


@dataclass(frozen=True, slots=True, kw_only=True)
class CutField:
    """A field as a cut has it: its features, or an attribute of its own.

    Args:
        field: that is exported.
        is_main: whether it is the cut's features.
    """

    field: ExportField
    is_main: bool

    @property
    def attribute(self) -> str:
        """What the cut calls it."""
        return "features" if self.is_main else _NO_LETTER.sub("_", self.field.name)

    def put(self, cut: Any, row: ExportRow) -> None:
        """Give a cut the manifest of an utterance, which begins where the cut does."""
        if self.is_main:
            cut.features = self._features(cut, row)
        else:
            setattr(cut, self.attribute, self._array(row, cut.start))

    def _array(self, row: ExportRow, start_s: float) -> Any:
        """Return the array of an utterance: one without time where its frames have no rate."""
        from lhotse.array import Array, TemporalArray

        num_frames = row.num_frames(self.field.name)
        array = Array(
            storage_type=STORAGE_TYPE,
            storage_path=row.stores[self.field.name].address,
            storage_key=row.id,
            shape=[num_frames if size is None else size for size in self.field.axes],
        )
        shift_s = frame_shift_s(self.field)
        if shift_s is None:
            return array
        axis = len(self.field.axes) - 1 if self.field.is_codes else 0
        return TemporalArray(array=array, temporal_dim=axis, frame_shift=shift_s, start=start_s)

    def _features(self, cut: Any, row: ExportRow) -> Any:
        """Return the features of an utterance, which last as long as their frames."""
        from lhotse import Features

        temporal = self._array(row, cut.start)
        shift_s, framing = temporal.frame_shift, self.field.header.framing
        own = [cut.recording.sampling_rate] if cut.recording is not None else []
        rates = [*own, *([framing.sample_rate] if framing else []), *_RATES]
        fitting = [rate for rate in rates if round(shift_s * rate, _DIGITS).is_integer()]
        if not fitting:
            raise StoreError(
                f"export of {self.field.name} to lhotse",
                expected="frames a whole number of samples apart, at some rate",
                got=f"{shift_s} s",
            )
        return Features(
            type=self.field.name,
            num_frames=temporal.num_frames,
            num_features=temporal.shape[1],
            frame_shift=shift_s,
            sampling_rate=fitting[0],
            start=cut.start,
            duration=temporal.duration,
            storage_type=temporal.array.storage_type,
            storage_path=temporal.array.storage_path,
            storage_key=temporal.array.storage_key,
            recording_id=cut.recording.id if cut.recording is not None else row.id,
            channels=cut.channel,
        )


def frame_shift_s(field: ExportField) -> float | None:
    """Return the seconds between frames; None where there are none, or they have no rate."""
    header = field.header
    if header.time_axis is None:
        return None
    if header.framing is not None:
        return header.framing.hop_length / header.framing.sample_rate
    return 1 / header.frame_rate if header.frame_rate else None


def is_matrix(field: ExportField) -> bool:
    """Tell whether a field can be a cut's features: floats (T, D) of a frame rate."""
    is_float = field.dtype.kind == "f" and field.header.time_axis == 0
    return is_float and len(field.axes) == 2 and frame_shift_s(field) is not None


def new_cut(row: ExportRow, fields: Sequence[CutField], root: Path | None) -> Any:
    """Make the cut of an utterance, with its audio where the root of that is known.

    With features, it ends with the last frame, if that is before the end of the audio: lhotse would
    repeat a frame to fill a longer one.
    """
    from lhotse import MonoCut, SupervisionSegment

    said = row.utterance
    recording = None if said is None or root is None else _recording(said, root)
    placed = said is not None and recording is not None
    cut = MonoCut(
        id=row.id,
        start=said.start_sample / said.played_rate if said is not None and placed else 0.0,
        duration=said.duration_s if said is not None else 0.0,
        channel=said.channel if said is not None and placed else 0,
        recording=recording,
    )
    for field in fields:
        field.put(cut, row)
    if cut.features is not None:
        frames_s = cut.features.duration
        cut.duration = min(cut.duration, frames_s) if placed else frames_s
    if said is not None:
        cut.supervisions = [
            SupervisionSegment(
                id=row.id,
                recording_id=cut.recording_id,
                start=0,
                duration=cut.duration,
                channel=cut.channel,
                text=said.text or None,
                language=said.language or None,
                speaker=said.speaker or None,
                custom={term: own for term in TERMS if (own := getattr(said, term))} or None,
            )
        ]
    return cut


def _recording(said: Utterance, root: Path) -> Any:
    """Return the recording that is the file of an utterance."""
    problem = "audio inside another file" if Place.parse(said.audio) is not None else ""
    if said.channel == MIX_CHANNELS:
        problem = "the mean of all channels"
    if problem:
        raise StoreError(
            f"utterance {said.id!r} in lhotse's manifest",
            expected="a channel of a file",
            got=problem,
            hint="add the stores to the CutSet that it came from: --set cuts=FILE",
        )
    recording = _file(said.audio, root / said.audio, said.start_sample + said.num_samples)
    return recording if said.speed == 1 else recording.perturb_speed(said.speed)


def _file(audio: str, path: Path, num_samples: int) -> Any:
    """Return the recording of a file, by its header; of some, that does not say the length.

    Args:
        audio: path from the root, which names it.
        path: of the file.
        num_samples: that it has at least.
    """
    from lhotse import AudioSource, Recording

    with open_audio(path) as file:
        if file.frames != UNKNOWN_LENGTH:
            num_samples = file.frames
        return Recording(
            id=str(Path(audio).with_suffix("")),
            sources=[
                AudioSource(type="file", channels=list(range(file.channels)), source=str(path))
            ],
            sampling_rate=file.samplerate,
            num_samples=num_samples,
            duration=num_samples / file.samplerate,
        )
