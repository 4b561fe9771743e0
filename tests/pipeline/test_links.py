"""A corpus that DVC has put into its cache, and left links to in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extracting import files
from tests.pipeline.conftest import Project
from tests.waiting import wait_until


@pytest.mark.slow
def test_a_corpus_of_links_into_a_cache_elsewhere_is_prepared_as_its_files_are(
    checkout: Project, tmp_path: Path
) -> None:
    checkout.run("python stages/prepare.py")
    manifests = files(checkout.path / "data/manifests/demo")
    checkout.run("git rm -rq --cached corpora/demo")
    checkout.run("dvc config --local cache.type symlink")
    checkout.run(f"dvc cache dir --local {tmp_path}/cache")
    checkout.run("dvc add corpora/demo")
    linked = [path for path in (checkout.path / "corpora/demo").rglob("*.*") if path.is_file()]
    assert all(path.is_symlink() for path in linked)
    said = checkout.run("python stages/prepare.py")
    assert files(checkout.path / "data/manifests/demo") == manifests
    assert "0 files scanned" not in said
    assert "38 as remembered" not in said  # they are other files, and hashed
    # once no file is so young that another state of it could look the same
    wait_until(
        lambda: "0 files scanned, 38 as remembered" in checkout.run("python stages/prepare.py"),
        "links into the cache are never remembered",
    )
    # any other way out is refused as before
    outside = tmp_path / "x.flac"
    outside.write_bytes(linked[0].read_bytes())
    (checkout.path / "corpora/demo/x.flac").symlink_to(outside)
    table = checkout.path / "corpora/demo/transcripts.tsv"
    text = table.read_text(encoding="utf-8")
    table.unlink()
    table.write_text(f"{text}x.flac\tx\ten\ttrain\tx\n", encoding="utf-8")
    said = checkout.run("python stages/prepare.py", status=1)
    assert "got x.flac, a symbolic link to" in said
    assert "corpus.follow_links=true" in said
