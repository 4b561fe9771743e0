"""The pictures of the README show what is there now, and are small enough for everyone's clone."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from benchmarks.pictures.drawn import OUT, drawn
from benchmarks.pictures.flow import read_flow
from benchmarks.pictures.screenshot import MOST_BYTES
from benchmarks.pictures.speed import OURS, PANELS, read_speeds
from tests.conftest import ROOT

DRAWN = drawn()


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_shows_what_dvc_yaml_and_the_tables_say_now(name: str) -> None:
    """Where this fails: `python -m benchmarks.pictures`, and look at what it drew."""
    assert (OUT / name).read_text(encoding="utf-8") == DRAWN[name]
    root = ElementTree.fromstring(DRAWN[name])  # noqa: S314 - our own
    width = float(root.attrib["width"])
    assert all(0 <= float(one.get("x", 0)) < width for one in root.iter())


def test_the_flow_has_every_script_that_dvc_runs_but_that_of_code() -> None:
    stages = read_flow(ROOT / "dvc.yaml")
    scripts = set(re.findall(r"stages/(\w+)\.py", (ROOT / "dvc.yaml").read_text()))
    assert {one.name for one in stages} == scripts - {"code"}
    assert [one.name for one in stages][0::7] == ["prepare", "report"]
    by_name = {one.name: one for one in stages}
    assert by_name["fit"].reads == {"data/samples"}
    assert by_name["tokenize"].reads == {"data/codebooks", "data/features", "data/manifests"}


def test_the_speeds_are_those_of_the_table_of_results() -> None:
    stores = {one.name: one.values for one in read_speeds(ROOT / "benchmarks/README.md")}
    assert len(stores) == 9
    for column in PANELS:
        assert f"{stores[OURS][column]:,.0f}" in DRAWN["speed-light.svg"]


def test_every_picture_of_the_readme_is_there_and_small_in_light_and_dark() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"docs/pictures/([\w-]+)-(light|dark)\.(\w+)", readme)
    names = {f"{name}-{scheme}.{kind}" for name, scheme, kind in named}
    assert names == {path.name for path in OUT.iterdir()}
    assert {name for name, *_ in named} == {"flow", "report", "speed"}
    assert all((OUT / name).stat().st_size < MOST_BYTES for name in names)


def test_make_draws_them() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^pictures:.*\n\t\$\(RUN\) python -m benchmarks.pictures", makefile, re.M)
