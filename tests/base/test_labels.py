"""Tokens against time-aligned labels: the measures of HuBERT by tables worked out by hand."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.base.framing import Framing
from featbank.base.labels import Intervals, LabelFile, frame_centers_s
from featbank.base.manifest import Utterance, write_manifest
from featbank.base.units import DURATIONS, UNITS, deduplicate
from featbank.errors import CorpusError
from featbank.files.provenance import digest, readable_json, write_atomic
from featbank.report.metrics import metrics
from featbank.report.page import render_report
from featbank.store import StoreWriter
from featbank.validation import joint as counting
from featbank.validation.agreement import Agreement, LabelCheck
from featbank.validation.joint import JointCounts
from featbank.validation.result import CheckResult, read_check, write_check
from featbank.validation.stores import validate_stores
from tests.conftest import SPLITS

# ten frames a second, the first centred on 0.05 s
FRAMING = Framing(sample_rate=8000, window_length=800, hop_length=800)
CORPUS: dict[str, Any] = {
    "name": "tiny",
    "license": "CC0-1.0",
    "num_failures": 0,
    "splits": {split: {"utterances": 2, "hours": 0, "speakers": 1} for split in SPLITS},
}


def nats(*shares: float) -> float:
    return -sum(share * log(share) for share in shares)


def test_measures_of_a_table_are_those_worked_out_by_hand() -> None:
    #          code  0  1  2
    # "AA"           4  1  0
    # "S"            1  2  2
    found = Agreement.of(np.array([[4, 1, 0], [1, 2, 2]]))
    assert found.phone_purity == pytest.approx(0.8)  # (4 + 2 + 2) / 10
    assert found.cluster_purity == pytest.approx(0.6)  # (4 + 2) / 10
    mutual = nats(0.5, 0.5) + nats(0.5, 0.3, 0.2) - nats(0.4, 0.1, 0.1, 0.2, 0.2)
    assert found.pnmi == pytest.approx(mutual / nats(0.5, 0.5), rel=1e-5)


def test_codes_that_are_the_labels_take_all_uncertainty_away() -> None:
    found = Agreement.of(np.array([[0, 3, 0], [5, 0, 0], [0, 0, 1]]))
    assert found == Agreement(phone_purity=1, cluster_purity=1, pnmi=1)


def test_codes_that_do_not_depend_on_the_labels_take_none_away() -> None:
    found = Agreement.of(np.array([[2, 4], [1, 2]]))
    assert found == Agreement(phone_purity=0.666667, cluster_purity=0.666667, pnmi=0)


def test_a_code_for_each_frame_is_pure_and_its_labels_are_torn_apart() -> None:
    found = Agreement.of(np.array([[1, 1, 0, 0], [0, 0, 1, 1]]))
    assert (found.phone_purity, found.cluster_purity, found.pnmi) == (1, 0.5, 1)


def test_one_label_has_no_uncertainty_to_share() -> None:
    assert Agreement.of(np.array([[3, 1]])).pnmi is None


def intervals(*rows: tuple[float, float, str]) -> Intervals:
    starts, ends, labels = zip(*rows, strict=True)
    return Intervals(starts_s=np.array(starts), ends_s=np.array(ends), labels=labels)


def test_an_interval_holds_its_start_and_not_its_end() -> None:
    spoken = intervals((0.0, 0.25, "a"), (0.25, 0.5, "b"), (1.0, 2.0, "c"))
    times = np.array([0.0, 0.2, 0.25, 0.5, 0.75, 1.0, 1.9, 2.0])
    assert spoken.at(times).tolist() == [0, 0, 1, -1, -1, 2, 2, -1]


def test_of_intervals_within_others_the_last_to_begin_counts_while_it_lasts() -> None:
    nested = Intervals(
        starts_s=np.array([0.0, 0.2, 0.5]),
        ends_s=np.array([1.0, 0.3, 0.5]),
        labels=("a", "b", "nothing"),
    )
    assert nested.at(np.array([0.1, 0.25, 0.3, 0.5, 0.9, 1.0])).tolist() == [0, 1, 0, 0, 0, -1]


def test_frames_are_labelled_by_their_centre_and_the_others_counted() -> None:
    joint = JointCounts(1, 3)
    centers = frame_centers_s(FRAMING, 6)
    assert centers == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.45, 0.55])
    # frame 1 is mostly "a", but its middle is "b"'s
    spoken = intervals((0.0, 0.149, "a"), (0.149, 0.4, "b"))
    joint.add(np.array([0, 1, 1, 2, 2, 2]), spoken, centers)
    joint.add(np.array([0, 0]), None, centers[:2])
    expected = Agreement.of(np.array([[1, 0, 0], [0, 2, 1]]))
    assert joint.result() == LabelCheck(
        num_labels=2, num_frames=4, num_unlabelled=4, codebooks=(expected,)
    )


def test_each_codebook_is_held_against_the_labels() -> None:
    joint = JointCounts(2, 2)
    tokens = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    joint.add(tokens, intervals((0.0, 0.2, "a"), (0.2, 0.4, "b")), frame_centers_s(FRAMING, 4))
    assert [one.pnmi for one in joint.result().codebooks] == [1, 0]


def test_more_labels_than_can_be_counted_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MAX_PAIRS", 60)
    joint = JointCounts(1, 3)
    words = [(n / 10, n / 10 + 0.1, f"word {n}") for n in range(21)]
    joint.add(np.zeros(20, int), intervals(*words[:20]), frame_centers_s(FRAMING, 20))
    assert joint.result().num_labels == 20
    with pytest.raises(CorpusError, match=r"at most 20 different ones.*'word 20'"):
        joint.add(np.zeros(21, int), intervals(*words), frame_centers_s(FRAMING, 21))


def write_labels(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_labels_are_found_in_any_order_and_in_any_script(tmp_path: Path) -> None:
    lines = [{"id": "b/ü", "labels": [[0, 1.5, "ʃ"]]}, {"id": "a", "labels": []}]
    labels = LabelFile(write_labels(tmp_path / "labels.jsonl", lines))
    assert labels.find("c") is None
    assert (found := labels.find("a")) is not None
    assert found.at(np.array([0.0])).tolist() == [-1]
    assert (found := labels.find("b/ü")) is not None
    assert (found.labels, found.ends_s.tolist()) == (("ʃ",), [1.5])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[", "a JSON object"),
        ('{"id": "a"}', "got fields id"),
        ('{"id": 1, "labels": []}', "a JSON object"),
        ('{"id": "a", "labels": 5}', "5 at place 0"),
        ('{"id": "a", "labels": [[0, 1]]}', r"\[0, 1\] at place 0"),
        ('{"id": "a", "labels": [[0, 1, "x"], [1, 0.5, "y"]]}', "in order of time.*at place 1"),
        ('{"id": "a", "labels": [[2, 3, "x"], [1, 4, "y"]]}', "at place 1"),
        ('{"id": "a", "labels": [[0, NaN, "x"]]}', "a number that is not finite"),
        ('{"id": "a", "labels": [[0, Infinity, "x"]]}', "a number that is not finite"),
        ('{"id": "z", "labels": []}', "an id once, got 'z' in line 1 too"),
    ],
)
def test_line_of_another_form_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"id": "z", "labels": []}\n' + line + "\n")
    with pytest.raises(CorpusError, match=rf"labels\.jsonl:2.*{message}"):
        LabelFile(path).find("a")


def test_labels_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nothing there"):
        LabelFile(tmp_path / "none.jsonl").find("a")


def check(folder: Path, values: dict[str, dict[str, Any]], labels: Path | None) -> CheckResult:
    """Store tokens by store name and id in `train`, and validate them against labels."""
    grid = {
        "frame_rate": FRAMING.frame_rate,
        "first_frame_center_s": FRAMING.first_frame_center_s,
    }
    for split in SPLITS:
        for name, rows in values.items():
            utterances = [
                Utterance(
                    id=key, audio="a.wav", audio_digest="md5:0", sample_rate=8000, num_samples=4800
                )
                for key in rows
            ]
            utterances = utterances if split == "train" else []
            write_manifest(folder / "manifests" / f"{split}.jsonl", utterances)
            with StoreWriter(
                folder / "stores" / name / split,
                name=name,
                dtype="uint32" if name == DURATIONS else "uint8",
                shape=(2,) if name == "codes" else (),
                time_axis=-1 if name == "codes" else 0,
                codebook_size=None if name == DURATIONS else 4,
                framing=FRAMING,
                provenance={"codebook": {"num_clusters": 4}, "stores": sorted(values)},
                **(grid if DURATIONS not in values else {}),
            ) as writer:
                for row in utterances:
                    writer.write(row.id, rows[row.id], input_digest=row.input_digest)
    return validate_stores(
        folder / "stores", folder / "manifests", name="tokens/x-y", labels=labels
    )


LABELS = [{"id": "a", "labels": [[0, 0.2, "AA"], [0.2, 0.5, "S"]]}]
TOKENS = np.array([0, 0, 0, 1, 1, 1])
EXPECTED = LabelCheck(
    num_labels=2,
    num_frames=5,
    num_unlabelled=1 + 6,
    codebooks=(Agreement.of(np.array([[2, 0], [1, 2]])),),
)


def test_units_are_held_against_labels_merged_or_not(tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", LABELS)
    units, durations = deduplicate(TOKENS)
    plain = check(tmp_path / "plain", {UNITS: {"a": TOKENS, "b": TOKENS}}, labels)
    merged = check(
        tmp_path / "merged",
        {DURATIONS: dict.fromkeys("ab", durations), UNITS: dict.fromkeys("ab", units)},
        labels,
    )
    assert plain.all_problems == merged.all_problems == []
    assert plain.stores[0].labels == EXPECTED
    assert [store.labels for store in merged.stores if store.split == "train"] == [None, EXPECTED]
    write_check(plain, tmp_path / "check.json")
    assert read_check(tmp_path / "check.json") == plain


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.ctm", "a 1 0 0.2 AA\na 1 0.2 0.3 S\n"),
        ("timit/a.PHN", "0 3200 AA\n3200 8000 S\n"),
        (
            "mfa/a.TextGrid",
            'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n0.6\n<exists>\n1\n'
            '"IntervalTier"\n"phones"\n0\n0.6\n3\n0\n0.2\n"AA"\n0.2\n0.5\n"S"\n0.5\n0.6\n""\n',
        ),
    ],
)
def test_units_are_held_against_labels_in_every_form(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    labels = path if name == "labels.ctm" else path.parent
    result = check(tmp_path / "data", {UNITS: {"a": TOKENS, "b": TOKENS}}, labels)
    assert result.all_problems == []
    assert result.stores[0].labels == EXPECTED


def test_agreement_with_labels_is_in_metrics_and_report(tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", LABELS)
    codes = np.stack([TOKENS, np.zeros(6, int)])
    result = check(tmp_path, {"codes": {"a": codes, "b": codes}}, labels)
    numbers = metrics([result])["tokens"]["x-y"]["codes"]["train"]
    assert (numbers["labels"], numbers["labelled_frames"], numbers["unlabelled_frames"]) == (
        2,
        5,
        7,
    )
    assert numbers["codebooks"]["00"]["phone_purity"] == 0.8
    assert numbers["codebooks"]["01"]["pnmi"] == 0
    assert numbers["phone_purity"] == pytest.approx(0.7)
    page = render_report([result], CORPUS)
    assert "Tokens and labels" in page
    assert "tokens/x-y/codes/train: 2 codebooks" in page
    assert "phone_purity" not in str(metrics([check(tmp_path, {UNITS: {"a": TOKENS}}, None)]))


def test_codes_of_another_shape_than_promised_are_named_and_not_counted(tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", LABELS)
    codes = np.stack([TOKENS, TOKENS])
    check(tmp_path, {"codes": {"a": codes}}, labels)
    for split in SPLITS:
        path = tmp_path / "stores" / "codes" / split / "header.json"
        fields = {**json.loads(path.read_text()), "shape": [3]}
        del fields["digest"]
        write_atomic(path, readable_json({**fields, "digest": digest(fields)}))
    result = validate_stores(
        tmp_path / "stores", tmp_path / "manifests", name="tokens/x-y", labels=labels
    )
    assert "shard unlike its header" in {problem.kind for problem in result.all_problems}
    counted = result.stores[0].labels
    assert counted is not None
    assert (counted.num_frames, counted.codebooks) == (0, ())
    assert not any(any(usage.frames) for usage in result.stores[0].codebooks or ())
    write_check(result, tmp_path / "check.json")
    metrics([result])
    render_report([result], CORPUS)


def test_corpus_without_labels_has_none_in_its_report(tmp_path: Path) -> None:
    result = check(tmp_path, {UNITS: {"a": TOKENS}}, None)
    assert {store.labels for store in result.stores} == {None}
    assert "Tokens and labels" not in render_report([result], CORPUS)
