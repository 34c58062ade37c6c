"""The secrets of what is declared: sealed on the way in, opened for a snapshot, masked on the way out.

Where they stand is told by the model's types, in a source by its adapter's own.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from config.check_webhooks import secret_problem
from config.model import KINDS
from config.problem import Path, Problem, refuse
from config.secret_places import Change, change_secrets
from core.adapter import Adapter
from core.errors import ConfigError
from core.secret import Secret
from registry.vault import Vault, is_sealed

MASK = "***"
Adapters = Mapping[str, Adapter]


def _change_source(body: dict[str, Any], adapters: Adapters, change: Change) -> dict[str, Any]:
    """A source without a known adapter has no known secrets and stays as it is."""
    adapter = adapters.get(body.get("adapter", ""))
    if adapter is None:
        return body
    context = f"source/{adapter.name}"
    settings = change_secrets(adapter.settings, body.get("settings", {}), change, path=("settings",), context=f"{context}/settings")
    datasets = {}
    for name, dataset in body.get("datasets", {}).items():
        path = ("datasets", name, "options")
        options = change_secrets(adapter.options, dataset.get("options", {}), change, path=path, context=f"{context}/options")
        datasets[name] = {**dataset, "options": options} if options else dataset
    return {**body, "settings": settings, **({"datasets": datasets} if datasets else {})}


class Sealer:
    """Seals and opens the secrets of resources of any kind with one vault."""

    def __init__(self, vault: Vault, adapters: Adapters) -> None:
        self._vault = vault
        self._adapters = adapters

    def _change(self, kind: str, body: dict[str, Any], change: Change) -> dict[str, Any]:
        if kind == "source":
            return _change_source(body, self._adapters, change)
        changed: dict[str, Any] = change_secrets(KINDS[kind][1], body, change, context=kind)
        return changed

    def seal(self, kind: str, name: str, body: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
        """The body with every secret sealed. `***` keeps the secret of `before`, and one that is the same in clear keeps its
        sealed text, so that nothing seems to change. Raises InvalidDocument for `***` without a secret before, for sealed text
        that does not open here, and for a new secret that can't do what it is for.
        """
        kept: dict[Path, str] = {}
        if before is not None and before.get("adapter") == body.get("adapter"):
            self._change(kind, before, lambda text, path, _: kept.setdefault(path, text))
        found: list[Problem] = []

        def change(text: str, path: Path, context: str) -> str:
            try:
                return self._sealed(text, kept.get(path), context, partial(secret_problem, kind, path[0]))
            except ConfigError as error:
                found.append(Problem((KINDS[kind][0], name, *path), error.detail))
                return text

        sealed = self._change(kind, body, change)
        refuse(found)
        return sealed

    def _sealed(self, text: str, old: str | None, context: str, problem: Callable[[str], str | None]) -> str:
        if text == MASK:
            if old is None:
                raise ConfigError("*** stands for the secret that is kept, and there is none; enter the secret")
            return old
        if text == old:
            return text
        clear = self._vault.open(text, context=context) if is_sealed(text) else text
        if old is not None and self._clear_or_none(old, context) == clear:
            return old
        if (wrong := problem(clear)) is not None:
            raise ConfigError(wrong)
        return text if is_sealed(text) else self._vault.seal(clear, context=context)

    def _clear_or_none(self, sealed: str, context: str) -> str | None:
        """None for one sealed under a lost master key: it must be possible to enter the secret again."""
        try:
            return self._vault.open(sealed, context=context)
        except ConfigError:
            return None

    def open(self, kind: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body with a `core.secret.Secret` in each secret's place. Raises ConfigError that names the resource and field."""

        def change(text: str, path: Path, context: str) -> Secret:
            try:
                return Secret(self._vault.open(text, context=context))
            except ConfigError as error:
                raise ConfigError(f"{kind} {name}: {'.'.join(path)}: {error.detail}") from error

        return self._change(kind, body, change)


def masked(value: Any) -> Any:
    """Anything that is kept, fit to be shown: sealed secrets and password hashes become `***`."""
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if is_sealed(value) or (isinstance(value, str) and value.startswith("$argon2")):
        return MASK
    return value
