"""Every class of wrong input is named with file and line, and a right document comes out ready to send."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.load import load_platform, parse_document, parse_resource, source_settings
from config.model import App, Platform, Source
from config.problem import InvalidDocument
from core.errors import ConfigError
from core.secret import Secret
from tests.config.sample import ADAPTERS, PLATFORM, VARIABLES, TableSettings, WebSettings, line_of, swapped, without


def load(folder: Path, text: str, variables: dict[str, str] | None = None) -> dict[str, Any]:
    path = folder / "platform.yaml"
    path.write_text(text, encoding="utf-8")
    return load_platform(path, VARIABLES if variables is None else variables, ADAPTERS)


def refusal(folder: Path, text: str, variables: dict[str, str] | None = None) -> list[str]:
    """The lines of the refusal, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, variables)
    return caught.value.detail.replace(f"{folder}/", "").split("\n")


def test_right_document_is_ready_to_send_as_json(tmp_path: Path) -> None:
    document = load(tmp_path, PLATFORM, {**VARIABLES, "CRM_PORT": "1444"})
    crm = document["sources"]["crm"]
    assert crm["settings"]["port"] == 1444
    assert crm["settings"]["password"] == "s3cret-word"
    assert document["sources"]["drops"]["settings"]["password"] == "sealed:abc"
    platform = parse_document(json.loads(json.dumps(document)), ADAPTERS)
    assert platform.jobs["tickets"].schedule.every_s == 60
    assert platform.sources["crm"].datasets["customers"].source_name("updated_at") == "ModifiedAt"


def test_empty_file_is_an_empty_platform(tmp_path: Path) -> None:
    assert parse_document(load(tmp_path, "# nothing yet\n"), ADAPTERS) == Platform()


@pytest.mark.req("0.03")
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("filters: [mobile]", "filtres: [mobile]", "services.customers.filtres: unknown field; did you mean 'filters'?"),
        ("per_s: 50", "per_s: fast", "plans.standard.per_s: expected a number, got text 'fast'"),
        ("per_s: 50", "per_s: 0", "plans.standard.per_s: must be more than 0, got the number 0"),
        (", burst: 100", "", "plans.standard.burst: required field is missing; expected a whole number"),
        ("burst: 100", "burst: true", "plans.standard.burst: expected a whole number, got true"),
        ("  shop:", "  Shop_1:", "apps.Shop_1: text 'Shop_1' is not valid here: lower case, digits and hyphens"),
        (
            "kind: realtime",
            "kind: realtme",
            "kind: expected one of asynchronous, realtime, synchronous, got text 'realtme'; did you mean 'realtime'?",
        ),
        ("scopes: [", "scopes: [all, ", "apps.shop.scopes.0: text 'all' is not valid here: <service>:read, <service>:write or"),
        ("addresses: [203.0.113.7]", "addresses: 203.0.113.7", "apps.shop.addresses: expected a list, got text '203.0.113.7'"),
        ("host: db.example", "hots: db.example", "sources.crm.settings.hots: unknown field; did you mean 'host'?"),
        ("database: crm", "database: 7", "sources.crm.settings.database: expected text, got the number 7; put it in quotes"),
        (
            "password: env:CRM_PASSWORD",
            "password: 123456",
            "sources.crm.settings.password: expected text (a secret), got a number;",
        ),
        ("port: ${CRM_PORT:-1433}", "port: 99999", "sources.crm.settings.port: must be at most 65535, got the number 99999"),
        ("schema: sales", "shema: sales", "sources.crm.datasets.customers.options.shema: unknown field; did you mean 'schema'?"),
        ("schema: sales", 'schema: ""', "sources.crm.datasets.customers.options.schema: needs at least 1 character, has 0"),
        ("adapter: sqlserver", "adapter: sqlsever", "sources.crm.adapter: unknown adapter 'sqlsever'; did you mean 'sqlserver'?"),
        ("kind: bearer", "kind: bearr", "sources.web.settings.auth.kind: text 'bearr' is unknown; did you mean 'bearer'?"),
        ("kind: bearer, ", "", "sources.web.settings.auth.kind: required field is missing; one of basic, bearer"),
        ("token: hidden", "tokn: hidden", "sources.web.settings.auth.tokn: unknown field; did you mean 'token'?"),
        ('path: "/po', 'pth: "/po', "sources.web.settings.operations.points.pth: unknown field; did you mean 'path'?"),
        ("name: {type: text,", "name: {type: txt,", "sources.crm.datasets.customers.fields.name.type: expected one of"),
        ("mobile: text", "mobile: txt", "sources.crm.datasets.customers.fields.mobile: expected"),
        ("mobile: text", "mobile: 7", "sources.crm.datasets.customers.fields.mobile: expected a mapping or one of"),
        ("version: 1", "version: 2", "version: expected 1, got the number 2"),
        ("plan: standard", "plan: standrad", "apps.shop.plan: plan 'standrad' is not declared in plans; did you mean 'standard'?"),
        (
            "env:CRM_PASSWORD",
            "env:CRM_PASWORD",
            "sources.crm.settings.password: environment variable CRM_PASWORD is not set or empty",
        ),
        ("env:CRM_PASSWORD", "file:crm.key", "sources.crm.settings.password: secret file"),
    ],
)
def test_wrong_input_is_named_with_file_and_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = swapped(PLATFORM, old, new)
    lines = refusal(tmp_path, text)
    at = line_of(text, new) if new else line_of(PLATFORM, old)
    assert any(found.startswith(f"platform.yaml:{at}:") and expected in found for found in lines), lines


