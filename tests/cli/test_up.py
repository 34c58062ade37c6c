"""`zhiyun up` refuses wrong settings itself; what it starts is tested with the server."""

from tests.cli.conftest import CommandLine


async def test_wrong_settings_are_refused_before_anything_starts(alone: CommandLine) -> None:
    bad = await alone("up", "--http", "nowhere", "--workers", "0")
    assert bad.status == 1
    assert len(bad.err.splitlines()) == 2
    assert all(line.startswith("zhiyun: ") for line in bad.err.splitlines())
    (alone.folder / "zhiyun.yaml").write_text("wrokers: 2\n")
    typo = await alone("up")
    assert (typo.status, "zhiyun.yaml:1:1" in typo.err, "workers" in typo.err) == (1, True, True)
    assert (await alone("up", "--sample", "nothing")).status == 2
