"""The digests of code know the classes behind public names."""

from __future__ import annotations

from pathlib import Path

import pytest

import featbank
from featbank.features import EXTRACTORS
from featbank.pipeline.code import named_modules
from featbank.pipeline.code_modules import Modules
from featbank.pipeline.code_syntax import source_digest
from featbank.pipeline.code_table import REGISTRIES, STAGES
from featbank.stability import DISTURBANCES


@pytest.fixture(scope="module")
def modules() -> Modules:
    return Modules.read(Path(featbank.__file__).parent)


def test_a_class_counts_alike_by_its_path_and_by_its_package(modules: Modules) -> None:
    kaldi = "featbank.features.signal.kaldi"
    for target in (f"{kaldi}.Fbank", "featbank.features.Fbank", "featbank.features.kaldi.Fbank"):
        inside, outside = named_modules(modules, EXTRACTORS, frozenset([target]))
        assert outside == {"extractor fbank"}
        assert kaldi in inside
        assert not any("encoders" in name for name in modules.behind(inside))


def test_a_line_more_in_a_table_is_no_change_of_any_other_option() -> None:
    for registry in REGISTRIES.values():
        face = registry.contract.partition(":")[0].rpartition(".")[0]
        file = Path(featbank.__file__).parents[1].joinpath(*face.split("."), "__init__.py")
        source = file.read_bytes()
        more = source.replace(b"    table={\n", b'    table={\n        "new": "a.b:New",\n')
        assert more != source
        assert source_digest(more) != source_digest(source)
        kept = source_digest(source, without_table=True)
        assert source_digest(more, without_table=True) == kept
        renamed = source.replace(registry.group.encode(), b"featbank.others")
        assert source_digest(renamed, without_table=True) != kept


def test_every_disturbance_counts_wherever_its_class_lies() -> None:
    for stage in ("stability_features", "stability_tokens"):
        assert {*DISTURBANCES.table.values()} <= {*STAGES[stage].functions}
