"""The site of docs is built as a reader gets it: whole, without a warning, without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from tests.conftest import ROOT
from tests.docs.pages import DOCS, blocks, links
from tests.waiting import HANG_S

PAGES = sorted(DOCS.rglob("*.md"))
ALL = [*PAGES, *ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md"]


class _Read(HTMLParser):
    """What a page of HTML links to, what it loads, and the places that others may link to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.places |= {given["id"]} if "id" in given else set()
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif address := given.get("src") or given.get("href"):
            self.loads.append(address)


def _imported_by_the_docs() -> Iterator[tuple[str, list[str]]]:
    """Give what programs of the docs import of featbank: a module, and names of it."""
    programs = (one.text for page in ALL for one in blocks(page) if one.kind == "python")
    for program in programs:
        for module, names in re.findall(r"^from (featbank[\w.]*) import (.+)$", program, re.M):
            yield module, re.findall(r"\w+", names)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    if find_spec("furo") is None:
        pytest.skip("the extra `docs` is not installed")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "docs.build_site", str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return out / "html"


@pytest.mark.slow
def test_every_page_and_every_public_name_is_there_and_every_link_of_the_site_leads_somewhere(
    site: Path,
) -> None:
    read = {page: _Read(page) for page in site.rglob("*.html")}
    contents = _Read(site / "docs" / "index.html").links
    for page in PAGES:
        assert site.joinpath(page.relative_to(ROOT)).with_suffix(".html") in read, page
        if page.name != "index.md":
            assert page.relative_to(DOCS).with_suffix(".html").as_posix() in contents, page
    for module, names in _imported_by_the_docs():
        page = site / "docs" / "reference" / f"{module}.html"
        assert {f"{module}.{name}" for name in names} <= read[page].places, page
    for page, found in read.items():
        assert "Alias for field number" not in page.read_text(encoding="utf-8"), page
        for link in found.links:
            address, place = urldefrag(unquote(link))
            if ":" in address:
                continue
            to = (page.parent / address).resolve() if address else page.resolve()
            assert to.exists(), f"{page}: {link}"
            if place and to.suffix == ".html":
                assert place in read[to].places, f"{page}: {link}"


@pytest.mark.slow
def test_nothing_of_the_site_is_loaded_from_a_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        for address in _Read(page).loads:
            assert not re.match(r"(\w+:)?//", address), f"{page}: {address}"
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", text), sheet


def test_links_of_the_pages_lead_somewhere_as_files_do_on_a_git_host() -> None:
    for page in ALL:
        for link in links(page):
            address, _ = urldefrag(link)
            assert (page.parent / address).exists(), f"{page}: {link}"


def test_every_file_that_is_to_prove_a_law_exists() -> None:
    page = (DOCS / "why.md").read_text(encoding="utf-8")
    laws = re.findall(r"^## (\d)\. ", page, re.MULTILINE)
    stated = re.findall(r"^(\d)\. \*\*", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert laws == stated
    for law in re.split(r"^## ", page, flags=re.MULTILINE)[1 : len(laws) + 1]:
        named = re.findall(r"`(tests/[\w/.]+)`", law)
        assert named, law
        assert all((ROOT / one).is_file() for one in named), named
        assert "**Not promised:**" in law, law


def test_every_program_on_a_page_is_run_by_a_test_or_says_why_not() -> None:
    for page in PAGES:
        if page.parent.name == "tutorials":  # run as a whole
            continue
        for block in blocks(page):
            if block.kind in ("sh", "python"):
                said = re.match(r"run by (tests/[\w/.]+\.py)(: \w+)?$|not run: .{10,}", block.note)
                assert said, f"{page.name}: {block.text}"
                if said[1]:
                    test = (ROOT / said[1]).read_text(encoding="utf-8")
                    assert page.name in test or "docs" in test, said[1]
