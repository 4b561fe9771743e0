"""Audio files: their containers are checked, and they are decoded, resampled and scanned."""

from featbank.audio.containers import TOLERANCES
from featbank.audio.decoding import AudioFile, go_to, open_audio, read_blocks
from featbank.audio.digests import audio_digest
from featbank.audio.inside import file_on_disk, find_place, forget_groups
from featbank.audio.passes import close_passes
from featbank.audio.patience import ReadPatience
from featbank.audio.reading import DECODE_VERSION, load_audio, read_segment
from featbank.audio.resampling import length_at, resample, resampled_length
from featbank.audio.scanning import AudioScan, scan_audio
from featbank.audio.sndfile import UNKNOWN_LENGTH
from featbank.audio.versions import decided_by, version_here

__all__ = [
    "DECODE_VERSION",
    "TOLERANCES",
    "UNKNOWN_LENGTH",
    "AudioFile",
    "AudioScan",
    "ReadPatience",
    "audio_digest",
    "close_passes",
    "decided_by",
    "file_on_disk",
    "find_place",
    "forget_groups",
    "go_to",
    "length_at",
    "load_audio",
    "open_audio",
    "read_blocks",
    "read_segment",
    "resample",
    "resampled_length",
    "scan_audio",
    "version_here",
]
