"""The settings of a node: command line over environment (`ZHIYUN_*`) over `zhiyun.yaml` over defaults.

Everything else — apps, sources, services — is declared in the platform document and lives in the registry.
"""

import difflib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, inspect

from config import secret_text
from config.address import Address
from config.problem import Path as Keys
from config.problem import Problem, line
from config.types import decode, encode, plain
from config.validation import Validation, type_info
from core.errors import ConfigError
from core.secret import Secret

Role = Literal["gateway", "back-office"]
LogLevel = Literal["debug", "info", "warning", "error"]
ModuleName = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", description="a dotted Python module name")]

PREFIX = "ZHIYUN_"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one node runs, where it listens and which parts it uses. Addresses of parts are Secrets: they may hold passwords.

    `master_key` None means the file `master.key` in `data_dir` (see `config.master_key`). `public_url` is how apps reach the
    gateway. What went over the bus is kept for `bus_keep_s` for replays. `plugins` are modules that expose an `ADAPTER`. A node
    that ends drains for at most `drain_s` seconds.

    `tls` is a folder of certificates (see gateway.certificates). From `trusted_proxies` (CIDR) forwarding fields are believed, and
    with `proxy_protocol` a PROXY header is expected. `limits` and `limits_when_down` say how limits are counted over several nodes.
    """

    roles: Annotated[tuple[Role, ...], Meta(min_length=1)] = get_args(Role)
    data_dir: Path = Path("data")
    http: Address = Address("127.0.0.1", 8080)
    channel: Address = Address("127.0.0.1", 8090)
    console: Address = Address("127.0.0.1", 8081)
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    database: Secret = Secret("sqlite")  # or mysql://user:password@host:port/database; registry and mirror
    bus: Secret = Secret("embedded")  # or amqp://…
    bus_keep_s: Annotated[float, Meta(ge=0, le=90 * 86_400)] = 0.0
    cache: Secret = Secret("memory")  # or redis://…
    master_key: Secret | None = None
    plugins: tuple[ModuleName, ...] = ()
    log_level: LogLevel = "info"
    drain_s: Annotated[float, Meta(ge=0)] = 10.0
    public_url: str = ""
    tls: Path | None = None
    tls_clients: Literal["none", "optional", "required"] = "none"
    tls_client_ca: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    proxy_protocol: bool = False
    limits: Literal["exact", "synced"] = "exact"
    limits_when_down: Literal["local", "refuse"] = "local"
    metrics: Address | None = None
    traces: str = ""
    trace_share: Annotated[float, Meta(ge=0, le=1)] = 0.01
    access_log: Annotated[float, Meta(ge=0, le=1)] = 1.0
    sample_mariadb: Secret | None = None
    sample_sqlserver: Secret | None = None


def load_settings(path: Path | None, environment: Mapping[str, str], overrides: Mapping[str, object]) -> Settings:
    """The settings of this node. `overrides` are command-line options by field name; None there means not given.

    Lists are comma-separated in the environment. Secrets may be written `env:NAME` or `file:…`. Raises ConfigError with one line
    for each problem: file and line, variable or option, and the nearest valid name.
    """
    layers = [_file_layer(path, environment)] if path else []
    layers += [_environment_layer(environment), _option_layer(overrides, environment)]
    problems = [text for layer in layers for text in layer.problems]
    values: dict[str, Any] = {}
    for layer in layers:
        problems += [
            f"{layer.label((name,))}: {text}" for name in layer.values if (text := _part_problem(name, layer.values[name]))
        ]
        values |= layer.values
    if problems:
        raise ConfigError("\n".join(problems))
    settings: Settings = msgspec.convert(values, Settings, dec_hook=decode)
    if settings.tls_clients != "none" and (settings.tls is None or settings.tls_client_ca is None):
        raise ConfigError("tls_clients: needs tls (the folder of certificates) and tls_client_ca (who may sign for clients)")
    if settings.public_url:
        return settings
    return msgspec.structs.replace(settings, public_url=_reachable(settings.http, is_tls=settings.tls is not None))


def to_json(settings: Settings) -> str:
    """For a child process, by its standard input or environment: the secrets are in clear."""
    return msgspec.json.encode(settings, enc_hook=encode).decode()


def from_json(text: str) -> Settings:
    """What `to_json` wrote. Raises ConfigError; the text is not shown."""
    try:
        return msgspec.json.decode(text, type=Settings, dec_hook=decode)
    except msgspec.MsgspecError:
        raise ConfigError("the settings handed to this process are not what to_json writes; start it by zhiyun up") from None


@dataclass(frozen=True, slots=True)
class _Layer:
    """One origin of settings: its values, what is wrong with them, and what a value's place is called."""

    values: dict[str, Any]
    problems: list[str]
    label: Callable[[Keys], str]


