"""The manifests and checks of an older version of a corpus: in a folder, or in a git revision."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from featbank.errors import ConfigError
from featbank.pipeline.revisions import TrackedObjects, TrackedOutput, read_revisions
from featbank.pipeline.sections import Paths
from featbank.validation.drift import CorpusVersion
from featbank.validation.result import read_check


def read_version(
    against: str, paths: Paths, *, corpus: str, names: Sequence[str], work: Path
) -> CorpusVersion:
    """Read the version of a corpus that a person names.

    Of a revision nothing is checked out: its files are read in DVC's cache, or else in its remote.

    Args:
        against: a folder such as `paths.root`, or a commit, tag or branch.
        paths: of the outputs of this version.
        corpus: its name.
        names: of the choices whose checks are wanted; those that it lacks are left out.
        work: folder for files that are gone afterwards.

    Raises:
        ConfigError: it lacks the corpus.
        StoreError: there is no such folder or revision, or neither DVC's cache nor its remote has
            a file of the revision.
        ManifestError: a manifest is malformed.
        ValidationError: a check is damaged, or of a version that is not read any more.
    """
    if Path(against).exists():
        manifests = Path(against, "manifests", corpus)
        if not manifests.is_dir():
            raise ConfigError(
                f"against={against}",
                expected=f"a git revision, or a folder as {paths.root} is, with manifests/{corpus}",
                got="a folder without",
            )
        return _version(manifests, Path(against, "checks", corpus), names)
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="against-", dir=work) as folder:
        manifests, checks = Path(folder, "manifests"), Path(folder, "checks")
        wanted = {paths.manifests: manifests}
        wanted |= {paths.checks / f"{name}.json": checks / f"{name}.json" for name in names}
        _lay_out(against, wanted)
        if not manifests.is_dir():
            raise ConfigError(
                f"against={against}",
                expected=f"a revision in which DVC tracks {paths.manifests}",
                got="one without",
            )
        return _version(manifests, checks, names)


def _version(manifests: Path, checks: Path, names: Sequence[str]) -> CorpusVersion:
    paths = {name: Path(checks, f"{name}.json") for name in names}
    found = {name: read_check(path) for name, path in paths.items() if path.exists()}
    return CorpusVersion.read(manifests, found)


def _lay_out(revision: str, wanted: Mapping[Path, Path]) -> None:
    """Lay out those outputs that a revision has: as links into DVC's cache, or as copies."""
    [found] = read_revisions([revision])
    objects = TrackedObjects()
    for path, place in wanted.items():
        if output := found.outputs.get(path.as_posix()):
            _lay_out_files(objects, output, place, f"{path} of {revision}")


def _lay_out_files(objects: TrackedObjects, output: TrackedOutput, place: Path, where: str) -> None:
    for relative, digest in objects.listed(output, where).items():
        to = place / relative
        to.parent.mkdir(parents=True, exist_ok=True)
        here = objects.path_here(output, digest)
        if here is None:
            to.write_bytes(objects.read(output, digest, where))
        else:
            to.symlink_to(here.resolve())
