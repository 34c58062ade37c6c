"""Settings come from four places in one order, wrong ones are named by their place, and no password is shown."""

from pathlib import Path
from typing import Any

import pytest

from config.address import Address
from config.settings import Settings, from_json, load_settings, to_json
from core.errors import ConfigError
from core.secret import Secret


def written(folder: Path, text: str) -> Path:
    path = folder / "zhiyun.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None, environment: dict[str, str] | None = None, overrides: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environment or {}, overrides or {})
    return caught.value.detail.split("\n")


def test_defaults_need_nothing() -> None:
    settings = load_settings(None, {}, {})
    assert settings == Settings(public_url="http://127.0.0.1:8080")
    assert settings.roles == ("gateway", "back-office")
    assert settings.database.reveal() == "sqlite"


def test_command_line_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = written(tmp_path, "http: 0.0.0.0:1\nchannel: 0.0.0.0:2\nconsole: 0.0.0.0:3\n")
    environment = {"ZHIYUN_CHANNEL": "0.0.0.0:4", "ZHIYUN_CONSOLE": "0.0.0.0:5"}
    settings = load_settings(path, environment, {"console": "0.0.0.0:6", "http": None})
    assert [address.port for address in (settings.http, settings.channel, settings.console)] == [1, 4, 6]
    assert settings.workers == 1
    assert settings.public_url == "http://127.0.0.1:1"


def test_every_kind_of_value_from_the_environment() -> None:
    settings = load_settings(
        None,
        {
            "ZHIYUN_ROLES": "gateway",
            "ZHIYUN_WORKERS": "3",
            "ZHIYUN_DRAIN_S": "2.5",
            "ZHIYUN_PLUGINS": "acme.kafka, acme.sap",
            "ZHIYUN_DATA_DIR": "/var/lib/zhiyun",
            "ZHIYUN_HTTP": "[::1]:80",
            "ZHIYUN_BUS": "env:BROKER",
            "BROKER": "amqp://u:p%40ss@mq:5672/v",
        },
        {},
    )
    assert (settings.roles, settings.workers, settings.drain_s) == (("gateway",), 3, 2.5)
    assert settings.plugins == ("acme.kafka", "acme.sap")
    assert (settings.data_dir, settings.http) == (Path("/var/lib/zhiyun"), Address("::1", 80))
    assert settings.bus == Secret("amqp://u:p%40ss@mq:5672/v")


def test_values_of_the_command_line_may_be_typed() -> None:
    settings = load_settings(None, {}, {"data_dir": Path("d"), "workers": 2, "roles": ("gateway",), "http": Address("h", 0)})
    assert (settings.data_dir, settings.workers, settings.roles, settings.http) == (Path("d"), 2, ("gateway",), Address("h", 0))


def test_file_with_variables_and_secret_files(tmp_path: Path) -> None:
    (tmp_path / "master").write_text("0123456789abcdef0123456789abcdef\n")
    path = written(tmp_path, "workers: ${N}\nmaster_key: file:master\ncache: redis://:${PW}@r:6379/0\n")
    settings = load_settings(path, {"N": "4", "PW": "pw"}, {})
    assert settings.workers == 4
    assert settings.master_key == Secret("0123456789abcdef0123456789abcdef")
    assert settings.cache.reveal() == "redis://:pw@r:6379/0"


def test_empty_file(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "# all defaults\n"), {}, {}) == load_settings(None, {}, {})


def test_unknown_key_of_the_file_has_line_and_nearest_name(tmp_path: Path) -> None:
    path = written(tmp_path, "http: 127.0.0.1:8080\nworkrs: 2\n")
    assert refusal(path) == [f"{path}:2:1: workrs: unknown field; did you mean 'workers'?"]


def test_problems_of_all_places_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "workers: many\n")
    found = refusal(path, {"ZHIYUN_HTPP": "x", "ZHIYUN_CHANNEL": "8090"}, {"log_level": "inf", "plugins": "a-b"})
    assert found == [
        f"{path}:1:1: workers: expected a whole number, got text 'many'",
        "environment variable ZHIYUN_HTPP: unknown setting; did you mean 'ZHIYUN_HTTP'?",
        "environment variable ZHIYUN_CHANNEL: '8090' is not an address; write host:port, such as 127.0.0.1:8080",
        "option --log-level: expected one of debug, error, info, warning, got text 'inf'; did you mean 'info'?",
        "option --plugins: text 'a-b' is not valid here: a dotted Python module name",
    ]


def test_variables_that_are_not_settings_are_left_alone() -> None:
    kubernetes = {"ZHIYUN_SERVICE_HOST": "10.0.0.1", "ZHIYUN_PORT_8080_TCP_ADDR": "10.0.0.1", "ZHIYUN_PORT": "tcp://10.0.0.1:80"}
    assert load_settings(None, {**kubernetes, "ZHIYUN_TOKEN": "t", "ZHIYUN_URL": "u", "ZHIYUN_CONFIG": "c"}, {}).workers == 1


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"workers": 0}, "option --workers: must be at least 1, got the number 0"),
        ({"roles": "gateway,backoffice"}, "option --roles: expected one of back-office, gateway, got text 'backoffice'"),
        ({"roles": ""}, "option --roles: needs at least 1 entry, has 0"),
        ({"database": "postgres://u:hunter2@h/d"}, "option --database: expected sqlite, or a URL of the form mysql://"),
        ({"database": "mysql://u:hunter2@h"}, "option --database: expected sqlite, or a URL of the form mysql://"),
        ({"bus": "amqp://u:hunter2@h:port/"}, "option --bus: expected embedded, or a URL of the form amqp://"),
        ({"cache": "hunter2"}, "option --cache: expected memory, or a URL of the form redis://"),
        ({"master_key": "hunter2"}, "option --master-key: a master key has at least 32 characters"),
        ({"master_key": "env:NONE"}, "option --master-key: environment variable NONE is not set or empty"),
        ({"master_key": "sealed:hunter2"}, "option --master-key: a sealed secret is for the platform document"),
        ({"public_url": "api.example.com"}, "option --public-url: expected a URL such as https://api.example.com"),
        ({"drain_s": -1}, "option --drain-s: must be at least 0"),
        ({"wrokers": 1}, "option --wrokers: unknown field; did you mean 'workers'?"),
    ],
)
def test_wrong_values_are_refused_without_their_secrets(overrides: dict[str, Any], expected: str) -> None:
    [found] = refusal(None, {}, overrides)
    assert found.startswith(expected)
    assert "hunter2" not in found


def test_for_a_child_process_as_json_with_secrets() -> None:
    settings = load_settings(None, {}, {"database": "mysql://u:hunter2@h/d", "http": "[::1]:80", "master_key": "k" * 32})
    assert from_json(to_json(settings)) == settings
    assert "hunter2" in to_json(settings)
    assert "hunter2" not in repr(settings)
    with pytest.raises(ConfigError) as caught:
        from_json('{"database": 5, "bus": "hunter2"}')
    assert "hunter2" not in caught.value.detail
