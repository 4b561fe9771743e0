"""Parsers of audio containers: what a header states is compared with the bytes in the file."""

from featbank.audio.containers.container import TOLERANCES, Container, PlainSamples
from featbank.audio.containers.flac import check_flac_end
from featbank.audio.containers.kinds import check_container
from featbank.audio.containers.opening import (
    open_archive,
    open_container,
    open_file,
    read_through,
)
from featbank.audio.containers.tags import skip_tags

__all__ = [
    "TOLERANCES",
    "Container",
    "PlainSamples",
    "check_container",
    "check_flac_end",
    "open_archive",
    "open_container",
    "open_file",
    "read_through",
    "skip_tags",
]
