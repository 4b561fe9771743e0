"""The fields of a model's configuration that decide its values, the same in every version.

Libraries write a configuration with few fields or with all of them, and add what they are
themselves. Here a field counts if the model would be another one without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig

ConfigT = TypeVar("ConfigT", bound=PreTrainedConfig)

NEUTRAL = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
"""Fields that change no value: who wrote the files, for which class, and in which precision.

The tensors tell in which they are stored, and all are computed with in float32.
"""


def drop_unknown(config: ConfigT) -> ConfigT:
    """Remove the fields that the class of a configuration does not know, and return it.

    A model would read some of them all the same (`is_causal`), which no version promises. Without
    them they can change nothing, and need no place in what names the weights.
    """
    for name in vars(config).keys() - vars(type(config)()).keys():
        delattr(config, name)
    for part in _parts(config).values():
        drop_unknown(part)
    return config


def deciding_fields(config: PreTrainedConfig, unread: Collection[str] = ()) -> dict[str, Any]:
    """Return the fewest fields that make the same configuration as all of them.

    What equals its default or follows from other fields is left out, so that it does not matter
    whether a file states it. The configurations of parts are taken alike.

    Args:
        config: of a model, without unknown fields.
        unread: names of fields that the model does not read.
    """
    kind, without = type(config), {*NEUTRAL, *unread}
    parts = _parts(config)
    given = {name: part.to_dict() for name, part in parts.items()}
    for one in given.values():
        one.pop("_name_or_path", None)  # which X-Codec of transformers 5.0 would ask the hub for
    fields = _fields(config, without)
    seen = _seen(config, fields)
    others = {name: value for name, value in fields.items() if value != _defaults(kind)[name]}
    if _made(kind, {**others, **given}, fields) == seen:
        fields = others  # at once what one by one would give, many times as fast
    for name in sorted(fields):
        fewer = {key: value for key, value in fields.items() if key != name}
        if _made(kind, {**fewer, **given}, seen) == seen:
            fields = fewer
    return {
        "model_type": kind.model_type,
        **_plain(fields),
        **{name: deciding_fields(part) for name, part in parts.items()},
    }


def _made(
    kind: type[PreTrainedConfig], fields: Mapping[str, Any], names: Iterable[str]
) -> Mapping[str, Any] | None:
    """Return what a configuration that is made of some fields says under all names."""
    try:
        return _seen(kind(**fields), names)
    except (StrictDataclassError, TypeError, ValueError):
        return None  # they do not fit together without the one that is left out


def _seen(config: PreTrainedConfig, names: Iterable[str]) -> Mapping[str, Any]:
    """Return what a model sees under the names of fields: of `_frame_rate`, its `frame_rate`."""
    own = config.to_dict()
    return {name: _plain(getattr(config, name.lstrip("_"), own.get(name))) for name in names}


def _fields(config: PreTrainedConfig, without: Collection[str]) -> dict[str, Any]:
    """Return the fields that the class knows, but for those of parts."""
    known, parts = _defaults(type(config)), _parts(config)
    return {
        name: value
        for name, value in config.to_dict().items()
        if name in known and name not in parts and name not in without
    }


def _defaults(kind: type[PreTrainedConfig]) -> Mapping[str, Any]:
    found: dict[str, Any] = kind().to_dict()
    return found


def _parts(config: PreTrainedConfig) -> dict[str, PreTrainedConfig]:
    return {
        name: value for name, value in vars(config).items() if isinstance(value, PreTrainedConfig)
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, with 1.0 as 1."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
