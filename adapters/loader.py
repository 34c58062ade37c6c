"""Finds the adapters: every module of this package, and every plug-in named, that exposes `ADAPTER`.

Importing an adapter imports no driver, so that a missing library troubles only the sources that need it.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from types import ModuleType

import adapters
from core.adapter import Adapter
from core.errors import ConfigError


def load_adapters(plugins: Sequence[str] = ()) -> dict[str, Adapter]:
    """Adapters by name: our own, then those of the plug-ins (dotted names of importable modules).

    Raises ConfigError for a plug-in that can't be imported, exposes no Adapter, or takes a name that is taken.
    """
    found: dict[str, Adapter] = {}
    for module in _own_modules():
        if isinstance(adapter := getattr(module, "ADAPTER", None), Adapter):
            _add(found, adapter, module.__name__)
    for name in plugins:
        _add(found, _plugin(name), name)
    return found


def _own_modules() -> Iterator[ModuleType]:
    for module in sorted(pkgutil.iter_modules(adapters.__path__), key=lambda module: module.name):
        yield importlib.import_module(f"adapters.{module.name}")


def _plugin(name: str) -> Adapter:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"plug-in {name}: can't be imported ({error}); its folder must be on PYTHONPATH") from error
    adapter = getattr(module, "ADAPTER", None)
    if not isinstance(adapter, Adapter):
        raise ConfigError(f"plug-in {name}: has no ADAPTER of type core.adapter.Adapter; see docs/adding-an-adapter.md")
    return adapter


def _add(found: dict[str, Adapter], adapter: Adapter, module: str) -> None:
    if adapter.name in found:
        raise ConfigError(f"{module}: an adapter named {adapter.name!r} exists already; give ADAPTER another name")
    found[adapter.name] = adapter
