"""The generator: the same bytes for the same seed, coherent people across systems, and the dirt that is promised."""

import csv
import io
import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from examples.estate.dirt import WRONG_DATES
from examples.estate.generate import MANIFEST, ensure_estate, generate
from examples.estate.generate_broker import WIDTHS, fixed_width
from examples.estate.generate_callcentre import HEADER
from examples.estate.people import check_character

RECORD_BYTES = sum(width for _, width in WIDTHS)


@pytest.fixture(scope="module")
def default_estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The estate as it comes by default: in a smaller one some kinds of dirt may be missing."""
    folder = tmp_path_factory.mktemp("default") / "estate"
    generate(folder)
    return folder


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def column(database: Path, sql: str) -> list[Any]:
    return [row[0] for row in rows(database, sql)]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    generate(tmp_path / "a", seed=7, scale=0.05)
    generate(tmp_path / "b", seed=7, scale=0.05)
    generate(tmp_path / "c", seed=8, scale=0.05)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a")["sales.db"] != digests(tmp_path / "c")["sales.db"]


def test_the_default_estate_has_the_promised_counts(default_estate: Path) -> None:
    counts = json.loads((default_estate / MANIFEST).read_text())["counts"]
    expected = {
        "customers": 2000,
        "follow_ups": 5000,
        "deals": 600,
        "buildings": 12,
        "rooms": 1200,
        "owners": 900,
        "residents": 1100,
        "members": 1500,
        "tickets_history": 1500,
        "brokers": 120,
        "behaviour_events": 4000,
    }
    assert {name: counts[name] for name in expected} == expected
    assert column(default_estate / "sales.db", "SELECT count(*) FROM Customer") == [2000]
    assert column(default_estate / "property.db", "SELECT count(*) FROM resident") == [1100]


@pytest.mark.parametrize("scale", [0.01, 0.5])
def test_scale_multiplies_the_counts(tmp_path: Path, scale: float) -> None:
    counts = generate(tmp_path / "estate", scale=scale)
    assert counts["customers"] == 2000 * scale
    assert column(tmp_path / "estate" / "sales.db", "SELECT count(*) FROM Customer") == [counts["customers"]]
    assert column(tmp_path / "estate" / "property.db", "SELECT count(*) FROM owner") == [counts["owners"]]


def test_a_half_generated_folder_is_made_anew_and_a_whole_one_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (tmp_path / "data.partial").mkdir()
    (tmp_path / "data.partial" / "sales.db").write_bytes(b"half")
    counts = ensure_estate(folder, scale=0.02)
    with closing(sqlite3.connect(folder / "sales.db")) as connection, connection:
        connection.execute("UPDATE Customer SET Status = 'kept'")
    assert ensure_estate(folder, seed=99, scale=0.02) == counts
    assert set(column(folder / "sales.db", "SELECT Status FROM Customer")) == {"kept"}
    (folder / MANIFEST).unlink()
    assert ensure_estate(folder, scale=0.02) == counts
    assert "kept" not in column(folder / "sales.db", "SELECT Status FROM Customer")
    assert not (tmp_path / "data.partial").exists()


def test_sales_rows_point_at_customers_and_rooms_that_are_there(default_estate: Path) -> None:
    customers = set(column(default_estate / "sales.db", "SELECT CustomerID FROM Customer"))
    rooms = set(column(default_estate / "property.db", "SELECT room_id FROM room"))
    deals = rows(default_estate / "sales.db", "SELECT CustomerID, RoomID, Status, Amount FROM Deal")
    assert {customer for customer, *_ in deals} <= customers
    assert {room for _, room, *_ in deals} <= rooms
    assert set(column(default_estate / "sales.db", "SELECT CustomerID FROM FollowUp")) <= customers
    assert set(column(default_estate / "property.db", "SELECT DISTINCT building_id FROM room")) == set(
        column(default_estate / "property.db", "SELECT building_id FROM building")
    )


def test_the_buyers_are_the_owners_and_many_owners_are_members(default_estate: Path) -> None:
    signed = dict(
        rows(
            default_estate / "sales.db",
            "SELECT d.RoomID, c.IDCard FROM Deal d JOIN Customer c USING (CustomerID) WHERE d.Status = '已签约'",
        )
    )
    owners = rows(default_estate / "property.db", "SELECT room_id, id_card FROM owner")
    same = sum(signed.get(room) == id_card for room, id_card in owners)
    assert same > 0.8 * len(signed)
    mobiles = set(column(default_estate / "property.db", "SELECT mobile FROM owner"))
    assert len(mobiles & set(column(default_estate / "member.db", "SELECT mobile FROM member"))) > 0.3 * len(mobiles)


def test_most_id_cards_are_valid_and_some_are_not(default_estate: Path) -> None:
    assert check_character("11010519491231002") == "X"  # the example of GB 11643-1999
    cards = [card for card in column(default_estate / "property.db", "SELECT id_card FROM owner") if card]
    valid = sum(bool(re.fullmatch(r"\d{17}[\dX]", card)) and check_character(card[:17]) == card[17] for card in cards)
    assert 0.9 * len(cards) < valid < len(cards)


def test_sales_dirt(default_estate: Path) -> None:
    customers = rows(default_estate / "sales.db", "SELECT CustomerName, Mobile, IDCard, Birthday, Budget FROM Customer")
    names, mobiles, cards, birthdays, budgets = (list(values) for values in zip(*customers, strict=True))
    assert {"00000000000", ""} <= set(mobiles)
    assert any(re.search("[０-９]", mobile) for mobile in mobiles)
    assert any(name.endswith(" ") for name in names)
    assert {"2024-02-30", "0000-00-00", "1900-01-01", "2099-12-31"} <= set(birthdays)
    assert any(budget is not None and budget < 0 for budget in budgets)
    assert "" in cards
    assert max(Counter(mobiles).values()) >= 3, "an agent's phone stands on several leads"
    twice = [card for card, count in Counter(cards).items() if card and count > 1]
    assert twice, "the same person is there twice"
    assert all(len(birthday) <= 10 for birthday in birthdays)


def test_rare_characters_are_kept_where_the_encoding_allows(default_estate: Path) -> None:
    names = "".join(column(default_estate / "sales.db", "SELECT CustomerName FROM Customer"))
    assert {"㐂", "𠮷", "镕"} <= set(names)
    history = (default_estate / "callcentre" / "history" / "tickets_2023.csv").read_bytes()
    assert b"?" in history, "what GBK lacks has become a question mark"
    assert fixed_width("王𠮷", 20).decode("gb18030") == "王𠮷" + " " * 14
    assert fixed_width("王𠮷", 5) == "王".encode("gb18030") + b"   ", "a character is never cut in two"


def test_the_ticket_history_is_gbk_csv_with_broken_rows_and_bytes(default_estate: Path) -> None:
    raw = (default_estate / "callcentre" / "history" / "tickets_2023.csv").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        raw.decode("gbk")
    assert b"\xff" in raw
    table = list(csv.reader(io.StringIO(raw.decode("gbk", errors="replace"), newline="")))
    assert tuple(table[0]) == HEADER
    widths = Counter(len(row) for row in table[1:])
    assert set(widths) == {10, 11, 12}
    assert widths.total() == 1500
    assert widths[11] > 1450
    assert any("\n" in row[6] for row in table)
    assert any("," in row[6] for row in table)
    assert raw.endswith(b"\r\n")


def test_daily_files_have_markers_but_the_one_being_written(default_estate: Path) -> None:
    daily = default_estate / "callcentre" / "daily"
    files = {path.name for path in daily.glob("*.csv")}
    done = {path.name.removesuffix(".done") for path in daily.glob("*.done")}
    assert len(done) == 7
    assert files - done == {"tickets_20240511.csv"}
    assert not (daily / "tickets_20240511.csv").read_bytes().endswith(b"\r\n")
    for name in done:
        assert len((daily / name).read_bytes().splitlines()) > 4


def test_broker_records_have_their_widths_but_for_a_few_bad_ones(default_estate: Path) -> None:
    frames = rows(default_estate / "broker.db", "SELECT seq, frame FROM record ORDER BY seq")
    assert [seq for seq, _ in frames] == list(range(1, len(frames) + 1))
    short = [seq for seq, frame in frames if len(frame) < RECORD_BYTES]
    wrong_date = [seq for seq, frame in frames if frame.endswith(b"20240230250000")]
    assert 5 in short
    assert 7 in wrong_date
    assert len(short) + len(wrong_date) < 0.1 * len(frames)
    for seq, frame in frames:
        if seq not in short:
            assert len(frame) == RECORD_BYTES
            assert int(frame[:10]) == seq
            frame[20:40].decode("gb18030")
    events = {frame[91:103].strip() for seq, frame in frames if seq not in short}
    assert events == {b"join", b"recommend", b"deal", b"social"}


def test_behaviour_events_follow_time_and_repeat_clients(default_estate: Path) -> None:
    events = [json.loads(body) for body in column(default_estate / "marketing.db", "SELECT body FROM event ORDER BY event_id")]
    good = [event["ts"] for event in events if event["ts"].startswith("202") and len(event["ts"]) == 29]
    good = [ts for ts in good if not ts.startswith("2024-02-30")]
    assert len(good) > 0.95 * len(events)
    assert len(good) < len(events), "some timestamps are wrong"
    assert sum(earlier <= later for earlier, later in pairwise(good)) == len(good) - 1
    assert any(count > 3 for count in Counter(event["openid"] for event in events if event["openid"]).values())


def test_member_dates_and_points_have_their_dirt(default_estate: Path) -> None:
    members = rows(default_estate / "member.db", "SELECT birthday, points, mobile FROM member")
    assert {birthday for birthday, *_ in members} & set(WRONG_DATES)
    assert any(points < 0 for _, points, _ in members)
