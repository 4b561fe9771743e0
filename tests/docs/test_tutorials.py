"""The tutorials, each run from an empty folder as it stands, against the output that it shows."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, Block, blocks
from tests.pipeline.conftest import Project
from tests.servers import Bucket, bucket, bucket_address  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow

TUTORIALS = DOCS / "tutorials"
_FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")
_WHERE = ".where"


class Story:
    """A person who goes through a page: types its commands, writes its files, and looks."""

    def __init__(self, folder: Path) -> None:
        self._at = self._start = folder
        self._said = ""

    def follow(self, page: Path) -> None:
        for block in blocks(page):
            if block.note.startswith("not run"):
                continue
            if file := _FILE.match(block.text):
                self._write(self._at / file[1], block.text)
            elif block.kind in ("sh", "python"):
                self._said = self._type(block)
            elif self._said:  # what a block shows before anything is typed is the reader's own
                self._look(block.text)

    def _write(self, path: Path, text: str) -> None:
        """Write a file, or of definitions that are there the keys that the page shows."""
        if not path.exists():
            path.write_text(text, encoding="utf-8")
            return
        defined = path.read_text(encoding="utf-8")
        for line in text.splitlines()[1:]:
            key = line.partition(":")[0]
            defined, number = re.subn(rf"^{key}:.*$", line, defined, flags=re.MULTILINE)
            assert number == 1, f"{path}: {key}"
        path.write_text(defined, encoding="utf-8")

    def _type(self, block: Block) -> str:
        script = self._start / f"typed.{block.kind}"
        script.write_text(block.text, encoding="utf-8")
        where = self._start / _WHERE
        command = f"python {script}"
        if block.kind == "sh":
            is_to_fail = block.note == "fails"
            command = f"! sh -e {script}" if is_to_fail else f"set -e; . {script}; pwd > {where}"
        author = {f"GIT_{who}_{what}": "somebody@localhost"
                  for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip
        said = Project(self._at).run(command, **author)
        if where.exists():
            self._at = Path(where.read_text().strip())
        return said

    def _look(self, shown: str) -> None:
        """Hold a block against what was printed: `...` stands for anything."""
        for line in shown.splitlines():
            for part in filter(None, map(str.strip, line.split("..."))):
                assert part in self._said, f"{part!r} is not in\n{self._said}"


@pytest.fixture
def story(tmp_path: Path, demo_corpus: Path) -> Story:
    """An empty folder with audio of somebody's own beside it: every second file of the demo."""
    audio = tmp_path / "audio"
    with (demo_corpus / "transcripts.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[::2]
    for row in rows:
        (audio / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(demo_corpus / row["path"], audio / row["path"])
        row["license"] = "CC0-1.0" if "librivox" in row["path"] else "CC-BY-SA-3.0"
    rows.append(rows[0] | {"path": "june_fr/lost.flac", "license": "CC-BY-SA-3.0"})
    with (audio / "transcripts.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    shutil.copy(demo_corpus / "phones.jsonl", audio)
    return Story(tmp_path)


def test_there_are_five_and_each_is_tried_here() -> None:
    tried = Path(__file__).read_text(encoding="utf-8")
    pages = sorted(TUTORIALS.glob("*.md"))
    assert len(pages) == 5
    assert all(f'"{page.name}"' in tried for page in pages)
    assert all(80 <= len(page.read_text().splitlines()) <= 150 for page in pages)


@pytest.mark.parametrize("name", ["units.md", "speechbrain.md", "corpus.md", "machines.md"])
def test_a_tutorial_runs_from_an_empty_folder(name: str, story: Story) -> None:
    story.follow(TUTORIALS / name)


@pytest.mark.usefixtures("bucket")
def test_stores_are_shared_as_the_tutorial_says(story: Story) -> None:
    lab = Bucket("lab-bucket")
    story.follow(TUTORIALS / "sharing.md")
    assert any(key.endswith(".dir") for key in lab.keys("featbank/files/md5"))
