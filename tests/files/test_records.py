from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pytest

from featbank.files.records import record


@dataclass(frozen=True, kw_only=True)
class Inner:
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    share: float
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    anything: Mapping[str, Any] | None = None
    one: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: Mapping[str, tuple[int, ...]] | None = None

    def __post_init__(self) -> None:
        if self.share < 0:
            raise ValueError("a share below 0")


def test_a_record_is_what_its_fields_were_of() -> None:
    whole = Outer(
        name="x",
        share=0.5,
        kind="b",
        flag=True,
        anything={"a": [1]},
        one=Inner(number=3),
        many=(Inner(), Inner(number=2)),
        named={"a": (1, 2)},
    )
    plain = {**asdict(whole), "many": [asdict(one) for one in whole.many], "named": {"a": [1, 2]}}
    assert record(Outer, plain) == whole
    assert record(Outer, {"name": "x", "share": 1}) == Outer(name="x", share=1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([], "no items by name but list"),
        ({"name": "x"}, "no share"),
        ({"more": 1}, "unknown more"),
        ({"name": 1}, "name: no str but 1"),
        ({"share": True}, "share: no float but True"),
        ({"share": "1"}, "share: no float but '1'"),
        ({"share": -1}, "a share below 0"),
        ({"flag": 1}, "flag: no bool but 1"),
        ({"kind": "c"}, "kind: no word of a closed set but 'c'"),
        ({"kind": ["a"]}, "kind: no word of a closed set"),
        ({"one": {"number": 1.5}}, "one.number: no int but 1.5"),
        ({"one": {"numbre": 1}}, "one: unknown numbre"),
        ({"many": {"number": 1}}, "many: no list but"),
        ({"many": [{"number": "x"}]}, "many.number: no int"),
        ({"named": {"a": [1, "x"]}}, "named.a: no int but 'x'"),
        ({"named": []}, r"named: no items by name but \[\]"),
        ({"many": None}, "many: no list but None"),
    ],
)
def test_a_field_of_another_kind_is_named(fields: Any, said: str) -> None:
    if isinstance(fields, dict) and fields != {"name": "x"}:
        fields = {"name": "x", "share": 1, **fields}
    with pytest.raises(ValueError, match=said):
        record(Outer, fields)
