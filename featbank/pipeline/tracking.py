"""Guard of outputs that DVC tracks: values typed by hand need outputs of their own."""

from __future__ import annotations

from pathlib import Path

from featbank.errors import ConfigError
from featbank.pipeline.composition.composed import typed_values
from featbank.pipeline.dvc_outputs import is_tracked
from featbank.pipeline.sections import Knobs

_OWN_NAME = (
    "give the new output a name of its own (corpus.name=..., feature.name=... or "
    "tokenizer.name=...)"
)


def refuse_tracked(config: Knobs, out: str | Path, *, hint: str = _OWN_NAME) -> None:
    """Refuse values typed by hand for an output that DVC tracks under the same name.

    What DVC tracks holds what the definitions in conf/ say; another content needs another name.

    Args:
        config: of the stage.
        out: what it is about to write.
        hint: what else to type.

    Raises:
        ConfigError: `out` is tracked, and a value differs from its definition.
    """
    typed = typed_values(type(config))
    if not typed or not is_tracked(Path(out)):
        return
    raise ConfigError(
        f"{out} is tracked by DVC",
        expected="the values of its definition in conf/",
        got=" ".join(typed),
        hint=f"{hint}, or change the definition and run dvc repro",
    )
