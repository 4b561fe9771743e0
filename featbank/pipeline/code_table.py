"""Table of the functions that each stage calls: with their imports, the code behind a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from featbank.base.registry import Registry
from featbank.corpora import CORPORA
from featbank.features import EXTRACTORS
from featbank.stability import DISTURBANCES


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCode:
    """Functions behind a stage, and the group of conf/ whose options name further classes.

    Args:
        functions: each `module:function`, or a constant that a schema takes as default. What a
            stage script and `pipeline` do besides calling them changes no byte of an output;
            `tests/pipeline/test_code.py` holds that.
        group: of conf/ whose option names further classes; the stage has a digest for each option.
    """

    functions: tuple[str, ...]
    group: Literal["corpus", "feature"] | None = None


_EXTRACT = "featbank.engine.extract:extract"
_TRAIN = "featbank.corpora.splits:TRAIN"
_FEATURE = "featbank.tokenizers.tokenized:feature_of_tokens"
_GAUGED = (
    *DISTURBANCES.table.values(),
    "featbank.stability.measuring:measure_stability",
    "featbank.stability.result:write_stability",
)

STAGES: Mapping[str, StageCode] = {
    "prepare": StageCode(functions=("featbank.corpora.prepare:prepare",), group="corpus"),
    "extract": StageCode(functions=(_EXTRACT,), group="feature"),
    "sample": StageCode(functions=("featbank.tokenizers.sample:write_sample", _TRAIN, _FEATURE)),
    "sample_from_audio": StageCode(
        functions=("featbank.engine.sample_audio:sample_audio", _EXTRACT, _TRAIN, _FEATURE),
        group="feature",
    ),
    "fit": StageCode(
        functions=(
            "featbank.tokenizers.fit:fit_codebook",
            "featbank.tokenizers.adopt:adopt_codebook",
        )
    ),
    "tokenize": StageCode(functions=("featbank.tokenizers.tokenize:tokenize", _FEATURE)),
    "tokenize_from_audio": StageCode(
        functions=("featbank.engine.tokenize_audio:tokenize_audio", _FEATURE), group="feature"
    ),
    "validate": StageCode(
        functions=(
            "featbank.validation.stores:validate_stores",
            "featbank.validation.result:write_check",
            "featbank.corpora.splits:HELD_OUT",
            _TRAIN,
        )
    ),
    "stability_features": StageCode(
        functions=(*_GAUGED, "featbank.validation.header:is_tokens", _EXTRACT), group="feature"
    ),
    "stability_tokens": StageCode(
        functions=(*_GAUGED, "featbank.stability.units:measured_units", _FEATURE),
        group="feature",
    ),
    "report": StageCode(
        functions=(
            "featbank.report.page:write_report",
            "featbank.report.clips:read_clips",
            "featbank.base.failure_kinds:failures_by_kind",
            "featbank.base.failures:iterate_failures",
            "featbank.validation.result:read_check",
            "featbank.stability.result:read_stabilities",
        )
    ),
}
"""By the name of its digest: `code/<stage>`, or `code/<stage>/<option>` for each option."""

REGISTRIES: Mapping[str, Registry] = {"corpus": CORPORA, "feature": EXTRACTORS}
"""By group of conf/. Of the table of each, what a definition chooses counts, and no other line."""
