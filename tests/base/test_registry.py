"""Public names: one table for each kind, and the entry points of installed packages."""

from __future__ import annotations

import ast
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import featbank
from featbank.base.building import build
from featbank.base.components import original
from featbank.base.registry import Registry
from featbank.base.trusted import locate_class
from featbank.corpora import CORPORA
from featbank.errors import ConfigError
from featbank.export import EXPORTS
from featbank.feature_io import READERS, WRITERS
from featbank.features import EXTRACTORS
from featbank.features.base import Extractor
from featbank.features.signal.kaldi import Fbank
from featbank.runners import RUNNERS
from featbank.stability import DISTURBANCES
from featbank.tokenizers import TOKENIZERS

REGISTRIES = (EXTRACTORS, CORPORA, RUNNERS, TOKENIZERS, DISTURBANCES, WRITERS, READERS, EXPORTS)
NAMES = [(registry, name) for registry in REGISTRIES for name in registry.table]


def _all_classes() -> set[type]:
    """Every class that a module of the package defines."""
    found: set[type] = set()
    for module in pkgutil.walk_packages(featbank.__path__, "featbank."):
        if module.name == "featbank.__main__" or module.name.startswith("featbank.recipes."):
            continue  # of which speechbrain's is not for this process
        for one in vars(import_module(module.name)).values():
            if isinstance(one, type) and one.__module__ == module.name:
                found.add(one)
    return found


@pytest.mark.parametrize(
    ("registry", "name"), NAMES, ids=[f"{registry.kind} {name}" for registry, name in NAMES]
)
def test_every_name_is_of_a_class_of_its_kind_with_a_version(registry: Registry, name: str) -> None:
    registered = registry.find(name)
    part = locate_class(registered.path, kinds=[registry.load_contract()])
    assert part is registered.load()
    assert type(part.version) is int  # type: ignore[attr-defined]
    assert registry.name_of(part) == name


def test_no_part_of_the_package_is_without_a_name() -> None:
    classes = _all_classes()
    for registry in REGISTRIES:
        contract = registry.load_contract()
        is_left = {contract, *(one for one in classes if getattr(one, "_is_protocol", False))}
        registered = {registry.find(name).load() for name in registry.table}
        unnamed = {
            one
            for one in classes - registered - is_left
            if _is_of(one, contract)
            and not one.__name__.startswith("_")
            and not any(one in other.__mro__[1:] for other in classes)
        }
        assert {one for one in unnamed if original(one) not in registered} == set(), registry.kind


def _is_of(one: type, contract: type) -> bool:
    if not getattr(contract, "_is_protocol", False):
        return issubclass(one, contract)
    # what has its methods may be something else: it is in its package, and says what it is
    kind = contract.__name__.removeprefix("FeatureStorage")
    package = contract.__module__.rpartition(".")[0]
    return one.__module__.startswith(f"{package}.") and one.__name__.endswith(kind)


def test_faces_of_replaceable_kinds_import_none_of_their_classes() -> None:
    # or an edit of one class would be an edit of what every other is computed by
    for registry in REGISTRIES:
        package = registry.contract.partition(":")[0].rpartition(".")[0]
        tree = ast.parse(Path(str(import_module(package).__file__)).read_text())
        imported = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)} | {
            alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names
        }
        assert not {name for name in imported if name.startswith(f"{package}.")}, package


def test_no_module_of_the_package_goes_by_what_a_face_offers() -> None:
    # an import of it would hide from whoever asks which modules decide a value
    offered = {
        registry.contract.partition(":")[0].rpartition(".")[0]: {
            place.rpartition(":")[2] for place in registry.table.values()
        }
        for registry in REGISTRIES
    }
    root = Path(featbank.__path__[0])
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in offered:
                if file.parent == root / node.module.partition(".")[2] / "":
                    continue
                names = {alias.name for alias in node.names}
                assert not names & offered[node.module], file


def test_a_class_is_offered_under_its_own_name_by_the_face_of_its_package() -> None:
    assert isinstance(build({"_target_": "featbank.features.Fbank"}), Fbank)
    assert locate_class("featbank.runners.LocalRunner").__name__ == "LocalRunner"
    assert locate_class("featbank.features.kaldi.Fbank") is Fbank  # where it lay before
    with pytest.raises(ConfigError, match="no extractor of featbank is called 'Fbnak'"):
        locate_class("featbank.features.Fbnak")


