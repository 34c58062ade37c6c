"""Bytes of every format, in every encoding and cut anywhere → rows; what is wrong goes to quarantine with its bytes, alone."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.records import BadRow
from core.schema import Dataset, Field, Format
from exchange.conversion import Conversion, Converted
from exchange.formats.decoder import decoder_for
from exchange.intake import reread

PEOPLE = Dataset(
    object="people",
    key=("id",),
    fields={"id": Field("integer", width=4), "name": Field("text", width=8), "note": Field("text", width=4)},
)
ROWS = [[1, "张三", "甲,乙"], [2, "李\n四", ""], [3, '王"五"', "丁"]]
TEXT = 'id,name,note\r\n1,张三,"甲,乙"\r\n2,"李\n四",\r\n3,"王""五""",丁\r\n'
ENCODINGS = ["utf-8", "utf-8-sig", "gbk", "gb18030", "big5", "utf-16", "utf-16-le", "utf-16-be"]
BIG5 = str.maketrans("张", "張")
Kind = Literal["csv", "xml", "json", "json_lines", "fixed_width"]


def dataset(kind: Kind, encoding: str = "utf-8", **more: Any) -> Dataset:
    return replace(PEOPLE, format=Format(kind, encoding=encoding, **more))


def decode(declared: Dataset, pieces: Sequence[bytes]) -> Converted:
    decoder = decoder_for(declared, Conversion(declared))
    result = Converted()
    for piece in pieces:
        result.extend(decoder.feed(piece))
    result.extend(decoder.finish())
    return result


def listed(converted: Converted) -> tuple[list[list[Any]], list[BadRow]]:
    return [list(row) for row in converted.rows], converted.bad


def single_bytes(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


@pytest.mark.req("0.28")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_csv_in_every_encoding_byte_by_byte(encoding: str) -> None:
    text = TEXT.translate(BIG5) if encoding == "big5" else TEXT
    data = text.encode(encoding)
    rows = [[1, "張三" if encoding == "big5" else "张三", "甲,乙"], *ROWS[1:]]
    for pieces in ([data], single_bytes(data), [b"", data, b""]):
        assert listed(decode(dataset("csv", encoding), pieces)) == (rows, [])


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_is_no_part_of_the_header(encoding: str) -> None:
    data = ("\ufeff" + TEXT).encode(encoding)
    for pieces in ([data], single_bytes(data)):
        assert listed(decode(dataset("csv", encoding), pieces)) == (ROWS, [])


CASES: list[tuple[Kind, dict[str, Any], str]] = [
    ("csv", {}, TEXT + '4,"x\n5,y,z\n6,15" screen,\n7,a\n'),
    ("csv", {"header": False, "delimiter": "|", "quote": "'"}, "1|张三|a\n2|'b\n|c'|\nx|bad|\n"),
    ("json_lines", {}, '{"id": 1, "name": "张三"}\n\n{"id": "x"}\nno json\n[1]\n'),
    ("fixed_width", {}, "0001abc     xy  \r\n0002张三  xy  \n3\n"),
    ("json", {"path": "data.items"}, '{"data": {"items": [{"id": 1, "name": "张三"}, 7, {"id": null}]}}'),
    ("xml", {"path": "p"}, "<?xml version='1.0' encoding='GBK'?><r><p id='1'><name>张三</name></p><p id='x'/></r>"),
]


@settings(max_examples=60, deadline=None)
@given(case=st.sampled_from(CASES), encoding=st.sampled_from(["utf-8", "gb18030", "utf-16"]), cuts=st.lists(st.integers(0, 260)))
def test_how_the_bytes_are_cut_makes_no_difference(case: tuple[Kind, dict[str, Any], str], encoding: str, cuts: list[int]) -> None:
    kind, more, text = case
    declared, data = dataset(kind, encoding, **more), text.encode(encoding)
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(at)]
    assert listed(decode(declared, pieces)) == listed(decode(declared, [data]))


def test_a_row_off_the_headers_width_is_bad_alone() -> None:
    result = decode(dataset("csv"), [b"id,name,note\n1,a,b\n2,a\n3,a,b,c\n4,a,b\n"])
    assert [row[0] for row in result.rows] == [1, 4]
    assert [(bad.place, bad.raw) for bad in result.bad] == [("line 3", b"2,a"), ("line 4", b"3,a,b,c")]
    assert all("where 3 were expected" in bad.reason for bad in result.bad)


def test_an_undecodable_byte_spoils_its_row_and_is_named() -> None:
    data = "id,name,note\n1,张三,x\n".encode("gb18030") + b"2,\xff,x\n3,b,x\n"
    result = decode(dataset("csv", "gb18030"), [data])
    assert [row[0] for row in result.rows] == [1, 3]
    assert [(bad.reason, bad.place, bad.raw) for bad in result.bad] == [
        ("byte ff at offset 2 is no gb18030 text", "line 3", b"2,\xff,x")
    ]


def test_a_stray_quote_protects_nothing() -> None:
    rows = "".join(f'{n},{n}" screen,x\n' for n in range(1, 6))
    assert len(decode(dataset("csv"), [f"id,name,note\n{rows}6,last,x".encode()]).rows) == 6


