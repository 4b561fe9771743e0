"""Cards and Croissant metadata: what they say is what the manifests and the stores hold."""

from __future__ import annotations

import json
import logging
import socket
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from featbank.cli import main
from tests.export.conftest import write_store
from tests.licensed import OF_CORPUS, OWN, SPLITS, Licensed, licensed

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def demo(demo_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Licensed:
    return licensed(demo_corpus, tmp_path_factory.mktemp("licensed"))


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def head_of(card: str) -> list[str]:
    return card.split("---\n")[1].splitlines()


def test_the_card_of_a_corpus_counts_the_utterances_of_each_licence_and_consent(
    demo: Licensed, capsys: Capture
) -> None:
    assert run("card", demo.manifests) == 0
    card = capsys.readouterr().out
    rows = [row for split in SPLITS for row in demo.rows(split)]
    for licence in [OF_CORPUS, *(own for own, _ in OWN.values())]:
        number = sum((row.license or OF_CORPUS) == licence for row in rows)
        assert f"| {licence} | {number} | 0.0" in card
    number = sum(row.consent == "research" for row in rows)
    assert f"| research | {number} | 0.0" in card
    assert f"| not said | {len(rows) - number} | 0.0" in card
    assert 'license: ["cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0"]' in head_of(card)
    assert 'language: ["en", "es", "fr"]' in head_of(card)
    assert 'task_categories: ["automatic-speech-recognition"]' in head_of(card)
    assert "| train | 24 | 0.025 | 4 | 24 | en, es, fr |" in card
    assert "https://example.org" in card


def test_the_card_of_a_store_says_how_it_was_made_and_of_manifests_whose_it_is(
    demo: Licensed, tmp_path: Path, capsys: Capture
) -> None:
    assert run("card", demo.units) == 0
    alone = capsys.readouterr().out
    assert "license: cc-by-4.0" in head_of(alone)
    assert "| train | 24 |\n" in alone
    assert "- 3 utterances failed, and are not in it." in alone
    assert "- What the speakers consented to is not stated." in alone
    out = tmp_path / "README.md"
    assert run("card", demo.units, "--manifests", demo.manifests, "--to", out) == 0
    card = out.read_text()
    assert "| units | (T) | uint8 | uint8 | 50 |" in card
    assert "| CC0-1.0 | " in card
    assert f"Fingerprint `{'f' * 64}`." in card
    assert "is not stated" not in card


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["card", "{units}", "--to", "{there}"], 2, "expected a free place, got something there"),
        (["card", "{manifests}", "--manifests", "{manifests}"], 2, "PLACE is a corpus itself"),
        (["card", "{folder}/nothing"], 1, "nothing"),
        (["card", "{units}/dev", "--manifests", "{folder}"], 1, "nothing there"),
        (["card", "{units}/dev", "--manifests", "{others}"], 1, "the 7 utterances of store"),
        (["card", "{broken}"], 1, "name in "),
        (["croissant", "{units}", "{there}"], 2, "give --replace"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_right(
    demo: Licensed, tmp_path: Path, capsys: Capture, arguments: list[str], status: int, told: str
) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "dev.jsonl").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "corpus.json").write_text("{}")
    places = {
        "units": demo.units, "manifests": demo.manifests, "folder": tmp_path / "none",
        "there": tmp_path / "there", "others": tmp_path, "broken": tmp_path / "broken",
    }  # fmt: skip
    assert run(*(one.format(**places) for one in arguments)) == status
    [line] = capsys.readouterr().err.splitlines()
    assert told in line


def test_without_manifests_a_card_names_the_terms_that_the_header_of_a_store_states(
    tmp_path: Path, capsys: Capture
) -> None:
    terms = {"license": ["CC0-1.0"], "consent": ["all", "research"]}
    corpus = {"name": "demo", "license": OF_CORPUS, "terms": terms}
    store = write_store(tmp_path / "dev", "units", ["a", "b"], provenance={"corpus": corpus})
    assert run("card", store) == 0
    card = capsys.readouterr().out
    assert 'license: ["cc-by-4.0", "cc0-1.0"]' in head_of(card)
    assert "## Consent\n\nall\nresearch\n" in card
    assert "is not stated" not in card


def test_croissant_lists_every_file_with_its_digest_and_says_what_the_publisher_does(
    demo: Licensed, capsys: Capture
) -> None:
    out = demo.manifests.parent.parent / "said.json"
    arguments = ["--creator", "A Lab", "--date", "2026-11-30", "--cite", "A Lab, 2026"]
    assert run("croissant", demo.units, out, "--manifests", demo.manifests, *arguments) == 0
    said = json.loads(out.read_text())
    files = {one["contentUrl"]: one for one in said["distribution"]}
    stored = [path for path in demo.units.rglob("*") if path.is_file()]
    assert {*files} == {
        *(path.relative_to(out.parent).as_posix() for path in stored if path.suffix != ".lock"),
        *(
            f"manifests/demo/{name}"
            for name in ("corpus.json", *(f"{one}.jsonl" for one in SPLITS))
        ),
    }
    for name, one in files.items():
        data = (out.parent / name).read_bytes()
        assert (one["sha256"], one["contentSize"]) == (sha256(data).hexdigest(), f"{len(data)} B")
    assert said["creator"]["name"] == "A Lab"
    assert said["datePublished"] == "2026-11-30"
    assert sorted(said["license"]) == [
        f"https://spdx.org/licenses/{one}" for one in ("CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0")
    ]
    assert said["usageInfo"].startswith("consent not said: ")
    with pytest.raises(SystemExit):
        run("croissant", demo.units, out, "--date", "yesterday")
    assert "expected a day: 2026-11-30, got 'yesterday'" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, as mlcroissant calls it
def test_mlcroissant_validates_it_without_a_network_and_reads_every_row(
    demo: Licensed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")

    def refuse(*_: object) -> None:
        raise AssertionError("it asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    out = tmp_path / "croissant.json"
    publisher = ["--version", "1.0.0", "--date", "2026-11-30", "--cite", "A Lab, 2026"]
    assert run("croissant", demo.units, out, "--manifests", demo.manifests, *publisher) == 0
    caplog.set_level(logging.WARNING)
    dataset = mlcroissant.Dataset(jsonld=out)
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings
    assert dataset.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    assert "not standard" not in caplog.text  # its context is the one of Croissant
    [*records] = dataset.records("rows_train")
    expected = demo.rows("train")
    for name in ("id", "text", "speaker", "num_samples", "license", "consent"):
        found = [one[f"rows_train/{name}"] for one in records]
        said = [one.decode() if isinstance(one, bytes) else one for one in found]
        assert ["" if one is None else one for one in said] == [
            getattr(row, name) for row in expected
        ]
