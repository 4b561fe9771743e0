"""Python and its packages, held against what featbank was installed to need."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from types import MappingProxyType

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from featbank.machine.fact import MachineFact

_FEATBANK = "featbank"

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "archive": "compressed stores, and lhotse's lilcom files",
        "bpe": "byte-pair encoding of units",
        "gs": "stores, audio and remotes at gs://",
        "http": "stores, audio and remotes at http://",
        "huggingface": "corpora in Parquet or Arrow, stores as datasets of Hugging Face",
        "import": "codebooks of scikit-learn and faiss",
        "kaldi": "stores as Kaldi's ark and scp",
        "lhotse": "corpora that lhotse has prepared, its manifests over stores",
        "pitch": "F0 with voicing: feature=f0",
        "ray": "runner=ray",
        "report": "the HTML report",
        "s3": "stores, audio and remotes at s3://",
        "slurm": "runner=slurm",
        "speechbrain": "featbank.recipes.speechbrain",
        "ssh": "audio and remotes at ssh://",
        "textgrid": "labels in TextGrids",
        "transformers": "encoders and codecs of the Hugging Face hub",
        "zarr": "stores as Zarr",
        "zstd": "tables in Zstandard",
    }
)
"""What each extra opens."""


def package_facts() -> Iterator[MachineFact]:
    """Give Python, featbank, the packages it needs, and its extras."""
    try:
        said = metadata.metadata(_FEATBANK)
    except metadata.PackageNotFoundError:
        hint = "pip install -e . in the folder of pyproject.toml"
        yield MachineFact(what=_FEATBANK, value="not installed", verdict="missing", hint=hint)
        return
    python = platform.python_version()
    allowed = SpecifierSet(said["Requires-Python"] or "")
    is_fit = allowed.contains(python, prereleases=True)
    yield MachineFact(
        what="Python",
        value=python,
        verdict="ok" if is_fit else "missing",
        hint="" if is_fit else f"make an environment of a Python {allowed}",
        is_needed=True,
    )
    yield MachineFact(what=_FEATBANK, value=said["Version"])
    needed, by_extra = _requirements()
    for requirement in needed:
        yield _needed(requirement)
    for extra, opens in EXTRAS.items():
        if extra in by_extra:  # of the release that is installed
            yield _extra(extra, opens, by_extra[extra])


def lacks_extra(extra: str) -> bool:
    """Tell whether a package that an extra brings is absent, or of a version that is not allowed.

    Of a featbank that is not installed, nobody knows what an extra brings: then it lacks nothing.
    """
    try:
        _, by_extra = _requirements()
    except metadata.PackageNotFoundError:
        return False
    return any(_problem(one)[0] for one in by_extra.get(extra, ()))


def _requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """Return what featbank needs on this machine, and what each of its extras needs, too."""
    all_of = [Requirement(line) for line in metadata.requires(_FEATBANK) or ()]
    here = [one for one in all_of if not one.marker or one.marker.evaluate({"extra": ""})]
    by_extra = {
        extra: [one for one in all_of if one.marker and one.marker.evaluate({"extra": extra})]
        for extra in metadata.metadata(_FEATBANK).get_all("Provides-Extra") or ()
    }
    return here, by_extra


def _needed(requirement: Requirement) -> MachineFact:
    problem, version = _problem(requirement)
    value = version or "not installed"
    hint = f'pip install "{requirement}"' if problem else ""
    if problem and requirement.name in ("torch", "torchaudio"):
        hint += "; stores are read without it (docs/install.md)"
    elif requirement.name == "torch" and version and "+cpu" in version:
        value += ", built for CPUs alone"
    return MachineFact(
        what=requirement.name,
        value=value if not version or not problem else f"{value}, not {requirement.specifier}",
        verdict="missing" if problem else "ok",
        hint=hint,
        is_needed=True,
    )


def _extra(extra: str, opens: str, requirements: list[Requirement]) -> MachineFact:
    lacking = [one for one in requirements if _problem(one)[0]]
    names = ", ".join(f"{one.name} {_problem(one)[1] or 'not installed'}" for one in requirements)
    return MachineFact(
        what=f"featbank[{extra}]",
        value=f"{opens} ({names})",
        verdict="missing" if lacking else "ok",
        hint=f'pip install "featbank[{extra}]"' if lacking else "",
    )


def _problem(requirement: Requirement) -> tuple[bool, str]:
    """Tell whether a package is absent or of a version that is not allowed; and its version."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return True, ""
    return not requirement.specifier.contains(Version(version), prereleases=True), version
