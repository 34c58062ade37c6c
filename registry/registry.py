"""The registry: the one way by which what is declared is read and changed. Bodies leave it masked and are kept sealed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from config.check import problems
from config.diff import Difference, differences
from config.load import parse_document, parse_resource
from config.model import KINDS, Platform
from config.problem import refuse
from config.types import convert, plain
from core.adapter import Adapter
from core.errors import Conflict, NotFound
from core.stores import AuditEntry, Edit, Resource
from registry.changes import Changes, RevisionMoved, VersionedResources
from registry.credentials import credentials_of
from registry.references import referrers
from registry.rollback import Bodies, bodies_at, document_at
from registry.secret_fields import Sealer, masked
from registry.vault import Vault

Document: TypeAlias = dict[str, Any]
ResourceList: TypeAlias = list[Resource]  # the method `list` hides the built-in inside the class
_ATTEMPTS = 5


def document_of(stored: Sequence[Resource]) -> Document:
    """What is kept as a document of `platform.yaml`'s form, secrets sealed; kinds that no document holds are left out."""
    document: Document = {"version": 1}
    for kind, (section, _) in KINDS.items():
        if bodies := {resource.name: resource.body for resource in stored if resource.kind == kind}:
            document[section] = bodies
    return document


def _section(kind: str) -> str:
    if kind not in KINDS:
        raise NotFound(f"there is no kind of resource named '{kind}'; there are {', '.join(KINDS)}")
    return KINDS[kind][0]


def _find(stored: Sequence[Resource], kind: str, name: str) -> Resource | None:
    return next((resource for resource in stored if (resource.kind, resource.name) == (kind, name)), None)


def _check_version(kind: str, name: str, old: Resource | None, expected: int | None) -> None:
    version = old.version if old else 0
    if expected is not None and expected != version:
        state = f"is at version {version}" if old else "does not exist"
        raise Conflict(f"{kind} {name} {state}, not at version {expected}; read it again, then decide")


def _merged(old: Document, document: Any, *, prune: bool) -> Any:
    """The whole after an apply. What is no mapping is left for the validation to refuse."""
    if prune or not isinstance(document, dict):
        return document
    whole = {**old, **document}
    for section, _ in KINDS.values():
        kept, given = old.get(section), document.get(section)
        if kept and isinstance(given, dict):
            whole[section] = {**kept, **given}
    return whole


