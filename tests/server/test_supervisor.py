"""What the supervisor checks before it starts anything: ports, and one node a folder."""

import socket
from pathlib import Path

import pytest

from config.address import Address
from config.settings import Settings
from core.errors import ConfigError
from server.supervisor import claim, lock


@pytest.mark.parametrize("option", ["--http", "--console"])
def test_a_port_that_is_taken_names_the_option(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigError) as caught:
            claim(address, option)
    assert caught.value.specific_code == "port_taken"
    assert caught.value.detail.startswith(f"{option} {address}: ")
    assert caught.value.detail.endswith(f"choose another with {option}")


def test_a_free_port_is_given_back_as_it_is_and_port_0_becomes_one(free_port: int) -> None:
    assert claim(Address("127.0.0.1", free_port), "--http") == Address("127.0.0.1", free_port)
    made = claim(Address("127.0.0.1", 0), "--http")
    with socket.create_server(("127.0.0.1", made.port)):
        assert made.port > 0


@pytest.mark.parametrize("host", ["192.0.2.7", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="--http"):
        claim(Address(host, 8080), "--http")


def test_a_port_in_time_wait_may_be_taken_again(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)) as server:
        client = socket.create_connection(("127.0.0.1", free_port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the address in TIME_WAIT
        client.close()
    assert claim(Address("127.0.0.1", free_port), "--http").port == free_port


def test_two_nodes_may_not_share_a_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "made" / "here")
    with lock(settings):
        with pytest.raises(ConfigError) as caught:
            lock(settings)
        assert caught.value.specific_code == "data_dir_in_use"
        assert str(settings.data_dir) in caught.value.detail
    with lock(settings):
        assert settings.data_dir.is_dir()


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--data-dir") as caught:
        lock(Settings(data_dir=tmp_path / "file" / "data"))
    assert caught.value.specific_code == "data_dir"