def test_behind_a_quote_that_nothing_closes_every_line_is_kept() -> None:
    result = decode(dataset("csv"), [b'id,name,note\n1,a,b\n2,"a,b\n3,c,d\n4,e,f\n'])
    assert listed(result)[0] == [[1, "a", "b"]]
    assert [(bad.place, bad.raw) for bad in result.bad] == [("line 3", b'2,"a,b'), ("line 4", b"3,c,d"), ("line 5", b"4,e,f")]
    assert all("the quote opened in line 3 is not closed" in bad.reason for bad in result.bad)


@pytest.mark.parametrize("size", [1, 65_536, 1 << 22])
def test_a_record_of_two_megabytes_is_bad_and_the_next_is_read(size: int) -> None:
    data = b"id,name,note\n1,a,b\n2," + b"x" * (2 << 20) + b",b\n3,a,b\n"
    pieces = [data[n : n + size] for n in range(0, len(data), size)] if size > 1 else [data[:2_000_000], data[2_000_000:]]
    result = decode(dataset("csv"), pieces)
    assert [row[0] for row in result.rows] == [1, 3]
    assert [(bad.place, len(bad.raw)) for bad in result.bad] == [("line 3", 65_536)]
    assert "longer than 1048576 bytes" in result.bad[0].reason


def test_an_unclosed_quote_in_front_of_a_large_file_keeps_every_line() -> None:
    lines = [b"%d,%s,z" % (n, b"y" * 1000) for n in range(2, 3000)]
    result = decode(dataset("csv"), [b'id,name,note\n1,"x,y\n' + b"\n".join(lines) + b"\n"])
    assert len(result.rows) + len(result.bad) == 2999
    assert {bad.raw for bad in result.bad} <= {*lines, b'1,"x,y'}
    assert len(result.rows) > 1000


BOMB = '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><r><p id="1"><name>&b;</name></p></r>'
XXE = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><r><p id="1"><name>&x;</name></p></r>'
DTD = '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd"><r><p id="1"/></r>'


@pytest.mark.parametrize("document", [BOMB, XXE, DTD, "<r><p>", "", "<r>&nbsp;</r>"])
def test_xml_with_entities_or_a_dtd_or_none_at_all_is_one_bad_row(document: str) -> None:
    result = decode(dataset("xml", path="p"), [document.encode()])
    assert result.rows == []
    assert [(bad.place, bad.raw) for bad in result.bad] == [("document", document.encode())]


@pytest.mark.parametrize("document", ["[" * 100_000, '{"id":' * 100_000, "[" * 5000 + "]" * 5000])
@pytest.mark.parametrize("kind", ["json", "json_lines"])
def test_nested_json_is_refused(kind: Kind, document: str) -> None:
    result = decode(dataset(kind), [document.encode()])
    assert (result.rows, len(result.bad)) == ([], 1)


def test_xml_nested_deeply_does_no_harm() -> None:
    result = decode(dataset("xml", path="p"), [b"<a>" * 50_000 + b"<p id='1'/>" + b"</a>" * 50_000])
    assert len(result.rows) == 1


def test_fixed_width_counts_bytes_and_tells_a_character_cut_in_two() -> None:
    good, cut = "0001张三    乙  ".encode("gbk"), "0002a张三张张乙 ".encode("gbk")
    result = decode(dataset("fixed_width", "gbk"), [good + b"\r\n" + cut + b"\n0003\n"])
    assert listed(result)[0] == [[1, "张三", "乙"]]
    assert [(bad.place, bad.raw) for bad in result.bad] == [("line 2", cut), ("line 3", b"0003")]
    assert "is no gbk text" in result.bad[0].reason
    assert "4 bytes where 16 were expected" in result.bad[1].reason


REPLAYED: list[tuple[Kind, dict[str, Any], str]] = [
    ("csv", {}, 'note,id,name\nn,1,a\n"甲\n乙",x7,张三\n'),
    ("csv", {"header": False}, "x7,张三,甲\n"),
    ("json_lines", {}, '{"id": "x7", "name": "张三"}\n'),
    ("json", {"path": "data.items"}, '{"data": {"items": [{"id": 1}, {"id": "x7", "name": "张三"}]}}'),
    ("xml", {"path": "p"}, "<r><p id='1'/><p id='x7'><name>张三</name></p></r>"),
]


@pytest.mark.parametrize(("kind", "more", "text"), REPLAYED)
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16", "utf-16-le"])
def test_a_bad_row_is_good_once_its_declaration_was_mended(kind: Kind, more: dict[str, Any], text: str, encoding: str) -> None:
    declared = dataset(kind, encoding, **more)
    result = decode(declared, [text.encode(encoding)])
    (bad,) = result.bad
    mended = replace(declared, fields={**declared.fields, "id": Field("text")})
    again = reread(mended, bad.raw, bad.columns)
    assert again.bad == []
    assert [row[:2] for row in listed(again)[0]] == [["x7", "张三"]]
    assert len(reread(declared, bad.raw, bad.columns).bad) == 1
