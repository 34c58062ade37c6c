"""References that lead nowhere, and declarations that can't work, are refused before anything runs."""

from pathlib import Path

import pytest

from config.check import problems
from config.load import load_platform, parse_document
from config.model import App, Job, Platform, Schedule, Service
from config.problem import Problem
from core.errors import ConfigError
from tests.config.sample import ADAPTERS, PLATFORM, VARIABLES, line_of, swapped, without


def refusal(folder: Path, text: str) -> list[str]:
    path = folder / "platform.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_platform(path, VARIABLES, ADAPTERS)
    return caught.value.detail.replace(f"{folder}/", "").split("\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("proxy: agency", "proxy: agent", "apps.shop.proxy: proxy 'agent' is not declared in proxies; did you mean 'agency'?"),
        ("[customers:read", "[customer:read", "apps.shop.scopes.0: service 'customer' is not declared in services; did you mean"),
        (
            "points:read]",
            "points:write]",
            "apps.shop.scopes.2: service 'points' is realtime and can't be written; only points:read",
        ),
        ("203.0.113.7", "203.0.113.0.7", "apps.shop.addresses.0: '203.0.113.0.7' is not a network such as 10.2.0.0/16"),
        ("10.2.0.0/16", "10.2.0.1/16", "proxies.agency.addresses.0: '10.2.0.1/16' is not a network"),
        ("key: [customer_id]", "key: [custmer_id]", "customers.key.0: field 'custmer_id' is not declared in fields; did you mean"),
        ("key: [id]", "key: [id, id]", "tickets.key.1: field 'id' stands in key twice"),
        ("cursor: updated_at", "cursor: updated", "customers.cursor: field 'updated' is not declared in fields; did you mean"),
        ("indexes: [mobile]", "indexes: [mobil]", "customers.indexes.0: field 'mobil' is not declared in fields; did you mean"),
        ("mobile: text", "mobile: json", "customers.indexes.0: field 'mobile' is json, which can't serve as indexes"),
        ("mobile: text", "mobile: {timezone: Asia/Shanghai}", "fields.mobile.timezone: an IANA name, such as Asia/Shanghai, of a"),
        (
            "mobile: text",
            "mobile: {unit: {from: fen, to: yuan}}",
            "fields.mobile.unit: only a number has a unit; this field is text",
        ),
        ("mobile: text", "mobile: {unit: {from: yaun, to: fen}}", "mobile.unit: unknown unit 'yaun'; did you mean 'yuan'?"),
        ("mobile: text", "mobile: {type: decimal, unit: {from: fen, to: kg}}", "mobile.unit: fen is money, kg is mass"),
        (
            "mobile: text",
            "mobile: {expression: 'upper(nam)'}",
            "mobile.expression: 'nam' is no field that the source gives; did you",
        ),
        ("mobile: text", "mobile: {expression: 'open(name)'}", "mobile.expression: column 1: there is no function open; there are"),
        ("mobile: text", "mobile: {expression: 'name.upper()'}", "mobile.expression: column 1: Attribute can't stand in an"),
        ("mobile: text", "mobile: {format: '%Y'}", "fields.mobile.format: only a date or datetime field has a format"),
        ("datetime, from", "datetime, format: iso, from", "updated_at.format: expected a strptime pattern such as %Y%m%d"),
        ("encoding: gb18030", "encoding: gb-18031", "tickets.format.encoding: unknown encoding 'gb-18031'"),
        ("type: fixed_width,", "type: csv, quote: ',',", "tickets.format.quote: is the same as the delimiter"),
        ("text: {width: 40}", "text: text", "tickets.fields.text: needs a width in bytes: the format is fixed_width"),
        (
            "customers, filters: [mobile]",
            "customers, filters: [phone]",
            "services.customers.filters.0: field 'phone' is not declared in",
        ),
        (
            "writable: [name]",
            "writable: [nam]",
            "services.deals.writable.0: field 'nam' is not declared in crm.customers; did you mean",
        ),
        ("writable: [name]", "writable: [customer_id]", "services.deals.writable.0: field 'customer_id' is part of the key"),
        (", writable: [name]", "", "services.deals.writable: required for a synchronous service"),
        (
            "synchronous, dataset: crm.customers, writable: [name]",
            "synchronous, dataset: drops.tickets, writable: [text]",
            "services.deals.kind: a synchronous service needs the ability 'write', which adapter ftp of source 'drops' lacks; "
            "adapters that can: sqlserver",
        ),
        (
            "asynchronous, dataset: crm.customers, filters: [mobile]",
            "asynchronous, dataset: drops.tickets",
            "services.customers.source_reads: source_reads needs the ability 'lookup', which adapter ftp of source 'drops' lacks",
        ),
        ("asynchronous, dataset: crm.customers", "asynchronous", "services.customers.dataset: required for a service of kind asyn"),
        (
            "crm.customers, filters",
            "crm.customer, filters",
            "source 'crm' declares no dataset 'customer'; did you mean 'customers'?",
        ),
        ("crm.customers, filters", "cmr.customers, filters", "source 'cmr' is not declared in sources; did you mean 'crm'?"),
        (", source_reads: true", ", writable: [name]", "services.customers.writable: an asynchronous service is read-only"),
        (
            "realtime, call: {source: web,",
            "realtime, call: {source: wb,",
            "services.points.call.source: source 'wb' is not declared",
        ),
        (
            "realtime, call: {source: web,",
            "realtime, call: {source: crm,",
            "services.points.call.source: a realtime service needs the",
        ),
        ("realtime, call", "realtime, filters: [id], call", "services.points.filters: has no meaning in a realtime service"),
        (", call: {source: web, operation: points, key: id}", "", "services.points.call: required for a realtime service"),
        (
            "kind: realtime",
            "kind: asynchronous, dataset: crm.customers",
            "services.points.call: only a realtime service has a call",
        ),
        ("dataset: drops.tickets, mode", "dataset: web.tickets, mode", "jobs.tickets.dataset: source 'web' declares no dataset"),
        ('{cron: "0 23 * * *"}', "{}", "jobs.customers.schedule: needs exactly one of every_s, cron and once; it has none"),
        (
            "{every_s: 60}",
            "{every_s: 60, once: true}",
            "jobs.tickets.schedule: needs exactly one of every_s, cron and once; it has ev",
        ),
        ("0 23 * * *", "0 25 * * *", "jobs.customers.schedule.cron: '0 25 * * *' is not a cron line of five fields"),
        ("0 23 * * *", "0 0 23 * * *", "jobs.customers.schedule.cron: '0 0 23 * * *' is not a cron line of five fields"),
        ("0 23 * * *", "0 0 30 2 *", "jobs.customers.schedule.cron: '0 0 30 2 *' is not a cron line of five fields"),
        (
            "{every_s: 60}",
            "{every_s: 60, timezone: Asia/Shangai}",
            "unknown time zone 'Asia/Shangai'; did you mean 'Asia/Shanghai'?",
        ),
        ("{every_s: 60}", "{every_s: 60, timezone: ../etc}", "unknown time zone '../etc'; such as Asia/Shanghai or UTC"),
    ],
)
def test_what_cannot_work_is_named_with_file_and_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = swapped(PLATFORM, old, new)
    lines = refusal(tmp_path, text)
    assert any(found.startswith("platform.yaml:") and expected in found for found in lines), lines


