"""What is proposed for a file reads it back as it was written."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.schema import Dataset, Field, FieldType, Format
from exchange.conversion import Conversion
from exchange.formats.decoder import decoder_for
from exchange.formats.detect import detect

_SIMPLE = "客户编号,姓名,城市,金额,更新时间\n" + "".join(
    f"K{n:04},王小明,四川省成都市高新区,{n * 1.5},2024-05-{n % 28 + 1:02} 08:00:00\n" for n in range(60)
)
_TRADITIONAL = "客戶編號,姓名,城市,金額\n" + "".join(f"K{n:04},王曉明,臺北市信義區松仁路,{n}\n" for n in range(60))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_simplified_chinese(encoding: str, delimiter: str) -> None:
    found = detect(_SIMPLE.replace(",", delimiter).encode(encoding))
    assert (found.encoding, found.delimiter, found.header, found.sure) == (encoding, delimiter, True, True)
    assert found.columns == ("客户编号", "姓名", "城市", "金额", "更新时间")
    assert found.rows[0][:3] == ["K0000", "王小明", "四川省成都市高新区"]


def test_traditional_chinese_in_big5_and_a_cut_in_the_middle_of_a_character() -> None:
    data = _TRADITIONAL.encode("big5")
    for end in range(len(data) - 40, len(data)):
        found = detect(data[:end])
        assert (found.encoding, found.columns[2]) == ("big5", "城市")
    assert detect(_TRADITIONAL.encode("gb18030")).encoding == "gb18030"


def test_a_file_without_a_header_and_one_with_quotes() -> None:
    plain = detect("1;北京;2.5\n2;上海;3\n".encode("gb18030") * 20)
    assert (plain.header, plain.columns, plain.delimiter) == (False, ("column_1", "column_2", "column_3"), ";")
    quoted = detect(b"id,note\n" + b"1,'a, b'\n2,'c, d'\n" * 20)
    assert (quoted.quote, quoted.rows[0]) == ("'", ["1", "a, b"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xfe\xfd" * 9, "no text|no delimiter"),
        (b"\xff,\xff\n" * 9, "no text"),
        (b"one\ntwo\n", "no delimiter"),
        (b"\n\n", "no delimiter"),
    ],
)
def test_what_is_no_table_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        detect(data)


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_proposed_for_or_refused(data: bytes) -> None:
    try:
        found = detect(data)
    except InvalidInput:
        return
    assert len(found.columns) > 1
    assert all(len(row) == len(found.columns) for row in found.rows)


_WORDS = st.text(st.sampled_from("王李张刘陈杨赵黄周吴北京上海成都客户电话姓名"), min_size=2, max_size=6)


@given(
    rows=st.lists(st.tuples(st.integers(0, 10**6), _WORDS, _WORDS), min_size=3, max_size=40),
    encoding=st.sampled_from(["utf-8", "gb18030", "utf-16"]),
    delimiter=st.sampled_from(",\t;|"),
)
def test_the_proposal_reads_the_file_back(rows: list[tuple[int, str, str]], encoding: str, delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([("编号", "名称", "备注"), *rows])
    data = text.getvalue().encode(encoding)
    found = detect(data)
    form = Format("csv", encoding=found.encoding, delimiter=found.delimiter, quote=found.quote, header=found.header)
    fields: dict[str, Field | FieldType] = {
        "id": Field("integer", source="编号"),
        "name": Field(source="名称"),
        "note": Field(source="备注"),
    }
    declared = Dataset(object="x", key=("id",), fields=fields, format=form)
    decoder = decoder_for(declared, Conversion(declared))
    result = decoder.feed(data)
    result.extend(decoder.finish())
    assert ([tuple(row) for row in result.rows], result.bad) == (rows, [])