def _layer(
    values: Any,
    label: Callable[[Keys], str],
    variables: Mapping[str, str],
    folder: Path,
    interpolated: frozenset[Keys] | None = None,
) -> _Layer:
    """`interpolated`: the paths that came from variables of a file; None: all of it is text, from the environment or options."""

    def secret(text: str) -> str:
        if text.startswith(secret_text.SEALED):
            raise ValueError("a sealed secret is for the platform document; here write env:NAME or file:/path")
        return secret_text.resolve(text, variables, folder)

    if interpolated is None:
        validation = Validation(secret, lambda _: True, hides_variables=False)
    else:
        validation = Validation(secret, interpolated.__contains__)
    checked = validation.run(Settings, values)
    problems = [f"{label(problem.path)}: {problem.text}" for problem in validation.problems]
    wrong = {problem.path[:1] for problem in validation.problems}
    kept = {name: value for name, value in checked.items() if (name,) not in wrong} if isinstance(checked, dict) else {}
    return _Layer(kept, problems, label)


def _file_layer(path: Path, environment: Mapping[str, str]) -> _Layer:
    from config import yaml_text  # a node's processes get their settings as JSON: they never need a YAML parser

    document, where = yaml_text.read(path, environment)

    def label(keys: Keys) -> str:
        return line(Problem(keys, ""), where).removesuffix(": ")

    values = {} if document is None else document
    return _layer(values, label, environment, path.parent, where.interpolated)


def _environment_layer(environment: Mapping[str, str]) -> _Layer:
    """Variables that are far from any setting's name are left alone: the CLI's own, and those Kubernetes makes for a service."""
    fields = Settings.__struct_fields__
    values: dict[str, Any] = {}
    problems = []
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        first, *rest = variable.removeprefix(PREFIX).lower().split("__")
        if first in fields:
            text: Any = _split(first, environment[variable])
            for key in reversed(rest):
                text = {key: text}
            values[first] = text
        elif near := difflib.get_close_matches(first, fields, n=1, cutoff=0.75):
            problems.append(f"environment variable {variable}: unknown setting; did you mean '{PREFIX}{near[0].upper()}'?")
    layer = _layer(values, _variable_label, environment, Path())
    return _Layer(layer.values, problems + layer.problems, layer.label)


def _variable_label(keys: Keys) -> str:
    return f"environment variable {PREFIX}{keys[0].upper()}" if keys else "environment"


def _option_label(keys: Keys) -> str:
    return f"option --{keys[0].replace('_', '-')}" if keys else "options"


def _option_layer(overrides: Mapping[str, object], environment: Mapping[str, str]) -> _Layer:
    values = {name: _split(name, plain(value)) for name, value in overrides.items() if value is not None}
    return _layer(values, _option_label, environment, Path())


def _split(name: str, value: Any) -> Any:
    """A list written as one comma-separated text."""
    info = type_info(Settings)
    assert isinstance(info, inspect.StructType)
    is_list = any(field.name == name and isinstance(field.type, inspect.VarTupleType) for field in info.fields)
    return [item.strip() for item in value.split(",") if item.strip()] if is_list and isinstance(value, str) else value


_PARTS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "database": ("sqlite", ("mysql",), "mysql://user:password@host:3306/database"),
    "bus": ("embedded", ("amqp", "amqps"), "amqp://user:password@host:5672/vhost"),
    "cache": ("memory", ("redis", "rediss"), "redis://:password@host:6379/0"),
}


def _part_problem(name: str, value: Any) -> str | None:
    """What is wrong with the address of a part, or with a URL or key; never shows it."""
    if name == "public_url" and value and not _is_url(value, ("http", "https")):
        return "expected a URL such as https://api.example.com"
    if name == "traces" and value and not _is_url(value, ("http", "https")):
        return "expected the URL of an OTLP/HTTP collector, such as http://127.0.0.1:4318"
    if name == "trusted_proxies" and (wrong := [each for each in value if not _is_network(each)]):
        return f"'{wrong[0]}' is not an address or network such as 10.2.0.0/16"
    if name == "master_key" and value is not None and len(value) < 32:
        return "a master key has at least 32 characters; make one with: openssl rand -base64 32"
    if name not in _PARTS or value == _PARTS[name][0]:
        return None
    embedded, schemes, example = _PARTS[name]
    if not _is_url(value, schemes) or (name == "database" and not urlsplit(value).path.strip("/")):
        return f"expected {embedded}, or a URL of the form {example} (special characters in a password percent-encoded)"
    return None


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in schemes and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _reachable(address: Address, *, is_tls: bool) -> str:
    """The URL of a listener from this machine: one that listens on all interfaces is reached at the loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    return f"{'https' if is_tls else 'http'}://{Address(host, address.port)}"