def test_rule_of_an_adapters_own_type_is_told_at_its_settings(tmp_path: Path) -> None:
    text = swapped(PLATFORM, "database: crm", "database: db.example")
    at = line_of(text, "    settings:")
    assert refusal(tmp_path, text) == [f"platform.yaml:{at}:5: sources.crm.settings: host and database are the same"]


def test_column_is_that_of_the_key(tmp_path: Path) -> None:
    [found] = refusal(tmp_path, "plans:\n  standard:\n    per_s: 5\n    titel: Gold\n    burst: 1\n")
    assert found == "platform.yaml:4:5: plans.standard.titel: unknown field; did you mean 'title'?"


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = swapped(PLATFORM, "per_s: 50", "per_s: fast")
    text = swapped(text, "host: db.example", "hots: db.example")
    text = swapped(text, 'cron: "0 23 * * *"', 'cron: "0 25 * * *"')
    lines = refusal(tmp_path, text)
    assert [line.split(": ")[1] for line in lines] == [
        "plans.standard.per_s",
        "sources.crm.settings.host",
        "sources.crm.settings.hots",
        "jobs.customers.schedule.cron",
    ]


def test_reference_to_a_misshapen_resource_is_no_second_problem(tmp_path: Path) -> None:
    [found] = refusal(tmp_path, without(PLATFORM, ", burst: 100"))
    assert "plans.standard.burst" in found


def test_document_that_is_no_mapping(tmp_path: Path) -> None:
    assert refusal(tmp_path, "- a\n") == ["platform.yaml:1:1: expected a mapping, got a list"]


def test_secret_is_never_shown(tmp_path: Path) -> None:
    text = swapped(PLATFORM, "host: db.example", "host: [a]")
    text = swapped(text, "${CRM_PORT:-1433}", "${CRM_PASSWORD}")
    text = swapped(text, "password: env:CRM_PASSWORD", "password: [hunter2]")
    told = "\n".join(refusal(tmp_path, text))
    assert "sources.crm.settings.port: expected a whole number, got text" in told
    assert "s3cret-word" not in told
    assert "hunter2" not in told


def test_variable_in_the_wrong_place_is_never_shown(tmp_path: Path) -> None:
    text = swapped(PLATFORM, "kind: bearer", 'kind: "${CRM_PASSWORD}"')
    text = swapped(text, "mobile: text", "mobile: ${CRM_PASSWORD}")
    text = swapped(text, "kind: realtime", 'kind: "${CRM_PASSWORD}"')
    told = refusal(tmp_path, text)
    assert len(told) == 3
    assert "s3cret" not in "\n".join(told)


def test_secret_file_beside_the_document(tmp_path: Path) -> None:
    (tmp_path / "crm.key").write_text("from a file\n")
    document = load(tmp_path, swapped(PLATFORM, "env:CRM_PASSWORD", "file:crm.key"))
    assert document["sources"]["crm"]["settings"]["password"] == "from a file"


