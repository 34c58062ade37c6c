"""Bytes of every format, in every encoding and cut anywhere → rows; what is wrong goes to quarantine with its bytes, alone."""

import gzip
import io
import itertools
import tracemalloc
import zipfile
from collections.abc import Sequence
from datetime import date
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
from tests.exchange.workbooks import workbook

PEOPLE = Dataset(
    object="people",
    key=("id",),
    fields={"id": Field("integer", width=4), "name": Field("text", width=8), "note": Field("text", width=4)},
)
ROWS = [[1, "张三", "甲,乙"], [2, "李\n四", ""], [3, '王"五"', "丁"]]
TEXT = 'id,name,note\r\n1,张三,"甲,乙"\r\n2,"李\n四",\r\n3,"王""五""",丁\r\n'
ENCODINGS = ["utf-8", "utf-8-sig", "gbk", "gb18030", "big5", "utf-16", "utf-16-le", "utf-16-be"]
BIG5 = str.maketrans("张", "張")
Kind = Literal["csv", "xml", "json", "json_lines", "fixed_width", "excel"]


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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_what_is_no_text_in_a_wide_encoding_is_kept_as_it_came_and_named(encoding: str) -> None:
    wrong = "\ud800".encode(encoding.replace("utf-16", "utf-16-le") if encoding == "utf-16" else encoding, "surrogatepass")
    line = "2,张".encode("utf-16-le" if encoding == "utf-16" else encoding)
    rest = ",x\n3,b,x\n".encode("utf-16-le" if encoding == "utf-16" else encoding)
    data = "id,name,note\n1,张三,x\n".encode(encoding) + line + wrong + rest
    for pieces in ([data], single_bytes(data)):
        result = decode(dataset("csv", encoding), pieces)
        assert [row[0] for row in result.rows] == [1, 3]
        (bad,) = result.bad
        assert bad.reason == f"byte {wrong.hex(' ')} at offset {len(line)} is no {encoding} text"
        assert line + wrong in bad.raw  # behind a byte order mark where the encoding has one
        assert len(reread(dataset("csv", encoding), bad.raw, bad.columns).bad) == 1


def test_a_file_that_ends_in_the_middle_of_a_wide_character_keeps_its_last_byte() -> None:
    (bad,) = decode(dataset("csv", "utf-16-be"), ["id,name,note\n1,a,x".encode("utf-16-be") + b"\x00"]).bad
    assert bad.raw == "1,a,x".encode("utf-16-be") + b"\x00"


def test_a_wide_record_that_is_too_long_is_cut_between_characters() -> None:
    data = ("id,name,note\n1," + "张" * 400_000 + ",b\n3,a,b\n").encode("utf-16-le")
    result = decode(dataset("csv", "utf-16-le"), [data])
    assert [row[0] for row in result.rows] == [3]
    assert result.bad[0].raw.decode("utf-16-le").rstrip("张") == "1,"


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


SALES = Dataset(
    object="sales.xlsx",
    key=("id",),
    fields={"id": "integer", "name": "text", "amount": "decimal", "day": "date", "paid": "boolean"},
    format=Format("excel"),
)
HEADER = ["id", "name", "amount", "day", "paid"]
MAY = date(2024, 5, 10)


def test_a_workbook_gives_exact_values_and_bad_cells_go_alone() -> None:
    rows: list[list[object]] = [
        [*HEADER],
        [1, "张三", 0.1, MAY, True],
        [],
        [2, " 李<四> ", 12, MAY, False],
        ["x", "bad", 1, MAY, True],
        [3, "short"],
    ]
    file = workbook({"说明": [["nothing"]], "销售": rows})
    declared = replace(SALES, format=Format("excel", sheet="销售"))
    for size in (1, 1000, len(file)):
        result = decode(declared, [file[at : at + size] for at in range(0, len(file), size)])
        assert [list(row) for row in result.rows] == [
            [1, "张三", "0.1", "2024-05-10", True],
            [2, " 李<四> ", "12", "2024-05-10", False],
            [3, "short", None, None, None],
        ]
        (bad,) = result.bad
        assert (bad.place, bad.reason) == ("line 5", "id: expected an integer, got 'x'")
        mended = reread(declared, bad.raw.replace(b'"x"', b"7"), bad.columns)
        assert mended.rows[0][0] == 7


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "no workbook that can be read"),
        (b"id,name\n1,a\n", "no workbook that can be read"),
        (workbook({"a": [HEADER]})[:900], "no workbook that can be read"),
    ],
    ids=["empty", "csv", "cut short"],
)
def test_what_is_no_workbook_is_one_bad_row(file: bytes, reason: str) -> None:
    result = decode(SALES, [file])
    assert result.rows == []
    assert [bad.reason.startswith(reason) for bad in result.bad] == [True]


