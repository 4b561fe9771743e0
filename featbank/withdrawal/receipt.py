"""Receipt of a withdrawal: what went, from where, when, and what was not reached; no names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from featbank.files.provenance import readable_json, write_atomic
from featbank.withdrawal.plan import NotReached, WithdrawalPlan

RECEIPT_VERSION = 1

_SHORT = 3  # letters


class HiddenNames:
    """Takes names out of what is said of files, for it goes into the receipt.

    Args:
        names: of people and utterances; a number or a short one gives nobody away.
    """

    def __init__(self, names: Iterable[str]) -> None:
        telling = sorted((one for one in names if len(one) > _SHORT), key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, telling))) if telling else None

    def __call__(self, text: str) -> str:
        """Return a text without the names."""
        return self._names.sub("(...)", text) if self._names else text


def receipt_of(
    plan: WithdrawalPlan, *, finished: str, unreached: Sequence[NotReached]
) -> Mapping[str, Any]:
    """Return what a receipt states.

    Args:
        plan: that was carried out.
        finished: time, in UTC.
        unreached: all that was not reached.
    """
    places = sorted({one.place for one in plan.deletions})
    return {
        "version": RECEIPT_VERSION,
        "begun": plan.begun,
        "finished": finished,
        "num_utterances": len(plan.ids),
        "marks": sorted(plan.marks),
        "salt": plan.salt,
        "deleted": {
            place: sorted(one.digest for one in plan.deletions if one.place == place)
            for place in places
        },
        "num_work_files": len(plan.work_files),
        "pins": list(plan.pins),
        "remade": list(plan.remade),
        "codebooks": dict.fromkeys(
            plan.codebooks, "fitted anew" if plan.refit else "kept as it was fitted"
        ),
        "old_codebooks": list(plan.old_codebooks),
        "cut_revisions": {one.commit: list(one.names) for one in plan.cut},
        "twins": [
            {
                "tag": one.tag,
                "commit": one.made,
                "of": one.commit,
                "num_kept": one.num_kept,
                "num_new": one.num_new,
                "remotes": list(one.remotes),
                "dropped": list(one.dropped),
                "codebooks": list(one.codebooks),
                "num_left_in_git": len(one.left),
            }
            for one in plan.twins
        ],
        "unreached": [{"what": one.what, "why": one.why} for one in unreached],
    }


def write_receipt(receipt: Mapping[str, Any], folder: Path) -> Path:
    """Write a receipt as JSON and as a page, in a folder of its own below `folder`.

    Returns:
        That folder, named after the time at which the withdrawal began.
    """
    own = folder / str(receipt["begun"]).replace(":", "")
    write_atomic(own / "receipt.json", readable_json(receipt))
    write_atomic(own / "receipt.html", _page(receipt))
    return own


def _page(receipt: Mapping[str, Any]) -> str:
    deleted: Mapping[str, Sequence[str]] = receipt["deleted"]
    cut: Mapping[str, Sequence[str]] = receipt["cut_revisions"]
    twins: Sequence[Mapping[str, Any]] = receipt["twins"]
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8"><title>Receipt of a withdrawal</title>',
        "<style>body{font:16px/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "code{overflow-wrap:anywhere}summary{cursor:pointer}</style>",
        "<h1>Receipt of a withdrawal</h1>",
        f"<p>{receipt['num_utterances']} utterances were withdrawn. Begun {receipt['begun']}, "
        f"finished {receipt['finished']}.</p>",
        "<h2>Deleted</h2>",
        *(
            _listed(f"{place}: {len(digests)} objects", digests)
            for place, digests in deleted.items()
        ),
        f"<p>{receipt['num_work_files']} files of unfinished runs and records.</p>",
        "<h2>Made anew without them</h2>",
        _listed("Lists of pinned ids", receipt["pins"]),
        _listed("Outputs", receipt["remade"]),
        "<h2>Codebooks that were fitted on them</h2>",
        _listed("Here", [f"{path}: {what}" for path, what in receipt["codebooks"].items()]),
        _listed("Of other revisions, kept", receipt["old_codebooks"]),
        "<h2>Revisions that can no longer be pulled whole</h2>",
        _listed("Commits", [f"{one} {' '.join(names)}" for one, names in cut.items()]),
        "<h2>Their twins without the person</h2>",
        _listed("Tags", [f"{one['tag']} {one['commit']} of {one['of']}" for one in twins]),
        *(
            _listed(f"Not in {one['tag']}: dvc repro makes it anew", one["dropped"])
            for one in twins
            if one["dropped"]
        ),
        "<h2>Not reached</h2>",
        "<ul>",
        *(f"<li>{escape(one['what'])}: {escape(one['why'])}</li>" for one in receipt["unreached"]),
        "</ul>",
        "<h2>Marks</h2>",
        _listed(f"Salted SHA-256, of salt {receipt['salt']}", receipt["marks"]),
        "</html>\n",
    ]
    return "\n".join(parts)


def _listed(what: str, entries: Sequence[str]) -> str:
    if not entries:
        return f"<p>{escape(what)}: none.</p>"
    rows = "".join(f"<li><code>{escape(entry)}</code></li>" for entry in entries)
    return f"<details open><summary>{escape(what)}</summary><ul>{rows}</ul></details>"
