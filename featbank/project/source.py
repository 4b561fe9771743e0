"""Files that every project begins with: those of this repository's own tree, but the demo's.

A wheel carries them in one archive, which its build packs; a checkout has them at its root. The
build imports this module, so it stands on the standard library alone.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ARCHIVE = "files.zip"
"""Beside this module, in an installed package."""

_PLAIN = (".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitattributes", "params.yaml")
_PATTERNS = ("conf/*.yaml", "conf/**/*.yaml", "conf/forgotten.json", "stages/*.py")
_OF_DEMO = "conf/corpus/demo.yaml"

_OF_PACKAGE = "# of the package, and of no project\n"
_IGNORED = "# audio, or links to where it is\n/corpora\n"

# DVC sees the code of a checkout, and not what pip installs: there it asks at each `dvc repro`
_CODE_DEPS = "    deps: [conf/corpus, conf/feature, conf/tokenizer, featbank, stages/code.py]\n"
_CODE_ASKED = (
    "    always_changed: true  # the code of an installed package is no file of the project\n"
    "    deps: [conf/corpus, conf/feature, conf/tokenizer, stages/code.py]\n"
)

_MADE_AT = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can say


def source_files() -> Mapping[str, bytes]:
    """Return the content of each file, by its path in a project."""
    archive = Path(__file__).with_name(ARCHIVE)
    if not archive.is_file():
        return dict(_of_checkout(Path(__file__).parents[2]))
    with zipfile.ZipFile(archive) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def pack(root: Path) -> bytes:
    """Return the archive of a checkout: the same bytes wherever it is packed.

    Args:
        root: of the checkout, or of an unpacked source distribution.

    Raises:
        ValueError: a file lacks a line that a project has otherwise.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(_of_checkout(root)):
            archive.writestr(zipfile.ZipInfo(name, _MADE_AT), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _of_checkout(root: Path) -> Iterator[tuple[str, bytes]]:
    found = {path for pattern in _PATTERNS for path in root.glob(pattern)}
    names = {path.relative_to(root).as_posix() for path in found} - {_OF_DEMO}
    for name in [*_PLAIN, *sorted(names)]:
        yield name, (root / name).read_bytes()
    ignored, mark, _ = (root / ".gitignore").read_text(encoding="utf-8").partition(_OF_PACKAGE)
    pipeline = (root / "dvc.yaml").read_text(encoding="utf-8")
    if not mark or pipeline.count(_CODE_DEPS) != 1:
        raise ValueError(
            f"{root}: .gitignore or dvc.yaml lacks a line that a project has otherwise"
        )
    yield ".gitignore", (ignored + _IGNORED).encode()
    yield "dvc.yaml", pipeline.replace(_CODE_DEPS, _CODE_ASKED).encode()
