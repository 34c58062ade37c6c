"""The drip: each change is coherent across systems and is found by its time of change."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from examples.estate.drip import Drip, Stores
from examples.estate.store import SqliteStore, StoreError


def rows(database: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql, values).fetchall()


def make_drip(folder: Path, seed: int = 1) -> tuple[Drip, list[str]]:
    news: list[str] = []
    stores = Stores(*(SqliteStore(folder / f"{name}.db") for name in ("sales", "property", "member", "broker", "marketing")))
    return Drip(stores, seed=seed, broker_changed=lambda: news.append("record")), news


async def until_done(change: Any) -> str:
    for _ in range(2000):
        if done := await change():
            return str(done)
    raise AssertionError("the change never found a row that fits")


async def test_a_signed_deal_shows_in_sales_and_property(estate_copy: Path) -> None:
    drip, _ = make_drip(estate_copy)
    done = await until_done(drip.sign_deal)
    deal_id = done.split()[1]
    sql = "SELECT d.Status, d.RoomID, c.Status, d.UpdatedAt FROM Deal d JOIN Customer c USING (CustomerID) WHERE DealID = ?"
    ((status, room, customer_status, changed),) = rows(estate_copy / "sales.db", sql, deal_id)
    assert (status, customer_status) == ("已签约", "已签约")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(changed + "+00:00")).total_seconds()) < 60
    assert rows(estate_copy / "property.db", "SELECT status FROM room WHERE room_id = ?", room) == [("已售",)]
    owners = rows(estate_copy / "property.db", "SELECT updated_at FROM owner WHERE room_id = ?", room)
    assert [at for (at,) in owners if at >= "2024-05-11"]


async def test_a_new_mobile_reaches_the_owner_of_the_same_id_card(estate_copy: Path) -> None:
    drip, _ = make_drip(estate_copy)
    for _ in range(200):
        await drip.change_mobile()
    changed = rows(estate_copy / "sales.db", "SELECT IDCard, Mobile FROM Customer WHERE UpdatedAt > '2025-01-01'")
    owners = rows(estate_copy / "property.db", "SELECT id_card, mobile FROM owner WHERE updated_at > '2025-01-01'")
    assert owners
    assert set(owners) <= set(changed)


async def test_every_kind_of_change_happens_and_the_same_seed_repeats_them(estate_copy: Path, generated: Path) -> None:
    drip, news = make_drip(estate_copy)
    lines = [await drip.change_something() for _ in range(120)]
    words = " ".join(lines)
    for kind in ("new mobile", "is now", "follow-up", "broker record", "behaviour event", "points", "moved out"):
        assert kind in words
    assert len(news) >= words.count("broker record") > 0
    follow_ups = rows(estate_copy / "sales.db", "SELECT count(*) FROM FollowUp WHERE UpdatedAt > '2025-01-01'")
    assert follow_ups == [(words.count("follow-up"),)]
    again, _ = make_drip(Path(shutil.copytree(generated, estate_copy.with_name("again"))))
    assert [await again.change_something() for _ in range(120)] == lines


async def test_a_store_that_is_away_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "sales.db").mkdir()
    with pytest.raises(StoreError, match=r"sales\.db: unable to open"):
        await SqliteStore(tmp_path / "sales.db").fetch("SELECT 1", ())
