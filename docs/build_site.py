"""Build the site of docs: `python -m docs.build_site build/site`, from the root of the project.

The pages lie in a copy beside the site as they do in the project, so that a link leads to the same
page in both. A link to a file of the project that is no page is its text alone on the site.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from docs.reference import public_modules, reference_pages

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "corpora/demo/LICENSE.md",
    "docs/**/*.md",
)
PICTURES = ("docs/**/*.svg", "docs/**/*.png", "docs/**/*.webp")
INDEX = Path("docs/index.md")
_REFERENCE = "reference/index.md"
_OF_SITE = re.compile(r"`make docs`[^.]*\.")
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_FIRST = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">\n'


def site_pages() -> dict[Path, str]:
    """Read the pages that people wrote: their places in the project, and their texts."""
    found = sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})
    return {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in found}


def build(out: Path) -> int:
    """Build the site in a folder, beside what Sphinx needs to build it again.

    Returns:
        The exit status of Sphinx: not 0 where it warns of anything.
    """
    source = out / "source"
    shutil.rmtree(source, ignore_errors=True)
    pages = site_pages()
    reference = reference_pages(
        public_modules(text for path, text in pages.items() if path.parts[0] == "docs")
    )
    texts = {path: _without_links_to_files(path, text, set(pages)) for path, text in pages.items()}
    texts[INDEX] = _with_contents(texts[INDEX])
    texts |= {Path("docs/reference", name): text for name, text in reference.items()}
    for path, text in texts.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text, encoding="utf-8")
    for picture in (path for pattern in PICTURES for path in ROOT.glob(pattern)):
        to = source / picture.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(picture, to)
    options = ["--fail-on-warning", "--keep-going", "--quiet"]
    folders = [str(source), str(out / "html")]
    options += ["--conf-dir", str(ROOT / "docs"), "--doctree-dir", str(out / "doctrees")]
    status: int = build_main([*options, *folders])
    (out / "html" / "index.html").write_text(_FIRST, encoding="utf-8")
    return status


def _without_links_to_files(page: Path, text: str, pages: set[Path]) -> str:
    def shown(link: re.Match[str]) -> str:
        leads_to = (ROOT / page.parent / link[2]).resolve()
        is_page = leads_to.is_relative_to(ROOT) and leads_to.relative_to(ROOT) in pages
        return link[0] if is_page else link[1]

    parts = _FENCE.split(text)  # every second one is a block of code
    return "".join(part if at % 2 else _LINK.sub(shown, part) for at, part in enumerate(parts))


def _with_contents(text: str) -> str:
    """Put each section's pages into the tree at the side, by the names that they have there.

    The reference is beside them; how to make the site, nobody who reads it needs to know.
    """
    text = _OF_SITE.sub(f"The [API reference]({_REFERENCE}) has the classes and functions.", text)
    start, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    for section in sections:
        name, _, lines = section.partition("\n")
        pages = [f"{link[1]} <{link[2]}>" for link in _LINK.finditer(lines)]
        pages += [_REFERENCE] * (name == "Reference")
        tree = "\n".join(["```{toctree}", ":hidden:", f":caption: {name}", "", *pages, "```"])
        start += f"## {section.rstrip()}\n\n{tree}\n\n"
    return start


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