def test_secret_in_a_union_of_nested_structs(tmp_path: Path) -> None:
    text = swapped(PLATFORM, "{kind: bearer, token: hidden}", '{kind: basic, user: u, password: "env:CRM_PASSWORD"}')
    document = load(tmp_path, text)
    assert document["sources"]["web"]["settings"]["auth"]["password"] == "s3cret-word"


def test_variable_serves_text_number_and_boolean_fields(tmp_path: Path) -> None:
    text = swapped(PLATFORM, "user: zhiyun\n", "user: ${NUMBER}\n      encrypt: ${FLAG}\n      timeout_s: ${HALF}\n")
    document = load(tmp_path, text, {**VARIABLES, "NUMBER": "7", "FLAG": "false", "HALF": "0.5"})
    settings_of_crm = document["sources"]["crm"]["settings"]
    assert (settings_of_crm["user"], settings_of_crm["encrypt"], settings_of_crm["timeout_s"]) == ("7", False, 0.5)


def test_document_from_json_is_named_by_path_and_refuses_references_to_files() -> None:
    body = {"sources": {"crm": {"adapter": "ftp", "settings": {"host": "h", "user": "u", "password": "file:/etc/shadow"}}}}
    with pytest.raises(InvalidDocument) as caught:
        parse_document(body, ADAPTERS)
    assert caught.value.problems[0].path == ("sources", "crm", "settings", "password")
    assert "'file:' is resolved where the document is loaded" in caught.value.detail


def test_single_resource_by_kind() -> None:
    app = parse_resource("app", "shop", {"plan": "standard", "scopes": ["customers:read"]}, ADAPTERS)
    assert app == App(plan="standard", scopes=("customers:read",))
    with pytest.raises(InvalidDocument, match=r"^apps\.shop\.plna: unknown field; did you mean 'plan'\?"):
        parse_resource("app", "shop", {"plna": "standard"}, ADAPTERS)
    with pytest.raises(InvalidDocument, match=r"^sources\.crm\.settings\.host: required field is missing"):
        parse_resource("source", "crm", {"adapter": "ftp", "settings": {}}, ADAPTERS)


def test_name_that_ends_in_a_line_break_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="lower case, digits and hyphens"):
        parse_resource("app", "shop\n", {"plan": "standard"}, ADAPTERS)


def test_stored_settings_open_as_the_adapters_own_type() -> None:
    stored = Source(
        adapter="sqlserver",
        settings={"host": "h", "database": "d", "user": "u", "password": "sealed:drow"},
    )
    opened = source_settings(stored, ADAPTERS, lambda text: text.removeprefix("sealed:")[::-1])
    assert opened == TableSettings(host="h", database="d", user="u", password=Secret("word"))
    with pytest.raises(ConfigError, match="unknown adapter 'oracle'"):
        source_settings(Source(adapter="oracle", settings={}), ADAPTERS, str)


def test_optional_union_may_be_absent() -> None:
    stored = Source(adapter="http_json", settings={"url": "http://x", "auth": None})
    assert source_settings(stored, ADAPTERS, str) == WebSettings(url="http://x")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["env:X", "${X}", "sealed:"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["sources", "apps", "crm", "settings", "adapter", "datasets", "fields", "key", "jobs", "schedule", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    document=VALUES, place=st.sampled_from([(), ("sources",), ("sources", "crm"), ("jobs", "j"), ("services", "s"), ("apps", "a")])
)
def test_any_plain_document_is_read_or_refused(document: Any, place: tuple[str, ...]) -> None:
    for key in reversed(place):
        document = {key: document}
    with contextlib.suppress(ConfigError):
        parse_document(document, ADAPTERS)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_right_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(PLATFORM)))
    end = data.draw(st.integers(start, min(start + 30, len(PLATFORM))))
    piece = data.draw(
        st.text(max_size=8) | st.sampled_from(["\n  ", "{", "}", "&a ", "*a", "!!x ", ": ", "- ", "${X}", '"\\U99999999"'])
    )
    path = tmp_path / "platform.yaml"
    path.write_bytes((PLATFORM[:start] + piece + PLATFORM[end:]).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):
        load_platform(path, VARIABLES, ADAPTERS)
