"""A folder that is not there is asked about by the part of its path that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from featbank.base.nearest import near_folder


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("data/tokens/mine/mfcc-kmean100", "did you mean data/tokens/mine/mfcc-kmeans100?"),
        ("data/tokns/mine/mfcc-kmeans100", "did you mean data/tokens/mine/mfcc-kmeans100?"),
        ("data/tokens/mine/else", ""),
        ("nothing/like/it", ""),
        ("data/tokns/yours", ""),  # which there is not in data/tokens
    ],
)
def test_the_first_wrong_name_of_a_path_is_mended(
    typed: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/tokens/mine/mfcc-kmeans100").mkdir(parents=True)
    assert near_folder(Path(typed)) == said
    assert near_folder(Path.cwd() / typed, before="--root ") == said.replace(
        "mean ", "mean --root "
    )
