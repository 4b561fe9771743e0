"""What a release says of itself is one thing, and its page of formats says what the code does."""

from __future__ import annotations

import ast
import re

import yaml

import featbank
from featbank.audio import DECODE_VERSION
from featbank.certification import certificate
from featbank.corpora.forgotten import FORGOTTEN_VERSION
from featbank.corpora.scanning import SCAN_VERSION
from featbank.files import sealed
from featbank.pipeline.code_syntax import source_digest
from featbank.recipes.caching import journal
from featbank.recipes.fingerprinting.installed import VALUES_SINCE, distribution
from featbank.stability import result as stability
from featbank.store import FORMAT_VERSION
from featbank.store.format import SPLITS_VERSION
from featbank.tokenizers.token_stores import TOKENIZE_VERSION
from featbank.validation import drift_result
from featbank.validation import result as check
from featbank.withdrawal.receipt import RECEIPT_VERSION
from tests.conftest import ROOT

FORMATS = {
    "store: header and shards": FORMAT_VERSION,
    "statement of splits": SPLITS_VERSION,
    "codebook": sealed.FORMAT_VERSION,
    "means and variances": sealed.FORMAT_VERSION,
    "state of a stopped fit": sealed.FORMAT_VERSION,
    "marks of who was forgotten": FORGOTTEN_VERSION,
    "receipt of a withdrawal": RECEIPT_VERSION,
    "journal of a recipe": int(journal._FORMAT.split()[-1]),
    "check": check.FORMAT_VERSION,
    "stability": stability.FORMAT_VERSION,
    "drift": drift_result.FORMAT_VERSION,
    "certificate": certificate.FORMAT_VERSION,
    "memory of scanned audio": SCAN_VERSION,
    "decoding of audio to samples": DECODE_VERSION,
    "tokens of given features and centroids": TOKENIZE_VERSION,
}

VALUES = {"since": "0.1.0", "decode": 2, "raised": {}}
"""What `VALUES_SINCE` stands for: decoding, and the extractors whose version is above 1."""


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_page_of_formats_says_the_versions_of_the_code() -> None:
    rows = re.findall(r"^\| (.+) \|$", _read("docs/formats.md"), re.MULTILINE)
    cells = [row.split(" | ") for row in rows]
    found = {row[0]: next(filter(str.isdigit, row), None) for row in cells}
    assert {what: found.get(what) for what in FORMATS} == {
        what: str(version) for what, version in FORMATS.items()
    }
    assert {what for what, version in found.items() if version} == FORMATS.keys()


def test_every_version_of_the_code_is_on_the_page_of_formats() -> None:
    """A new format of files has a constant of its own, which is to be told there."""
    named = sorted(
        f"{path.relative_to(ROOT).as_posix()} {name}"
        for path in (ROOT / "featbank").rglob("*.py")
        for name in re.findall(r"^(\w*_VERSION) = \d+$", path.read_text(), re.MULTILINE)
    )
    assert named == [
        "featbank/audio/reading.py DECODE_VERSION",
        "featbank/certification/certificate.py FORMAT_VERSION",
        "featbank/corpora/forgotten.py FORGOTTEN_VERSION",
        "featbank/corpora/scanning.py SCAN_VERSION",
        "featbank/files/sealed.py FORMAT_VERSION",
        "featbank/stability/result.py FORMAT_VERSION",
        "featbank/store/format.py FORMAT_VERSION",
        "featbank/store/format.py SPLITS_VERSION",
        "featbank/tokenizers/token_stores.py TOKENIZE_VERSION",
        "featbank/validation/drift_result.py FORMAT_VERSION",
        "featbank/validation/result.py FORMAT_VERSION",
        "featbank/withdrawal/receipt.py RECEIPT_VERSION",
    ]


def test_the_citation_and_the_changelog_name_the_version_and_one_date() -> None:
    citation = yaml.safe_load(_read("CITATION.cff"))
    assert citation["version"] == featbank.__version__
    released = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", _read("CHANGELOG.md"), re.M
    )
    assert released[0] == (featbank.__version__, str(citation["date-released"]))


def test_the_citation_has_the_fields_that_cff_1_2_wants() -> None:
    citation = yaml.safe_load(_read("CITATION.cff"))
    assert str(citation["cff-version"]) == "1.2.0"
    assert {"authors", "message", "title"} <= citation.keys()
    assert all(author.keys() == {"name"} for author in citation["authors"])  # an entity
    assert citation["type"] == "software"
    assert f'license = "{citation["license"]}"' in _read("pyproject.toml")


def test_a_release_alone_runs_no_stage_again() -> None:
    """All stages stand on the face of the package, in which its version is no part of the code."""
    text = _read("featbank/__init__.py")
    other = text.replace(featbank.__version__, "9.9.9")
    assert other != text
    assert source_digest(other.encode()) == source_digest(text.encode())
    assert source_digest(f"{text}\nONE = 1\n".encode()) != source_digest(text.encode())


def test_a_release_that_changes_no_value_leaves_stores_of_recipes_as_they_are() -> None:
    """Where this fails, set VALUES_SINCE to the release to come, and VALUES to what is found."""
    assert distribution("featbank") == ("featbank", VALUES_SINCE)
    versions = {
        node.name: one.value.value
        for path in (ROOT / "featbank/features").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for one in node.body
        if isinstance(one, ast.AnnAssign) and ast.unparse(one.target) == "version"
        if isinstance(one.value, ast.Constant)
    }
    assert len(versions) > 10
    raised = {name: version for name, version in versions.items() if version != 1}
    assert {"since": VALUES_SINCE, "decode": DECODE_VERSION, "raised": raised} == VALUES
