"""Compare two revisions with no checkout of either: what DVC tracks in them, by digests first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from featbank.comparison.comparing import Version, compare_versions
from featbank.comparison.findings import VersionsDifference
from featbank.errors import StoreError
from featbank.pipeline.revision_stores import RevisionFiles
from featbank.pipeline.revisions import TrackedObjects, TrackedOutput, read_revisions


def compare_revisions(
    before: str,
    after: str | None,
    *,
    path: str = "",
    remote: str | None = None,
    limit: int | None = 10,
) -> VersionsDifference:
    """Compare the stores and codebooks of two revisions, as DVC tracks them.

    An output that both have, by its digest, is not looked into.

    Args:
        before: a commit, tag or branch.
        after: the later one; None for what `dvc.lock` says now.
        path: of what is compared, from the root of the project: an output, what lies in one, or a
            folder of several; all outputs where it is empty.
        remote: that is asked for what the cache of this machine lacks, by DVC's name for it.
        limit: as of `compare_versions`.

    Raises:
        StoreError: there is no such revision, or DVC tracks nothing at the path in either.
    """
    revisions = read_revisions([before, after])
    target = PurePosixPath(path.strip("/"))
    tracked = [
        {name: one for name, one in revision.outputs.items() if _touches(target, name)}
        for revision in revisions
    ]
    if not any(tracked):
        raise StoreError(
            f"{path or 'outputs'} in {revisions[0].name} and {revisions[1].name}",
            expected="an output that DVC tracks, or a path in one",
            got="none",
            hint="paths are from the root of the project, as dvc.lock has them",
        )
    ours, theirs = tracked
    paths = ours.keys() | theirs.keys()
    same = {name for name in paths if _digest(ours, name) == _digest(theirs, name)}
    objects = TrackedObjects(remote)
    listed: list[list[RevisionFiles]] = [[], []]
    problems, others = [], []
    for name in sorted(paths - same):
        try:
            pair = [
                [RevisionFiles(revision.name, outputs[name], objects)] if name in outputs else []
                for revision, outputs in zip(revisions, tracked, strict=True)
            ]
        except StoreError as error:
            problems.append(str(error))
            continue
        if not any(files.is_compared for one in pair for files in one):
            others.append(name)
        for files, more in zip(listed, pair, strict=True):
            files += more
    found = compare_versions(
        *(
            Version(
                name=revision.name,
                stores={path: one for each in files for path, one in each.stores(target)},
                codebooks={path: one for each in files for path, one in each.codebooks()},
            )
            for revision, files in zip(revisions, listed, strict=True)
        ),
        limit=limit,
    )
    return replace(
        found,
        same=tuple(sorted({*same, *found.same})),
        others=tuple(others),
        problems=(*problems, *found.problems),
    )


def _touches(target: PurePosixPath, path: str) -> bool:
    """Tell whether an output lies below a path, or holds it."""
    place = PurePosixPath(path)
    return place.is_relative_to(target) or target.is_relative_to(place)


def _digest(outputs: Mapping[str, TrackedOutput], path: str) -> str | None:
    return outputs[path].digest if path in outputs else None