def test_line_of_a_reference(tmp_path: Path) -> None:
    text = swapped(PLATFORM, "proxy: agency", "proxy: agent")
    assert refusal(tmp_path, text)[0].startswith(f"platform.yaml:{line_of(text, 'proxy: agent')}:5: apps.shop.proxy: ")


def test_incremental_needs_a_cursor_where_the_adapter_has_none_of_its_own(tmp_path: Path) -> None:
    [found] = refusal(tmp_path, without(PLATFORM, "        cursor: updated_at\n"))
    assert "jobs.customers.mode: incremental needs a cursor in dataset crm.customers; declare `cursor` there" in found


def test_job_needs_an_adapter_that_reads(tmp_path: Path) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(PLATFORM)
    document = load_platform(path, VARIABLES, ADAPTERS)
    calls_only = {**ADAPTERS, "ftp": ADAPTERS["http_json"]}
    found = problems(parse_document(document, ADAPTERS), calls_only)
    assert found == []  # this one reads too
    lame = type(ADAPTERS["ftp"])("ftp", "FTP", *_types("ftp"), frozenset({"call"}), ADAPTERS["ftp"].open)
    found = problems(parse_document(document, ADAPTERS), {**ADAPTERS, "ftp": lame})
    assert [(each.path, "needs the ability 'read'" in each.text) for each in found] == [(("jobs", "tickets", "dataset"), True)]


def _types(name: str) -> tuple[type, type]:
    return ADAPTERS[name].settings, ADAPTERS[name].options


def test_problems_of_the_whole_after_one_change() -> None:
    platform = Platform(
        apps={"shop": App(plan="gold", scopes=("deals:read",))},
        services={"live": Service(kind="realtime")},
        jobs={"nightly": Job(dataset="crm.deals", schedule=Schedule(every_s=5))},
    )
    assert problems(platform, ADAPTERS) == [
        Problem(("apps", "shop", "plan"), "plan 'gold' is not declared in plans"),
        Problem(("apps", "shop", "scopes", "0"), "service 'deals' is not declared in services; known are: live"),
        Problem(("services", "live", "call"), "required for a realtime service: the source, operation and key it wraps"),
        Problem(("jobs", "nightly", "dataset"), "source 'crm' is not declared in sources"),
    ]
    broken = frozenset({("plans", "gold"), ("sources",), ("services", "deals")})
    assert [found.path for found in problems(platform, ADAPTERS, broken=broken)] == [("services", "live", "call")]
