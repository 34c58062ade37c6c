"""How requirements and the tests that prove them are found."""

from pathlib import Path

from tools.requirements_report import proofs, report, rows
from tools.source_tree import ROOT

TABLE = """\
| id | requirement |
|---|---|
| 0.46 | In: SQL Server, MySQL |
| 0.22–0.25 | Numbered interfaces |
| 2.16, 2.23 | Channel efficiency |
"""
# Put together here, so that scanning this file finds no proof of its own.
MARK = "pytest.mark." + "req"


def test_rows_spell_out_ranges_and_lists() -> None:
    assert [row.ids for row in rows(TABLE)] == [("0.46",), ("0.22", "0.23", "0.24", "0.25"), ("2.16", "2.23")]
    assert rows(TABLE)[0].text == "In: SQL Server, MySQL"


def test_marks_on_functions_classes_and_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "test_ftp.py").write_text(
        f"pytestmark = [{MARK}('0.46')]\n"
        f"class TestSync:\n    @{MARK}('2.16', '2.23')\n    async def test_a(self): ...\n"
        f"@pytest.mark.servers\n@{MARK}('0.22')\ndef test_b(): ...\n"
    )
    found = {(proof.requirement_id, proof.name) for proof in proofs(tmp_path)}
    assert found == {("0.46", "(whole file)"), ("2.16", "test_a"), ("2.23", "test_a"), ("0.22", "test_b")}
    text = report(rows(TABLE), proofs(tmp_path), tmp_path)
    assert "✓ 0.22–0.25  Numbered interfaces\n      test_ftp.py:7 test_b" in text
    assert text.endswith("3 of 3 rows are proven by a test.")


def test_every_mark_of_the_tree_names_a_row() -> None:
    requirements = rows((ROOT / "docs" / "requirements.md").read_text(encoding="utf-8"))
    known = {requirement_id for row in requirements for requirement_id in row.ids}
    unknown = [proof for proof in proofs(ROOT / "tests") if proof.requirement_id not in known]
    assert unknown == []
    assert len(requirements) > 80
