"""deploy/compose.yaml as far as it can be judged without Docker: shapes of the Compose Specification, and what we ask of it."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.settings import Settings, load_settings
from tools.source_tree import ROOT

DEPLOY = ROOT / "deploy"
OURS = ("gateway-1", "gateway-2", "back-office")

# The elements that we use of https://github.com/compose-spec/compose-spec (05-services.md), with their types.
SERVICE_KEYS: dict[str, type | tuple[type, ...]] = {
    "image": str,
    "build": dict,
    "command": list,
    "restart": str,
    "read_only": bool,
    "tmpfs": list,
    "cap_drop": list,
    "security_opt": list,
    "stop_grace_period": str,
    "networks": list,
    "environment": dict,
    "healthcheck": dict,
    "depends_on": dict,
    "deploy": dict,
    "ports": list,
    "volumes": list,
    "hostname": str,
    "user": str,
}
HEALTHCHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
DURATION = re.compile(r"(\d+(us|ms|s|m|h))+")
IMAGE = re.compile(r"([a-z0-9]+/)?[a-z0-9-]+:v?\d+\.\d+\.\d+")
PORT = re.compile(r"127\.0\.0\.1:\d+:\d+")
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::?[-?][^}]*)?\}")


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(DEPLOY / name)
    return document


COMPOSE = load("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def example_environment() -> dict[str, str]:
    lines = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()
    pairs = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value or "0123456789abcdef" * 4 for name, value in pairs.items()}


def test_the_document_has_the_elements_of_the_specification() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "networks", "volumes"}
    assert set(SERVICES) == {*OURS, "mariadb", "rabbitmq", "redis", "prometheus"}


@each_service
def test_a_service_has_known_elements_of_the_right_type(name: str) -> None:
    service = SERVICES[name]
    assert {key: type(value) for key, value in service.items() if not isinstance(value, SERVICE_KEYS.get(key, ()))} == {}
    assert all(isinstance(value, str) for value in service.get("environment", {}).values())
    assert all(isinstance(word, str) for word in service.get("command", []))


@each_service
def test_an_image_is_pinned_to_a_version(name: str) -> None:
    assert IMAGE.fullmatch(SERVICES[name]["image"])


@each_service
def test_a_service_tells_its_health(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert set(check) <= HEALTHCHECK_KEYS
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert check["retries"] >= 1
    durations = [check[key] for key in ("interval", "timeout", "start_period") if key in check]
    assert all(DURATION.fullmatch(duration) for duration in durations)


@each_service
def test_a_service_has_limits_and_no_privilege(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[MG]", limits["memory"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)


@each_service
def test_what_a_service_refers_to_is_declared(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    for other, how in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert how["condition"] in CONDITIONS
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (DEPLOY / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


@each_service
def test_ports_are_published_to_this_machine_only(name: str) -> None:
    assert all(PORT.fullmatch(port) for port in SERVICES[name].get("ports", []))


def test_no_port_is_published_twice() -> None:
    published = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == len(set(published))


@pytest.mark.parametrize("name", ["mariadb", "rabbitmq", "redis"])
def test_the_parts_are_reachable_from_inside_only(name: str) -> None:
    assert SERVICES[name]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert "ports" not in SERVICES[name]


@pytest.mark.parametrize("name", [*OURS, "redis", "prometheus"])
def test_the_file_system_is_read_only(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_each_node_has_a_data_folder_of_its_own() -> None:
    own = {name: SERVICES[name]["volumes"][1] for name in OURS}
    assert own == {name: f"{name}:/var/lib/zhiyun" for name in OURS}
    assert "ZHIYUN_DATA_DIR=/var/lib/zhiyun" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_every_variable_is_in_the_example_and_none_is_idle() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert set(VARIABLE.findall(text)) == set(example_environment())


def test_no_secret_has_a_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    secrets = re.findall(r"\$\{(\w+(?:PASSWORD|KEY))(.*?)\}", text)
    assert len(secrets) > 5
    assert all(rest.startswith(":?") for _, rest in secrets)
    assert "deploy/.env" in text
    assert (DEPLOY / ".gitignore").read_text() == ".env\n"


def settings_of(name: str, tmp_path: Path) -> Settings:
    """What `zhiyun up` would read in that container."""
    given = example_environment()
    environment = {key: VARIABLE.sub(lambda found: given[found[1]], value) for key, value in SERVICES[name]["environment"].items()}
    assert {key.removeprefix("ZHIYUN_").lower() for key in environment if key.startswith("ZHIYUN_")} <= set(
        Settings.__struct_fields__
    )
    return load_settings(DEPLOY / "zhiyun.yaml", environment, {"data_dir": str(tmp_path)})


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_a_node_are_accepted_and_name_the_parts(name: str, tmp_path: Path) -> None:
    settings = settings_of(name, tmp_path)
    assert settings.roles == (("back-office",) if name == "back-office" else ("gateway",))
    assert "@mariadb:3306/" in settings.database.reveal()
    assert "@rabbitmq:5672/" in settings.bus.reveal()
    assert "@redis:6379/" in settings.cache.reveal()
    assert settings.master_key is not None
    assert settings.public_url == "http://127.0.0.1:8080"


@pytest.mark.parametrize("name", OURS)
def test_published_port_and_health_check_are_those_the_node_listens_on(name: str, tmp_path: Path) -> None:
    settings = settings_of(name, tmp_path)
    address = settings.console if name == "back-office" else settings.http
    assert address.host == "0.0.0.0"
    assert [port.split(":")[2] for port in SERVICES[name]["ports"]] == [str(address.port)]
    assert SERVICES[name]["healthcheck"]["test"][1:] == ["/opt/zhiyun/zhiyun", "health", *SERVICES[name]["command"][1:]]


def test_prometheus_scrapes_the_back_office(tmp_path: Path) -> None:
    (job,) = load("prometheus.yml")["scrape_configs"]
    port = settings_of("back-office", tmp_path).console.port
    assert job["static_configs"] == [{"targets": [f"back-office:{port}"]}]
    assert job["metrics_path"] == "/metrics"