class Registry:
    """Changes made at the same time follow each other, whichever process makes them; each is checked against the whole.

    `expected` is the version the caller saw, 0 for "must not exist yet", None for any. InvalidDocument (a ConfigError) lists
    every problem by its path; Conflict and NotFound name the resource.
    """

    def __init__(self, resources: VersionedResources, vault: Vault, adapters: Mapping[str, Adapter]) -> None:
        self._resources = resources
        self._changes = Changes(resources)
        self._sealer = Sealer(vault, adapters)
        self._adapters = adapters

    async def revision(self) -> int:
        """Grows with every change of anything."""
        return await self._resources.revision()

    async def list(self, kind: str) -> ResourceList:
        """By name, secrets as `***`. NotFound for an unknown kind."""
        _section(kind)
        _, stored = await self._resources.all()
        return [_shown(resource) for resource in stored if resource.kind == kind]

    async def get(self, kind: str, name: str) -> Resource:
        """Secrets as `***`. NotFound where there is none."""
        _section(kind)
        found = await self._resources.get(kind, name)
        if found is None:
            raise NotFound(f"there is no {kind} {name}")
        return _shown(found)

    async def put(self, kind: str, name: str, body: Any, *, expected: int | None = None, actor: str) -> Resource:
        """Make or replace one resource; a body that changes nothing leaves it untouched. `***` keeps the secret that is there."""
        section = _section(kind)

        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            old = _find(stored, kind, name)
            _check_version(kind, name, old, expected)
            fresh = plain(parse_resource(kind, name, body, self._adapters))
            fresh = self._sealer.seal(kind, name, fresh, old.body if old else None)
            document = document_of(stored)
            changed = {**document, section: {**document.get(section, {}), name: fresh}}
            self._refuse_new_problems(document, changed)
            alone = {section: {name: old.body}} if old else {}
            (difference,) = differences(alone, {section: {name: fresh}}, self._adapters)
            return [] if difference.action == "same" else [Edit(kind, name, fresh)]

        await self._changes.make(decide, actor=actor)
        return await self.get(kind, name)

    def _refuse_new_problems(self, before: Document, after: Document) -> None:
        """One that was there already (an adapter that was uninstalled) must not stop changes elsewhere."""
        found = problems(convert(after, Platform), self._adapters)
        if found:
            known = set(problems(convert(before, Platform), self._adapters))
            refuse(problem for problem in found if problem not in known)

    async def delete(self, kind: str, name: str, *, expected: int | None = None, actor: str) -> None:
        """Delete one resource and, of an app or proxy, its credentials. Conflict that names who still refers to it."""
        _section(kind)

        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            old = _find(stored, kind, name)
            if old is None:
                raise NotFound(f"there is no {kind} {name}")
            _check_version(kind, name, old, expected)
            if users := referrers(kind, name, convert(document_of(stored), Platform)):
                raise Conflict(f"{kind} {name} is still used by {', '.join(users)}; change or delete them first", code="in_use")
            return _deletion(stored, kind, name)

        await self._changes.make(decide, actor=actor)

    async def diff(self, document: Any, *, prune: bool = False) -> Sequence[Difference]:
        """What `apply` would do, nothing changed. `same` resources are listed too; secrets are masked."""
        _, stored = await self._resources.all()
        return self._plan(stored, document, prune=prune)[0]

    async def apply(self, document: Any, *, actor: str, prune: bool = False) -> Sequence[Difference]:
        """Make the registry hold what the document says, all or nothing; give what was done. `prune` deletes what it lacks."""
        done: Sequence[Difference] = []

        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            nonlocal done
            done, edits = self._plan(stored, document, prune=prune)
            return edits

        await self._changes.make(decide, actor=actor)
        return done

    def _plan(self, stored: Sequence[Resource], document: Any, *, prune: bool) -> tuple[Sequence[Difference], Sequence[Edit]]:
        old = document_of(stored)
        wished: Document = plain(parse_document(_merged(old, document, prune=prune), self._adapters))
        for kind, (section, _) in KINDS.items():
            before = old.get(section, {})
            for name, body in wished.get(section, {}).items():
                wished[section][name] = self._sealer.seal(kind, name, body, before.get(name))
        found = differences(old, wished, self._adapters)
        return found, _edits(stored, found, wished)

    async def rollback(self, revision: int, *, actor: str, dry_run: bool = False) -> Sequence[Difference]:
        """Make what is declared what it was at that revision, all or nothing, as one change that is audited like any other; give
        what was (or with `dry_run` would be) done. Keys of an app or proxy that was deleted since do not come back.

        Raises as `registry.rollback.bodies_at`, and InvalidDocument where what was then does not hold with what is there now.
        """
        for _ in range(_ATTEMPTS):
            current, stored = await self._resources.all()
            bodies = await bodies_at(self._resources, revision, current)
            found, edits = await asyncio.to_thread(self._restored, stored, bodies)
            if dry_run or not edits:
                return found
            try:
                await self._resources.commit(edits, actor=actor, at=current)
            except RevisionMoved:
                continue
            return found
        raise RevisionMoved("the registry keeps changing; try again")

    def _restored(self, stored: Sequence[Resource], bodies: Bodies) -> tuple[Sequence[Difference], Sequence[Edit]]:
        now = document_of(stored)
        then = document_at(now, bodies)
        self._refuse_new_problems(now, then)
        found = differences(now, then, self._adapters)
        return found, _edits(stored, found, then)

    async def export(self) -> Document:
        """The whole as a document, secrets as `sealed:…`: an installation with the same master key applies it again."""
        _, stored = await self._resources.all()
        return document_of(stored)

    async def audit(self, before: int | None = None, limit: int = 100) -> Sequence[AuditEntry]:
        """Changes of every kind, newest first, those before revision `before`; secrets as `***`."""
        entries = await self._resources.audit(before=before, limit=limit)
        return [msgspec.structs.replace(entry, before=masked(entry.before), after=masked(entry.after)) for entry in entries]


def _shown(resource: Resource) -> Resource:
    return msgspec.structs.replace(resource, body=masked(resource.body))


def _edits(stored: Sequence[Resource], found: Sequence[Difference], wished: Document) -> list[Edit]:
    edits: list[Edit] = []
    for each in found:
        if each.action == "delete":
            edits += _deletion(stored, each.kind, each.name)
        elif each.action != "same":
            edits.append(Edit(each.kind, each.name, wished[KINDS[each.kind][0]][each.name]))
    return edits


def _deletion(stored: Sequence[Resource], kind: str, name: str) -> Sequence[Edit]:
    """With an app or proxy go its credentials: one made later under the same name must not inherit them."""
    owned = credentials_of(stored, kind, name)
    return [Edit(kind, name, None), *(Edit(resource.kind, resource.name, None) for resource in owned)]