# -- other packages ------------------------------------------------------------------------------

LOUDNESS = """
from featbank.features.signal.kaldi import Fbank

class Loudness(Fbank):
    version = 3
    @property
    def outputs(self):
        return super().outputs

class Quiet(Fbank):
    version = 1
    @property
    def outputs(self):
        return super().outputs
"""


class Site:
    """A folder of installed packages, as pip leaves them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, source: str, **entries: str) -> None:
        """Install a package, with entry points of `featbank.extractors`."""
        package, info = self.folder / name, self.folder / f"{name}-1.5.dist-info"
        for made in (package, info):
            made.mkdir()
        (package / "__init__.py").write_text("")
        (package / "core.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        lines = [f"{key} = {value}" for key, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[featbank.extractors]", *lines, ""]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(tmp_path)
    return Site(tmp_path)


def test_an_installed_package_is_trusted_for_the_class_that_it_registers(site: Site) -> None:
    site.install("fb_loud", LOUDNESS, fb_loudness="fb_loud.core:Loudness")
    made: Any = build({"_target_": "fb_loud.core.Loudness", "num_mel_bins": 20}, kind=Extractor)
    found = made.identity("fbank")
    assert (found.name, found.version, found.arguments["num_mel_bins"]) == ("fb_loudness", 3, 20)
    for other in ("fb_loud.core.Quiet", "fb_loud.core.Fbank", "fb_loud.core.nothing", "os.system"):
        with pytest.raises(ConfigError, match="got another module"):
            locate_class(other)
    assert locate_class("fb_loud.core.Quiet", ["fb_loud"]).__name__ == "Quiet"


def test_a_registered_class_may_be_named_by_where_it_is_defined(site: Site) -> None:
    site.install("fb_face", LOUDNESS, fb_loudness="fb_face:Loudness")
    (site.folder / "fb_face" / "__init__.py").write_text("from fb_face.core import Loudness\n")
    by_both = [
        build({"_target_": f"fb_face{where}.Loudness"}).identity() for where in ("", ".core")
    ]
    assert by_both[0] == by_both[1]
    assert by_both[0].name == "fb_loudness"


def test_a_class_that_nothing_registers_goes_by_its_path(site: Site) -> None:
    site.install("fb_plain", LOUDNESS)
    made = build({"_target_": "fb_plain.core.Loudness"}, ["fb_plain"])
    assert made.identity().name == "fb_plain.core.Loudness"


def test_two_registrations_of_one_name_are_refused_once_it_is_chosen(site: Site) -> None:
    site.install("fb_one", LOUDNESS, twice="fb_one.core:Loudness", alone="fb_one.core:Quiet")
    site.install("fb_two", LOUDNESS, twice="fb_two.core:Loudness")
    said = r"'twice' of featbank.extractors: expected one class of that name, got fb_\w+.core:Loud"
    for package in ("fb_one", "fb_two"):
        with pytest.raises(ConfigError, match=said):
            locate_class(f"{package}.core.Loudness")
    assert build({"_target_": "fb_one.core.Quiet"}).identity().name == "alone"


def test_a_name_of_ours_is_not_another_packages(site: Site) -> None:
    site.install("fb_thief", LOUDNESS, fbank="fb_thief.core:Loudness")
    with pytest.raises(ConfigError, match=r"kaldi:Fbank by featbank and fb_thief\.core"):
        build({"_target_": "fb_thief.core.Loudness"}).identity()


def test_what_cannot_be_loaded_fails_whoever_chooses_it_alone(site: Site) -> None:
    site.install("fb_broken", "import nowhere_at_all\n", broken="fb_broken.core:Loudness")
    assert Fbank().identity().name == "fbank"
    assert build({"_target_": "featbank.features.Fbank"}).identity().name == "fbank"
    with pytest.raises(ConfigError, match=r"'broken', as fb_broken 1.5 registers it: expected a"):
        build({"_target_": "fb_broken.core.Loudness"})


def test_a_registered_class_is_held_to_the_kind_that_its_place_is_for(site: Site) -> None:
    site.install("fb_kind", LOUDNESS, fb_loudness="fb_kind.core:Loudness")
    with pytest.raises(ConfigError, match="expected a class of Corpus, got Loudness"):
        build({"_target_": "fb_kind.core.Loudness"}, kind=CORPORA.load_contract())
