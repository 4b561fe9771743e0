"""MP3 files: whether their first frame says how long they are.

Encoders put a count of the frames into a first frame without sound, named Xing or Info. Where there
is none, libsndfile guesses a length from the bit rate of the first frame and reads no further: of a
variable bit rate it may leave out half of the file, and call the rest whole.
"""

from __future__ import annotations

from io import BufferedReader

from featbank.containers.tags import skip_tags

_LAYER_III = 0b01
_MPEG_1 = 0b11
_MONO = 0b11
_HAS_FRAMES, _HAS_BYTES = 1, 2
_HEAD = 64  # bytes, in which the count stands


def is_uncounted(file: BufferedReader) -> bool:
    """Tell whether an MP3 lacks the count of its frames, or goes on behind what was counted.

    The latter is what several files in a row do, of which the first counts its own frames.
    """
    at = skip_tags(file)
    head = file.read(_HEAD)
    if _is_frame(head) and not _is_layer_iii(head):
        return False  # layer I or II, which the decoder refuses
    counts = _counts(head)
    flags = int.from_bytes(counts[:4], "big")
    if not flags & _HAS_FRAMES:
        return True
    if not flags & _HAS_BYTES:
        return False
    file.seek(at + int.from_bytes(counts[8:12], "big"))
    behind = file.read(4)
    return behind.startswith(b"ID3") or _is_layer_iii(behind)


def _is_frame(head: bytes) -> bool:
    return len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def _is_layer_iii(head: bytes) -> bool:
    return _is_frame(head) and head[1] >> 1 & 3 == _LAYER_III


def _counts(head: bytes) -> bytes:
    """Return what follows on the name Xing or Info, which stands behind the side information."""
    if not _is_layer_iii(head):
        return b""
    is_mono, is_mpeg_1 = head[3] >> 6 == _MONO, head[1] >> 3 & 3 == _MPEG_1
    side = {(True, True): 17, (False, True): 32, (True, False): 9, (False, False): 17}[
        is_mono, is_mpeg_1
    ]
    for name in (4 + side, 6 + side):  # a checksum may be in front
        if head[name : name + 4] in (b"Xing", b"Info"):
            return head[name + 4 :]
    return b""
