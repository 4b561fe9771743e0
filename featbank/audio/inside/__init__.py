"""Audio inside other files: it is found, and its bytes are copied to memory for the decoders."""

from featbank.audio.inside.elsewhere import open_elsewhere
from featbank.audio.inside.locating import file_on_disk, find_place
from featbank.audio.inside.parquet import forget_groups
from featbank.audio.inside.payloads import close_payloads, open_payload

__all__ = [
    "close_payloads",
    "file_on_disk",
    "find_place",
    "forget_groups",
    "open_elsewhere",
    "open_payload",
]
