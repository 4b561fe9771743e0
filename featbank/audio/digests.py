"""Digests of audio files, as manifests hold them."""

from __future__ import annotations

import hashlib
import os
from io import BufferedReader
from pathlib import Path

from featbank.audio.containers import open_container, skip_tags
from featbank.errors import AudioError

_FLAC_HEADER = 42  # "fLaC", a block header, and STREAMINFO, which ends with the MD5 of the samples


def audio_digest(path: str | Path) -> str:
    """Return the digest of a file's audio: `md5:<hex>` of a FLAC's samples, else `sha256:<hex>`.

    A FLAC's header holds the MD5 of its samples, so retagging a file changes no digest, be the tags
    in it or before it. The encoder may have left it at zero; then, and for any other format, it is
    the SHA-256 of the file's bytes.

    Raises:
        AudioError: the file is missing, empty, unreadable, no audio or cut short.
        OSError: the machine failed, not the file.
    """
    file, _ = open_container(path)
    with file:
        return digest_of(file)


def digest_of(file: BufferedReader, sha256: str = "") -> str:
    """Return the `audio_digest` of an open file, whose SHA-256 may be known."""
    md5 = _flac_md5(file)
    if md5:
        return md5
    if sha256:
        return f"sha256:{sha256}"
    file.seek(0)
    return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def check_digest(path: str | Path, file: BufferedReader, expected: str) -> None:
    """Refuse an open file whose digest is not the one that its manifest row holds.

    Its bytes are read once for all of its segments, as long as nothing about it changes. Of a FLAC
    the header is read alone: whoever decodes it holds the samples against that.

    Raises:
        AudioError: it is another file.
    """
    found = _flac_md5(file) or f"sha256:{_sha256(path, file)}"
    if found != expected:
        raise AudioError(
            f"audio {path} has changed since the manifest was made",
            kind="changed",
            expected=expected,
            got=found,
            hint="run python stages/prepare.py again",
        )


def _flac_md5(file: BufferedReader) -> str:
    """Return the digest that a FLAC's header holds; empty when it holds none, or is none."""
    skip_tags(file)
    head = file.read(_FLAC_HEADER)
    md5 = head[26:]
    return f"md5:{md5.hex()}" if head.startswith(b"fLaC") and len(md5) == 16 and any(md5) else ""


def _sha256(path: str | Path, file: BufferedReader) -> str:
    now = os.fstat(file.fileno())
    stamp = (
        os.fspath(path), now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns
    )  # fmt: skip
    found = _KNOWN.get(stamp)
    if found is None:
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if len(_KNOWN) >= _MAX_KNOWN:
            _KNOWN.clear()
        _KNOWN[stamp] = found
    return found


_MAX_KNOWN = 1024
_KNOWN: dict[tuple[str | int, ...], str] = {}  # digests by what `stat` told of the file then
