"""Manifests of a corpus without some utterances: lines of others byte for byte, counts anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from featbank.base.manifest import iterate_manifest
from featbank.base.sought import Sought, Traces
from featbank.base.speeds import played_rate
from featbank.base.split_names import FAILED_NAME, SUMMARY_NAME
from featbank.corpora.scratch import Scratch
from featbank.corpora.sorting import sortable
from featbank.corpora.summary import SummaryTally
from featbank.errors import ManifestError
from featbank.files.json_files import parse_json, read_json
from featbank.files.opening import bounded_lines, open_regular
from featbank.files.provenance import readable_json, write_atomic, write_atomic_lines

_UPSAMPLED = "upsampled"  # a warning that only the audio tells of


def redact_manifests(folder: Path, ids: Collection[str], out: Path) -> None:
    """Write the manifests of a corpus anew without some utterances.

    Of `corpus.json`, what manifests say is counted anew; what only the audio says, such as how
    many files are clipped, stays as it was counted.

    Args:
        folder: with `corpus.json`, the manifest of each split, and the failure list if there is
            one.
        ids: of the utterances.
        out: folder for the same files.

    Raises:
        FeatbankError: one is damaged, or of another version.
    """
    summary = read_json(folder / SUMMARY_NAME, what="corpus summary", error=ManifestError)
    splits = list(summary.get("splits", ()))
    out.mkdir(parents=True)
    num_gone = 0
    for split in splits:
        name = f"{split}.jsonl"
        num_gone += _copy(folder / name, ids, out / name)
    if (folder / FAILED_NAME).exists():
        num_failures = _copy(folder / FAILED_NAME, ids, out / FAILED_NAME)
        num_gone += num_failures
        summary["num_failures"] = summary.get("num_failures", num_failures) - num_failures
        if not (out / FAILED_NAME).stat().st_size:
            (out / FAILED_NAME).unlink()
    summary["num_forgotten"] = summary.get("num_forgotten", 0) + num_gone
    counted = _counted(out, splits)
    if kept := summary.get("warnings", {}).get(_UPSAMPLED):
        counted["warnings"][_UPSAMPLED] = kept
    summary |= {name: said for name, said in counted.items() if name in summary}
    left = _pruned(summary, _traces(folder, splits, ids))
    write_atomic(out / SUMMARY_NAME, readable_json(left))


def _copy(path: Path, ids: Collection[str], to: Path) -> int:
    """Copy the lines of a manifest, or a failure list, of all but some; return how many went."""
    num_gone = 0

    def kept() -> Iterator[bytes]:
        nonlocal num_gone
        with open_regular(path) as file:
            for line in bounded_lines(file):
                if parse_json(line, str(path), ManifestError, surrogates=True)["id"] in ids:
                    num_gone += 1
                else:
                    yield line

    write_atomic_lines(to, kept())
    return num_gone


def _counted(folder: Path, splits: list[str]) -> dict[str, Any]:
    with Scratch(folder) as scratch:
        tally = SummaryTally(splits, scratch)
        for split in splits:
            for row in iterate_manifest(folder / f"{split}.jsonl"):
                tally.add(
                    row.id,
                    row.audio,
                    split=split,
                    sample_rate=row.sample_rate,
                    played_rate=played_rate(row.sample_rate, row.speed),
                    num_samples=row.num_samples,
                    speaker=sortable(row.speaker),
                    terms=(sortable(row.license), sortable(row.consent)),
                    seen=f"{row.audio_digest} {row.start_sample} {row.num_samples} {row.channel}",
                )
        return tally.summary()


def _traces(folder: Path, splits: list[str], ids: Collection[str]) -> Traces:
    """Return what may name the utterances: their ids, files, and speakers of no other row."""
    gone, others = [], set()
    for split in splits:
        for row in iterate_manifest(folder / f"{split}.jsonl"):
            if row.id in ids:
                gone.append(row)
            else:
                others.add(row.speaker)
    speakers = {row.speaker for row in gone} - others - {""}
    traces = Traces(Sought(ids=frozenset(ids), speakers=frozenset(speakers)))
    for row in gone:
        traces.add_row(row.id, row.speaker, row.audio)
    return traces


def _pruned(said: Any, traces: Traces) -> Any:
    """Return JSON without the items of lists, such as examples, that name somebody."""
    if isinstance(said, Mapping):
        return {name: _pruned(value, traces) for name, value in said.items()}
    if isinstance(said, list):
        return [
            _pruned(one, traces)
            for one in said
            if not (isinstance(one, str) and traces.in_text(one)[1])
        ]
    return said
