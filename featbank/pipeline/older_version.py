"""The manifests and checks of an older version of a corpus: in a folder, or in a git revision."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from featbank.errors import ConfigError
from featbank.pipeline.configs import ValidateConfig
from featbank.pipeline.revisions import TrackedObjects, TrackedOutput, read_revisions
from featbank.validation.drift import CorpusVersion
from featbank.validation.result import read_check


@contextmanager
def older_version(config: ValidateConfig, names: Sequence[str]) -> Iterator[CorpusVersion]:
    """Yield the version that `against` names; the manifests are there as long as it is open.

    Of a revision nothing is checked out: its files are read in DVC's cache, or else in its remote.

    Args:
        config: of `validate`.
        names: of the choices whose checks are wanted; those that it lacks are left out.

    Raises:
        ConfigError: there is no such folder or revision, or it lacks the corpus.
        StoreError: neither DVC's cache nor its remote has a file of the revision.
        ValidationError: a check is damaged, or of a version that is not read any more.
    """
    against, corpus = str(config.against), config.corpus.name
    if Path(against).exists():
        kinds = Path(against, "manifests", corpus), Path(against, "checks", corpus)
        if not kinds[0].is_dir():
            raise ConfigError(
                f"against={against}",
                expected=f"a folder as {config.paths.root} is, with manifests/{corpus}, or a "
                "git revision",
                got="a folder without",
            )
        yield _version(*kinds, names)
        return
    work = config.runtime.work
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="against-", dir=work) as folder:
        wanted = {
            config.paths.manifests.as_posix(): Path(folder, "manifests"),
            **{
                Path(config.paths.checks, f"{name}.json").as_posix(): Path(
                    folder, "checks", f"{name}.json"
                )
                for name in names
            },
        }
        _lay_out(against, wanted)
        if not Path(folder, "manifests").is_dir():
            raise ConfigError(
                f"against={against}",
                expected=f"a revision in which DVC tracks {config.paths.manifests}",
                got="one without",
            )
        yield _version(Path(folder, "manifests"), Path(folder, "checks"), names)


def _version(manifests: Path, checks: Path, names: Sequence[str]) -> CorpusVersion:
    paths = {name: Path(checks, f"{name}.json") for name in names}
    found = {name: read_check(path) for name, path in paths.items() if path.exists()}
    return CorpusVersion(manifests=manifests, checks=found)


def _lay_out(revision: str, wanted: Mapping[str, Path]) -> None:
    """Lay out those outputs that a revision has: as links into DVC's cache, or as copies."""
    [found] = read_revisions([revision])
    objects = TrackedObjects()
    for path, place in wanted.items():
        if path in found.outputs:
            _lay_out_files(objects, found.outputs[path], place, f"{path} of {revision}")


def _lay_out_files(objects: TrackedObjects, output: TrackedOutput, place: Path, where: str) -> None:
    for relative, digest in objects.listed(output, where).items():
        to = place / relative
        to.parent.mkdir(parents=True, exist_ok=True)
        here = objects.path_here(output, digest)
        if here is None:
            to.write_bytes(objects.read(output, digest, where))
        else:
            to.symlink_to(here.resolve())
