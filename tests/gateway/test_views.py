"""Views of documents: what is shown, and that nothing masked ever is."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.model import App, Platform
from config.policies import Grant, Mask
from gateway.views import View, cover, views_of


def view(**fields: Any) -> View:
    return View(msgspec.convert(fields, Grant))


@pytest.mark.req("2.24")
@pytest.mark.parametrize(
    ("mask", "value", "expected"),
    [
        (Mask(keep_first=1), "李小明", "李**"),
        (Mask(keep_first=3, keep_last=4), "13812348000", "138****8000"),
        (Mask(middle=4), "13812348000", "138****8000"),
        (Mask(last=4), "13812348000", "1381234****"),
        (Mask(keep_last=4), "6222021234567890", "************7890"),
        (Mask(hide=True), "310101199001011234", None),
        (Mask(), "anything", "********"),
        (Mask(keep_first=3, keep_last=4), "1234567", "*******"),
        (Mask(keep_first=3, keep_last=4), "12", "**"),
        (Mask(middle=4), "123", "***"),
        (Mask(middle=4), "12345", "****5"),
        (Mask(last=4), "123", "***"),
        (Mask(middle=4), "", ""),
    ],
)
def test_masks(mask: Mask, value: str, expected: str | None) -> None:
    assert cover(mask)(value) == expected


@pytest.mark.parametrize(
    "fields", [{"middle": 4, "last": 4}, {"hide": True, "keep_first": 1}, {"keep_last": 1, "middle": 1}, {"last": -1}]
)
def test_a_mask_has_one_form(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Mask)


RECORD = {
    "id": "K1",
    "name": "李小明",
    "mobile": 13812348000,
    "address": {"city": "上海", "street": "南京路", "geo": [31.2, 121.5]},
    "orders": [{"no": 1, "card": "6222"}, {"no": 2, "card": "6223", "extra": None}],
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["id"], {"id": "K1"}),
        (["id", "nothing"], {"id": "K1"}),
        (["address.city", "orders.no"], {"address": {"city": "上海"}, "orders": [{"no": 1}, {"no": 2}]}),
        (["address.city", "address"], {"address": RECORD["address"]}),
        (["address", "address.city"], {"address": RECORD["address"]}),
        (["name.first"], {"name": None}),
        (["address.geo.x"], {"address": {"geo": [None, None]}}),
    ],
)
def test_fields_are_selected(fields: list[str], expected: Any) -> None:
    assert view(fields=fields).shown(RECORD) == expected
    assert view(fields=fields).shown([RECORD]) == [expected]


def test_masks_reach_into_objects_and_lists() -> None:
    masks = {"mobile": {"middle": 4}, "orders.card": {"keep_last": 1}, "address.geo": {}, "id": {"hide": True}}
    assert view(masks=masks).shown(RECORD) == {
        "id": None,
        "name": "李小明",
        "mobile": "138****8000",
        "address": {"city": "上海", "street": "南京路", "geo": ["****", "*****"]},
        "orders": [{"no": 1, "card": "***2"}, {"no": 2, "card": "***3", "extra": None}],
    }


def test_a_mask_covers_all_that_is_in_a_field_and_a_deeper_one_wins() -> None:
    masks = {"address": {"keep_first": 1}, "address.city": {"hide": True}}
    assert view(masks=masks).shown(RECORD)["address"] == {"city": None, "street": "南**", "geo": ["3***", "1****"]}


def test_a_value_that_is_not_what_the_mask_expects_is_left_out() -> None:
    assert view(masks={"address.city": {}}).shown({"address": '{"city": "上海"}', "id": 1}) == {"address": None, "id": 1}
    assert view(masks={"a": {}}).shown("text") is None


def test_the_document_given_stays_as_it_is() -> None:
    before = msgspec.json.encode(RECORD)
    view(fields=["id", "orders"], masks={"orders.card": {}}).shown(RECORD)
    assert msgspec.json.encode(RECORD) == before


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("SECRET-77"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "secret", "x.secret"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES)
def test_what_stands_under_a_masked_or_ungranted_name_is_never_shown(value: Any) -> None:
    document = {"secret": value, "a": {"secret": value}, "b": [{"secret": value}], "c": 1}
    masked = msgspec.json.encode(view(masks={"secret": {}, "a.secret": {"hide": True}, "b.secret": {"last": 9}}).shown(document))
    assert b"SECRET" not in masked
    selected = view(fields=["c", "a.x", "b.a"]).shown(document)
    assert selected == {"c": 1, "a": {}, "b": [{}]}


def test_what_may_be_filtered_by_and_written() -> None:
    both = view(fields=["id", "name", "mobile", "address.city", "orders"], masks={"mobile": {}, "orders.card": {}})
    plain = {name for name in ("id", "name", "mobile", "address", "orders", "other") if both.is_plain(name)}
    assert plain == {"id", "name"}
    assert both.unwritable([{"id": 1}, {"name": 2, "orders": []}]) == "orders"
    assert both.unwritable({"id": 1, "name": {"x": 1}}) is None
    assert both.unwritable("text") is None


def test_names_of_masked_fields_in_a_query() -> None:
    masked = view(masks={"mobile": {}, "person.id_card": {}})
    for text in ("mobile", "filter[Mobile]", "mobile_gt 138", "sort -mobile", "x;mobile=1", "q.id_card"):
        assert masked.names_masked(text)
    for text in ("automobile", "person", "id", "page 2"):
        assert not masked.names_masked(text)
    assert not view(fields=["a"]).names_masked("mobile")


def test_views_are_for_apps_whose_grant_narrows_fields() -> None:
    grants = {
        "narrow": {"crm": Grant(fields=("id",))},
        "masked": {"crm": Grant(masks={"id": Mask()}), "other": Grant(fields=("x",))},
        "operations": {"crm": Grant(operations=("get",))},
        "none": {},
    }
    platform = Platform(apps={name: App(plan="p", grants=each) for name, each in grants.items()})
    assert {name: set(views) for name, views in views_of(platform).items()} == {"crm": {"narrow", "masked"}, "other": {"masked"}}