def test_a_sheet_that_is_not_there_is_named_with_those_that_are() -> None:
    (bad,) = decode(replace(SALES, format=Format("excel", sheet="五月")), [workbook({"四月": [HEADER], "六月": [HEADER]})]).bad
    assert bad.reason == "there is no sheet '五月'; there are 四月, 六月"


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_gzip_in_any_pieces_and_several_members(size: int) -> None:
    text = TEXT.encode()
    packed = gzip.compress(text[:20]) + gzip.compress(text[20:]) + b"\0" * 10
    result = decode(dataset("csv", compression="gzip"), [packed[at : at + size] for at in range(0, len(packed), size)])
    assert ([list(row) for row in result.rows], result.bad) == (ROWS, [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(TEXT.encode())[:-9], "gzip: it ends before it is whole"),
        (TEXT.encode(), "gzip: it is no gzip file, or damaged"),
        (gzip.compress(TEXT.encode()) + b"more", "gzip: there is something behind its end"),
        (b"", "gzip: it is empty"),
    ],
    ids=["cut short", "not packed", "tail", "empty"],
)
def test_a_gzip_that_is_damaged_is_said_so(data: bytes, reason: str) -> None:
    assert [bad.reason for bad in decode(dataset("csv", compression="gzip"), [data]).bad] == [reason]


def test_a_bomb_is_stopped_long_before_its_end() -> None:
    bomb = gzip.compress(b"0" * (1 << 27))
    tracemalloc.start()
    result = decode(dataset("json_lines", compression="gzip"), [bomb])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.bad[-1].reason == "gzip: it unpacks to more than 200 times its size"
    assert peak < 1 << 25
    archive = _zip({"a.jsonl": b"0" * (1 << 27)})
    assert (
        decode(dataset("json_lines", compression="zip"), [archive]).bad[-1].reason
        == "zip: it unpacks to more than 200 times its size"
    )


def _zip(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def test_the_members_of_an_archive_that_fit_are_read_each_by_itself() -> None:
    head, line = "id,name,note\n", "1,张三,甲\n"
    bad = "9,\n"
    archive = _zip({"daily/a.csv": (head + line).encode("gbk"), "readme.txt": b"no", "../b.csv": (head + bad + line).encode("gbk")})
    result = decode(dataset("csv", "gbk", compression="zip", members="*.csv"), [archive[:100], archive[100:]])
    assert [list(row) for row in result.rows] == [[1, "张三", "甲"]] * 2
    assert [each.place for each in result.bad] == ["../b.csv line 2"]
    mended = reread(dataset("csv", "gbk", compression="zip"), "9,李四,乙".encode("gbk"), result.bad[0].columns)
    assert [list(row) for row in mended.rows] == [[9, "李四", "乙"]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04 no", "zip: it is no zip archive, or damaged, or of a kind that is not read"),
        (_zip({"a.txt": b"x"}), "zip: no member fits '*.csv'"),
        (_zip({f"{number}.csv": b"" for number in range(1_001)}), "zip: it has more than 1000 members"),
    ],
    ids=["damaged", "nothing fits", "too many"],
)
def test_an_archive_that_can_t_be_read_is_one_bad_row(data: bytes, reason: str) -> None:
    result = decode(dataset("csv", compression="zip", members="*.csv"), [data])
    assert [bad.reason for bad in result.bad] == [reason]
