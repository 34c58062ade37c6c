"""What was declared at an earlier revision, read out of the audit. Credentials, users and signing keys are not: they stay."""

from typing import Any, TypeAlias

from config.model import KINDS
from core.errors import Conflict, InvalidInput
from core.stores import Resources

Document: TypeAlias = dict[str, Any]
Bodies: TypeAlias = dict[tuple[str, str], Document | None]

_PAGE = 1000


async def bodies_at(resources: Resources, revision: int, current: int) -> Bodies:
    """Of each declared resource that has changed after `revision` and until `current`: its body then, None where there was none.

    Raises InvalidInput for a revision that is not behind, Conflict (audit_incomplete) where the audit does not reach back to it.
    """
    if not 0 <= revision <= current:
        raise InvalidInput(f"there is no revision {revision} to go back to; the registry is at revision {current}")
    found: Bodies = {}
    next_one = current + 1
    while next_one > revision + 1:
        page = await resources.audit(before=next_one, limit=_PAGE)
        for entry in page:
            if entry.revision <= revision:
                break
            if entry.revision != next_one - 1:
                raise _gap(revision, next_one - 1)
            next_one = entry.revision
            if entry.kind in KINDS:
                found[entry.kind, entry.name] = entry.before
        if not page or page[0].revision <= revision:
            break
    if next_one != revision + 1:
        raise _gap(revision, next_one - 1)
    return found


def document_at(document: Document, bodies: Bodies) -> Document:
    """The document with those bodies in place of what is there now."""
    then: Document = {**document, **{section: dict(document.get(section, {})) for section, _ in KINDS.values()}}
    for (kind, name), body in bodies.items():
        section = then[KINDS[kind][0]]
        if body is None:
            section.pop(name, None)
        else:
            section[name] = body
    return {section: content for section, content in then.items() if content != {}}


def _gap(revision: int, missing: int) -> Conflict:
    text = f"the audit does not reach back to revision {revision}: it lacks revision {missing}; nothing was changed"
    return Conflict(text, code="audit_incomplete")
