"""The platform document: from YAML text to a checked plain document (`zhiyun apply`), and from that to the model (the registry).

All problems are collected, each with its path, and with file and line where there is a file. Knows adapters only by the mapping
handed in.
"""

from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

from config import check, secret_text
from config.model import KINDS, Part, Platform, Source
from config.problem import Locator, Path, Problem, refuse, suggestion
from config.types import convert
from config.validation import Validation
from core.adapter import Adapter

Adapters = Mapping[str, Adapter]


def load_platform(path: FilePath, variables: Mapping[str, str], adapters: Adapters) -> dict[str, Any]:
    """Read and check `platform.yaml`; give the plain document to send to the management API.

    `${NAME}` and secrets written `env:NAME` or `file:…` are resolved here, from `variables` (the environment) and this machine's
    files; `sealed:` ones stay. Raises ConfigError; InvalidDocument lists every problem with file and line.
    """
    from config import yaml_text  # the registry, which never reads YAML, imports this module in every process

    document, where = yaml_text.read(path, variables)
    folder = path.parent
    validation = Validation(lambda text: secret_text.resolve(text, variables, folder), where.interpolated.__contains__)
    result, problems = examine({} if document is None else document, adapters, validation)
    refuse(problems, where)
    assert isinstance(result, dict)
    return result


def load_resource(
    text: bytes, file: str, folder: FilePath, kind: str, name: str, variables: Mapping[str, str], adapters: Adapters
) -> dict[str, Any]:
    """One resource of a kind of `config.model.KINDS`, from YAML or JSON in `file`, to be sent to the management API; like
    `load_platform`, references unchecked. `***` stays: it keeps the secret that is there."""
    from config import yaml_text

    body, found = yaml_text.parse(text, file, variables)
    section, _ = KINDS[kind]
    place = (section, name)
    interpolated = frozenset((*place, *path) for path in found.interpolated)
    where = Locator(file, {(*place, *path): at for path, at in found.places.items()}, interpolated)
    validation = Validation(lambda secret: secret_text.resolve(secret, variables, folder), interpolated.__contains__)
    result, problems = _shape({section: {name: {} if body is None else body}}, adapters, validation)
    refuse(problems, where)
    resource: dict[str, Any] = result[section][name]
    return resource


def parse_document(document: Any, adapters: Adapters, where: Locator | None = None) -> Platform:
    """A plain document (from JSON) as the model, checked as a whole. Secrets are plain or `sealed:`. Raises InvalidDocument."""
    result, problems = examine(document, adapters, Validation(secret_text.only_resolved))
    refuse(problems, where)
    return convert(result, Platform)


def parse_resource(kind: str, name: str, body: Any, adapters: Adapters) -> Part:
    """One resource of a kind of `config.model.KINDS`, its references not yet checked (see `config.check.problems`).

    Raises InvalidDocument with paths such as `sources.crm.settings.host`.
    """
    section, part = KINDS[kind]
    validation = Validation(secret_text.only_resolved)
    result, problems = _shape({section: {name: body}}, adapters, validation)
    refuse(problems)
    return convert(result[section][name], part)


def examine(document: Any, adapters: Adapters, validation: Validation) -> tuple[Any, list[Problem]]:
    """The document with its secrets and variables replaced, and everything wrong with it: shapes, references and sense.

    References and sense are checked among the resources whose shape is right; a reference to a misshapen one is no second problem.
    """
    result, problems = _shape(document, adapters, validation)
    if not isinstance(result, dict):
        return result, problems
    broken = frozenset(problem.path[:2] for problem in problems)
    platform = convert({"version": 1, **_healthy(result, broken)}, Platform)
    problems += check.problems(platform, adapters, broken=broken)
    return result, problems


def _shape(document: Any, adapters: Adapters, validation: Validation) -> tuple[Any, list[Problem]]:
    result = validation.run(Platform, document)
    sources = result.get("sources") if isinstance(result, dict) else None
    for name, source in sources.items() if isinstance(sources, dict) else ():
        if isinstance(source, dict):
            _adapter_parts(source, ("sources", name), adapters, validation)
    return result, validation.problems


def _adapter_parts(source: dict[str, Any], path: Path, adapters: Adapters, validation: Validation) -> None:
    """Check a source's settings and its datasets' options against its adapter's own types, and replace them."""
    name = source.get("adapter")
    if not isinstance(name, str):
        return  # noted already
    adapter = adapters.get(name)
    if adapter is None:
        validation.problems.append(Problem((*path, "adapter"), f"unknown adapter '{name}'{suggestion(name, adapters)}"))
        return
    if isinstance(source.get("settings"), dict):
        source["settings"] = validation.run(adapter.settings, source["settings"], (*path, "settings"))
    datasets = source.get("datasets")
    for dataset_name, dataset in datasets.items() if isinstance(datasets, dict) else ():
        if isinstance(dataset, dict) and isinstance(dataset.setdefault("options", {}), dict):
            options_path = (*path, "datasets", dataset_name, "options")
            dataset["options"] = validation.run(adapter.options, dataset["options"], options_path)
            if not dataset["options"]:
                del dataset["options"]


def _healthy(document: dict[str, Any], broken: frozenset[Path]) -> dict[str, dict[str, Any]]:
    """The sections without the resources that have a problem of shape."""
    sections = {section for section, _ in KINDS.values()}
    return {
        section: {name: body for name, body in resources.items() if (section, name) not in broken}
        for section, resources in document.items()
        if section in sections and (section,) not in broken
    }


def source_settings(source: Source, adapters: Adapters, unseal: Callable[[str], str]) -> Any:
    """The settings of a stored source as its adapter's own Struct, ready for `Adapter.open`. Raises InvalidDocument."""
    adapter = adapters.get(source.adapter)
    if adapter is None:
        refuse([Problem(("adapter",), f"unknown adapter '{source.adapter}'{suggestion(source.adapter, adapters)}")])
    assert adapter is not None
    validation = Validation(on_secret=unseal)
    settings = validation.run(adapter.settings, source.settings, ("settings",))
    refuse(validation.problems)
    return convert(settings, adapter.settings)
