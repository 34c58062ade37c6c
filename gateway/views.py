"""What one app may see of documents, compiled from its grant: fields selected, values masked (requirements 2.14 and 2.24). Pure.

Whatever has another shape than the grant expects is left out, never shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from config.model import Platform
from config.policies import Grant, Mask
from gateway.json_text import encoded

_Tree = dict[str, "_Tree | None"]
"""Field → what of it is granted; None: all."""

Cover = Callable[[str], str | None]


class View:
    """`max_bytes` bounds the documents that are worked on."""

    def __init__(self, grant: Grant) -> None:
        self.max_bytes = grant.max_bytes
        self._granted = _tree(grant.fields) if grant.fields else None
        self._masks = _masks(grant.masks) if grant.masks else None
        names = "|".join(re.escape(path.rpartition(".")[2]) for path in grant.masks)
        self._names = re.compile(rf"(?<![^\W_])(?:{names})(?![^\W_])", re.IGNORECASE) if names else None

    def shown(self, value: Any) -> Any:
        """The document as the app gets it. The one given is left as it is."""
        if self._granted is not None:
            value = _selected(value, self._granted)
        return value if self._masks is None else _masked(value, self._masks, None)

    def is_plain(self, name: str) -> bool:
        """Whether a top field is granted whole and nothing of it is masked."""
        is_whole = self._granted is None or self._granted.get(name, _NOTHING) is None
        return is_whole and (self._masks is None or name not in self._masks.children)

    def names_masked(self, text: str) -> bool:
        """Whether the name of a masked field stands in a text, as a word or with `_` beside it."""
        return self._names is not None and self._names.search(text) is not None

    def unwritable(self, value: Any) -> str | None:
        """The first field of a body that the app may not write, since it can't read it plainly; lists are gone through."""
        if isinstance(value, list):
            return next((name for item in value if (name := self.unwritable(item)) is not None), None)
        return next((name for name in value if not self.is_plain(name)), None) if isinstance(value, dict) else None


def views_of(platform: Platform) -> dict[str, dict[str, View]]:
    """By service or route, then by app: the views of those apps whose grant narrows the fields."""
    found: dict[str, dict[str, View]] = {}
    for app, declared in platform.apps.items():
        for name, grant in declared.grants.items():
            if grant.fields or grant.masks:
                found.setdefault(name, {})[app] = View(grant)
    return found


def cover(mask: Mask) -> Cover:
    """A mask as a function: text → text, or None where the value is dropped."""
    if mask.hide:
        return lambda text: None
    if mask.middle:
        return lambda text: _covered(text, max(len(text) - mask.middle, 0) // 2, mask.middle)
    if mask.last:
        return lambda text: _covered(text, max(len(text) - mask.last, 0), mask.last)
    kept = mask.keep_first + mask.keep_last
    return lambda text: _covered(text, mask.keep_first, len(text) - kept) if len(text) > kept else "*" * len(text)


def _covered(text: str, start: int, count: int) -> str:
    count = min(count, len(text))
    return text[:start] + "*" * count + text[start + count :]


class _Node:
    """A place in the tree of masks."""

    __slots__ = ("children", "cover")

    def __init__(self) -> None:
        self.cover: Cover | None = None
        self.children: dict[str, _Node] = {}


_NOTHING: _Tree = {}
_NO_NODE = _Node()


def _tree(paths: tuple[str, ...]) -> _Tree:
    root: _Tree = {}
    for path in sorted(paths, key=lambda each: each.count(".")):  # the widest first: it wins
        *steps, last = path.split(".")
        tree = root
        for step in steps:
            inner = tree.setdefault(step, {})
            if inner is None:
                break
            tree = inner
        else:
            tree[last] = None
    return root


def _masks(masks: Mapping[str, Mask]) -> _Node:
    root = _Node()
    for path, mask in masks.items():
        node = root
        for step in path.split("."):
            node = node.children.setdefault(step, _Node())
        node.cover = cover(mask)
    return root


def _selected(value: Any, tree: _Tree) -> Any:
    if isinstance(value, dict):
        return {
            name: item if (inner := tree[name]) is None else _selected(item, inner) for name, item in value.items() if name in tree
        }
    if isinstance(value, list):
        return [_selected(item, tree) for item in value]
    return None


def _masked(value: Any, node: _Node, inherited: Cover | None) -> Any:
    covering = node.cover or inherited
    if isinstance(value, dict):
        if covering is None:
            children = node.children
            return {name: _masked(item, children[name], None) if name in children else item for name, item in value.items()}
        return {name: _masked(item, node.children.get(name, _NO_NODE), covering) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, node, inherited) for item in value]
    if value is None or covering is None:
        return None  # masks lie deeper than this value goes: it is not what the grant expects
    return covering(value if isinstance(value, str) else encoded(value).decode())
