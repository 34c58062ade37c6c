"""Where the secrets of a declared source are: found by its adapter's own types, sealed on the way in, opened for a snapshot."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import inspect

from config.expectation import bare, has_shape, members
from config.problem import Path, Problem, refuse
from core.adapter import Adapter
from core.errors import ConfigError
from core.secret import Secret
from registry.vault import Vault, is_sealed

MASK = "***"
Adapters = Mapping[str, Adapter]

Change = Callable[[str, Path, str], Any]
"""From a secret's text, its path in the source's body and its sealing context to what stands there instead."""


def change_secrets(body: dict[str, Any], adapters: Adapters, change: Change) -> dict[str, Any]:
    """A source's body with each secret changed. A body without a known adapter has no known secrets and stays as it is."""
    adapter = adapters.get(body.get("adapter", ""))
    if adapter is None:
        return body
    context = f"source/{adapter.name}"
    settings = _walk(inspect.type_info(adapter.settings), body.get("settings", {}), ("settings",), f"{context}/settings", change)
    datasets = {}
    for name, dataset in body.get("datasets", {}).items():
        options = _walk(
            inspect.type_info(adapter.options),
            dataset.get("options", {}),
            ("datasets", name, "options"),
            f"{context}/options",
            change,
        )
        datasets[name] = {**dataset, "options": options} if options else dataset
    return {**body, "settings": settings, **({"datasets": datasets} if datasets else {})}


def _walk(kind: inspect.Type, value: Any, path: Path, context: str, change: Change) -> Any:
    """`context` follows fields only, neither keys nor positions: it survives renaming and reordering."""
    match _fitting(kind, value):
        case inspect.CustomType(cls=cls) if cls is Secret:
            return change(value, path, context)
        case inspect.StructType(fields=fields):
            kinds = {field.encode_name: field.type for field in fields}
            return {
                name: _walk(kinds[name], item, (*path, name), f"{context}/{name}", change) if name in kinds else item
                for name, item in value.items()
            }
        case inspect.DictType(value_type=inner):
            return {name: _walk(inner, item, (*path, name), context, change) for name, item in value.items()}
        case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner):
            return [_walk(inner, item, (*path, str(n)), context, change) for n, item in enumerate(value)]
    return value


def _fitting(kind: inspect.Type, value: Any) -> inspect.Type | None:
    """The type, of a union the alternative, that this value is of."""
    for inner in map(bare, members(kind)):
        if not has_shape(inner, value):
            continue
        if isinstance(inner, inspect.StructType) and inner.tag_field and value.get(inner.tag_field) != inner.tag:
            continue
        return inner
    return None


class SourceSealer:
    """Seals and opens the secrets of sources with one vault."""

    def __init__(self, vault: Vault, adapters: Adapters) -> None:
        self._vault = vault
        self._adapters = adapters

    def seal(self, name: str, body: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
        """The body with every secret sealed. `***` keeps the secret of `before`, and one that is the same in clear keeps its
        sealed text, so that nothing seems to change. Raises InvalidDocument for `***` without a secret before, and for sealed
        text that does not open here.
        """
        kept: dict[Path, str] = {}
        if before is not None and before.get("adapter") == body.get("adapter"):
            change_secrets(before, self._adapters, lambda text, path, _: kept.setdefault(path, text))
        found: list[Problem] = []

        def change(text: str, path: Path, context: str) -> str:
            try:
                return self._sealed(text, kept.get(path), context)
            except ConfigError as error:
                found.append(Problem(("sources", name, *path), error.detail))
                return text

        sealed = change_secrets(body, self._adapters, change)
        refuse(found)
        return sealed

    def _sealed(self, text: str, old: str | None, context: str) -> str:
        if text == MASK:
            if old is None:
                raise ConfigError("*** stands for the secret that is kept, and there is none; enter the secret")
            return old
        if text == old:
            return text
        clear = self._vault.open(text, context=context) if is_sealed(text) else text
        if old is not None and self._clear_or_none(old, context) == clear:
            return old
        return text if is_sealed(text) else self._vault.seal(clear, context=context)

    def _clear_or_none(self, sealed: str, context: str) -> str | None:
        """None for one sealed under a lost master key: it must be possible to enter the secret again."""
        try:
            return self._vault.open(sealed, context=context)
        except ConfigError:
            return None

    def open(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body with a `core.secret.Secret` in each secret's place. Raises ConfigError that names the source and field."""

        def change(text: str, path: Path, context: str) -> Secret:
            try:
                return Secret(self._vault.open(text, context=context))
            except ConfigError as error:
                raise ConfigError(f"source {name}: {'.'.join(path)}: {error.detail}") from error

        return change_secrets(body, self._adapters, change)


def masked(value: Any) -> Any:
    """Anything that is kept, fit to be shown: sealed secrets and password hashes become `***`."""
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if is_sealed(value) or (isinstance(value, str) and value.startswith("$argon2")):
        return MASK
    return value
