"""The mirror on SQLite and on a real MariaDB, through one suite, and against a dict as its model."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database import Database
from core.records import ChangeSet
from core.schema import Dataset
from storage.mirror import SqlMirror
from storage.sqlite import open_sqlite
from tests.conformance.mirror_suite import NAME, MirrorSuite


@pytest.mark.req("0.41")
@pytest.mark.req("0.47")
class TestOnSqlite(MirrorSuite):
    @pytest.fixture
    def mirror(self, sqlite: Database) -> SqlMirror:
        return SqlMirror(sqlite)


@pytest.mark.servers
class TestOnMariaDB(MirrorSuite):
    @pytest.fixture
    def mirror(self, mariadb: Database) -> SqlMirror:
        return SqlMirror(mariadb)


_PAIRS = Dataset(object="p", key=("k",), fields={"k": "integer", "a": "text", "b": "text"})
_Step = tuple[Literal["upsert", "delete"], tuple[str, ...], list[tuple[int, str]], int]
_ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("xyz")), min_size=1, max_size=3)
_STEPS = st.lists(
    st.tuples(st.sampled_from(["upsert", "delete"]), st.sampled_from([("a",), ("a", "b")]), _ROWS, st.integers(0, 5)), max_size=12
)


class _Model:
    """What the mirror must hold: per key the fields, whether it lives, and when it was seen last."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[dict[str, str | None], bool, int]] = {}

    def apply(self, step: _Step) -> int:
        op, fields, rows, at = step
        before = {key: (dict(values), lives) for key, (values, lives, _) in self.rows.items()}
        for key, value in rows:
            values, _, seen = self.rows.get(key, ({"a": None, "b": None}, False, -1))
            if at >= seen:
                given_values = dict.fromkeys(fields, value) if op == "upsert" else {}
                self.rows[key] = ({**values, **given_values}, op == "upsert", at)
        return sum(before.get(key) != (values, lives) for key, (values, lives, _) in self.rows.items())

    @property
    def living(self) -> dict[int, dict[str, str | None]]:
        return {key: values for key, (values, lives, _) in sorted(self.rows.items()) if lives}


def _change_set(step: _Step) -> ChangeSet:
    op, fields, rows, at = step
    if op == "delete":
        return ChangeSet(NAME, "delete", ("k",), [[key] for key, _ in rows], at)
    return ChangeSet(NAME, "upsert", ("k", *fields), [[key, *([value] * len(fields))] for key, value in rows], at)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
async def test_any_order_of_change_sets_leaves_what_the_model_holds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[_Step]
) -> None:
    database = await open_sqlite(Path(tmp_path_factory.mktemp("model")) / "m.db")
    try:
        mirror, model = SqlMirror(database), _Model()
        await mirror.prepare(NAME, _PAIRS)
        for step in steps:
            version = await mirror.version(NAME)
            really_changed = model.apply(step)
            applied = await mirror.apply(_change_set(step))
            # A row changed twice within one change set back to what it was counts for the mirror, not for the model.
            assert applied.changed >= really_changed
            assert (await mirror.version(NAME) > version) == (applied.changed > 0)
            rows = await mirror.query(NAME, {}, limit=100)
            assert {row.record["k"]: {n: row.record[n] for n in ("a", "b")} for row in rows} == model.living
            assert await mirror.count(NAME) == len(model.living)
            assert (await mirror.apply(_change_set(step))).changed == 0 or len({key for key, _ in step[2]}) < len(step[2])
    finally:
        await database.close()
