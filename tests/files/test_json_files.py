from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from featbank.errors import StoreError
from featbank.files.json_files import parse_json, read_json


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"id": "é", "n": [1, -2.5e-3, True, None], "in": {"in": {}}},
        {"smallest": -(1 << 63), "largest": (1 << 64) - 1},
        {"many": [[1], [2]] * 1000},
        {"deep": json.loads("[" * 63 + "]" * 63)},
    ],
)
def test_what_is_good_is_what_json_reads(value: object) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert parse_json(text.encode(), "here", StoreError) == value
        assert parse_json(text, "here", StoreError) == value


def test_a_pair_of_surrogates_is_the_character_it_stands_for() -> None:
    assert parse_json(rb'{"a":"\ud83d\ude00 \\ud800"}', "x", StoreError) == {
        "a": "\U0001f600 \\ud800"
    }


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "Expecting value"),
    "not JSON": (b"{'a': 1}", "double quotes"),
    "two values": (b"{}{}", "Extra data"),
    "cut off": (b'{"a": [1, 2', "delimiter"),
    "not UTF-8": (b'{"a": "\xff"}', "utf-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "utf-8"),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', "Expecting value"),
    "an encoded surrogate": (b'{"a": "\xed\xa0\x80"}', "utf-8"),
    "an escaped surrogate": (rb'{"a": ["\uD800"]}', "surrogates"),
    "an escaped surrogate as a key": (rb'{"\udfff": 1}', "surrogates"),
    "NaN": (b'{"a": NaN}', "not finite, NaN"),
    "infinity": (b'{"a": -Infinity}', "not finite, -Infinity"),
    "a power without end": (b'{"a": 1e999}', "not finite, 1e999"),
    "a long power": (b'{"a": 1.5e' + b"9" * 10_000 + b"}", "not finite"),
    "5,000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
    "10^400": (b'{"a": 1' + b"0" * 400 + b"}", "a number of 401 digits"),
    "2^64": (b'{"a": 18446744073709551616}', "more than 64 bits"),
    "-2^63 - 1": (b'{"a": -9223372036854775809}', "more than 64 bits"),
    "a key twice": (b'{"a": {"b": 1, "c": 2, "b": 1}}', "the key 'b' twice"),
    "nested deeply": (b'{"a":' * 65 + b"1" + b"}" * 65, "nesting over 64 deep"),
    "nested without end": (b'{"a":' + b"[" * 100_000, "nesting without end"),
    "nested and closed": (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", "nesting over 64 deep"),
    "a list": (b"[1]", "got list"),
    "a number": (b"1", "got int"),
    "null": (b"null", "got NoneType"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_bad_is_the_callers_one_error(name: str) -> None:
    text, got = BAD[name]
    with pytest.raises(StoreError, match=got) as caught:
        parse_json(text, "header.json", StoreError, hint="fetch it again")
    said = str(caught.value)
    assert said.startswith("header.json: expected a JSON object, got ")
    assert said.endswith("; fetch it again")
    assert len(said) < 300
    assert "\n" not in said


def test_half_a_surrogate_pair_in_a_text_is_refused_too() -> None:
    with pytest.raises(StoreError, match="surrogates"):
        parse_json('{"a": "\ud800"}', "here", StoreError)


def test_another_kind_than_an_object_is_read_where_it_is_asked_for() -> None:
    assert parse_json("[1]", "here", StoreError, kind=list) == [1]
    assert parse_json('"a"', "here", StoreError, kind=str) == "a"
    with pytest.raises(StoreError, match="expected a JSON list, got dict"):
        parse_json("{}", "here", StoreError, kind=list)


def test_a_file_is_read_or_the_callers_error_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_json(path, what="note", error=StoreError) == {"a": 1}
    with pytest.raises(StoreError, match=r"note .*a\.json: expected a file, got 8 bytes or more"):
        read_json(path, what="note", error=StoreError, max_bytes=7)
    path.unlink()
    with pytest.raises(StoreError, match="got nothing there; make it"):
        read_json(path, what="note", error=StoreError, hint="make it")
    os.mkfifo(path)
    with pytest.raises(StoreError, match="got a pipe"):
        read_json(path, what="note", error=StoreError)
