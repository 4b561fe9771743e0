"""Tags before the audio of a file: ID3, which MP3, AAC and even FLAC files may begin with."""

from __future__ import annotations

from io import BufferedReader

_FOOTER = 0x10


def skip_tags(file: BufferedReader) -> int:
    """Put a file behind the ID3 tags that it begins with, or at its start; return where that is."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or not head.startswith(b"ID3"):
            break
        length = 0
        for byte in head[6:]:  # seven bits each
            length = length << 7 | byte & 0x7F
        footer = 10 if head[5] & _FOOTER else 0
        at += 10 + length + footer
    file.seek(at)
    return at
