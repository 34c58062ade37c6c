"""Structured fields: read strictly, written canonically; held against http-sf, which nobody here wrote."""

import http_sf
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.access.structured import InnerList, Item, Token, byte_sequence, dictionary


def test_the_members_of_a_signature_input() -> None:
    text = 'sig1=("@method" "@query-param";name="Pet" "x-flag";sf);created=1618884473;keyid="k(1)";ok;no=?0;t=tok/en, sig2=()'
    found = dictionary(text)
    assert found["sig1"] == InnerList(
        (Item("@method", {}), Item("@query-param", {"name": "Pet"}), Item("x-flag", {"sf": True})),
        '("@method" "@query-param";name="Pet" "x-flag";sf)',
        {"created": 1618884473, "keyid": "k(1)", "ok": True, "no": False, "t": Token("tok/en")},
        ';created=1618884473;keyid="k(1)";ok;no=?0;t=tok/en',
    )
    assert found["sig2"] == InnerList((), "()", {}, "")


def test_other_members() -> None:
    assert dictionary('a=:YWJj:, b, c;x=1,\td=-5,e="q\\"\\\\", f=::') == {
        "a": Item(b"abc", {}),
        "b": Item(True, {}),
        "c": Item(True, {"x": 1}),
        "d": Item(-5, {}),
        "e": Item('q"\\', {}),
        "f": Item(b"", {}),
    }


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ('a=(  "b"   "c"  );  d=1', '("b" "c");d=1'),
        ("a=();b=?1;c=-0;d=007", "();b;c=0;d=7"),
        ('a=("x";b=?1)', '("x";b)'),
        ('a=("x)y" "z");b="\\"\\\\"', '("x)y" "z");b="\\"\\\\"'),
        ("a=(:YQ==: tok 5 ?0)", "(:YQ==: tok 5 ?0)"),
    ],
)
def test_the_canonical_form_of_lists(text: str, canonical: str) -> None:
    for _ in range(2):  # the second time from memory
        member = dictionary(text)["a"]
        assert isinstance(member, InnerList)
        assert member.text + member.parameters_text == canonical


MALFORMED = (
    ", ", "a,", "a, ", ", a", "a b", "a=", "a=;b", "A=1", "1=1", "=1", "a=(", "a=(1", "a=())", "a=(1,2)", "a=(1 2",
    "a=((1))", "a={}", ",", 'a=("b""c")', 'a=("b"', 'a="', 'a="é"', 'a="\\n"', 'a="\t"', 'a=%"x"', "a='b'", "a=1.5", "a=1.",
    "a=--1", "a=1234567890123456", "a=@1659578233", "a=?2", "a=?", "a=:YQ:", "a=:YQ=:", "a=:YR==:", "a=:Y Q==:", "a=:YQ==",
    "a=:====:", "a=1;", "a=1;B", "a=1;b=", "a=1 ;b", "a=1;\tb", "a=1;b=1;b=2", "a=();b=1;b=2", "a=1, a=2", "a=1,\n b=2",
    "a=1\x00", "a=\xa01", 'a=();b="1";b="2"', "k0, k1, k2, k3, k4, k5, k6, k7, k8", "",
    "a=();" + ";".join(f"p{n}=1" for n in range(17)),
    "a=();" + ";".join(f"p{n}" for n in range(17)),
    "a=(" + " ".join("1" for _ in range(33)) + ")",
    ", ".join(f"k{n}" for n in range(9)),
    "a=" + "1" * 9000,
)  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        dictionary(text)


def test_the_limits_themselves_pass() -> None:
    assert len(dictionary(", ".join(f"k{n}" for n in range(8)))) == 8
    lists = dictionary("a=(" + " ".join("1" for _ in range(32)) + ");" + ";".join(f"p{n}=1" for n in range(16)))["a"]
    assert isinstance(lists, InnerList)
    assert (len(lists.items), len(lists.parameters)) == (32, 16)


def test_each_byte_sequence_has_one_text() -> None:
    assert byte_sequence("AA==") == b"\0"
    for other in ("AB==", "AA=", "AA", "AA===", " AA==", "AA=A"):
        with pytest.raises(ValueError, match="byte sequence"):
            byte_sequence(other)


PIECES = st.sampled_from(
    [
        '"',
        "a",
        "b=",
        "=",
        "(",
        ")",
        " ",
        ";",
        ",",
        ", ",
        ":",
        "YQ==",
        ":YQ==:",
        "?1",
        "?0",
        "1",
        "-",
        "\\",
        '"x"',
        '("a" "b")',
        ";c=1",
        '=("@m");k="v"',
    ]
)


@settings(max_examples=250, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
@example('a=("x" "y";n="z");created=1;b=?1')
def test_what_we_read_another_reader_reads_alike(text: str) -> None:
    """We may refuse more (what comes twice, odd base64); what we accept means the same to both, in the same canonical form."""
    try:
        ours = dictionary(text)
    except ValueError:
        return
    theirs = http_sf.parse(text.encode(), tltype="dictionary")
    assert isinstance(theirs, dict)
    assert list(theirs) == list(ours)
    for key, member in ours.items():
        if isinstance(member, InnerList):
            written = dictionary(f"{key}={member.text}{member.parameters_text}")
            assert written[key] == member
            assert http_sf.ser({key: theirs[key]}) == f"{key}={member.text}{member.parameters_text}"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_good_order(text: str) -> None:
    try:
        dictionary(text)
    except ValueError:
        return
    assert text.isascii()
