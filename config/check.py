"""Cross-references and sense of a platform whose shapes are right: what names what, and whether it can work. Pure.

Used by `config/load.py` for a whole document and by the registry for a single change.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from config.check_access import access_problems
from config.check_callers import caller_problems
from config.check_dataset import dataset_problems
from config.check_policies import policy_problems
from config.check_references import References
from config.check_routes import route_problems
from config.check_upstreams import upstream_problems
from config.check_values import schedule_problems
from config.check_webhooks import webhook_problems
from config.contacts import Contact
from config.model import Job, Platform, Service, Source
from config.policies import Policies
from config.problem import Path, Problem, suggestion
from core.adapter import Ability, Adapter
from core.schema import Dataset

_TRANSACTIONS = "transactions"


def problems(platform: Platform, adapters: Mapping[str, Adapter], *, broken: frozenset[Path] = frozenset()) -> list[Problem]:
    """Everything wrong in the platform as a whole, with paths such as `("jobs", "nightly", "dataset")`.

    `broken` holds paths of resources (`("sources", "crm")`) or sections that are declared but left out of `platform` because
    their shape is wrong: references to them are not judged.
    """
    return list(_Check(References(platform, broken), adapters).run())


@dataclass(frozen=True, slots=True)
class _Check:
    references: References
    adapters: Mapping[str, Adapter]

    def run(self) -> Iterator[Problem]:
        platform, references = self.platform, self.references
        yield from caller_problems(references)
        yield from access_problems(references)
        for name, source in platform.sources.items():
            yield from self._source(source, ("sources", name))
        for name, service in platform.services.items():
            if name == _TRANSACTIONS:
                yield Problem(("services", name), "the platform's own transactions have this path; give it another name")
            yield from self._service(service, ("services", name))
        for name, job in platform.jobs.items():
            yield from self._job(job, ("jobs", name))
        for name, contact in platform.contacts.items():
            yield from self._contact(name, contact, ("contacts", name))
        for name, upstream in platform.upstreams.items():
            yield from upstream_problems(upstream, ("upstreams", name))
        yield from route_problems(references)
        yield from webhook_problems(references)

    @property
    def platform(self) -> Platform:
        return self.references.platform

    def _source(self, source: Source, path: Path) -> Iterator[Problem]:
        if source.adapter not in self.adapters:
            yield Problem((*path, "adapter"), f"unknown adapter '{source.adapter}'{suggestion(source.adapter, self.adapters)}")
        for name, dataset in source.datasets.items():
            yield from dataset_problems(dataset, (*path, "datasets", name))

    def _service(self, service: Service, path: Path) -> Iterator[Problem]:
        yield from policy_problems(service.policies, (*path, "policies"), anonymous=False, names=None)
        if service.kind == "realtime":
            yield from self._realtime(service, path)
        else:
            yield from self._data_service(service, path)

    def _realtime(self, service: Service, path: Path) -> Iterator[Problem]:
        if service.call is None:
            yield Problem((*path, "call"), "required for a realtime service: the source, operation and key it wraps")
        else:
            at = (*path, "call", "source")
            yield from self.references.missing("source", service.call.source, at)
            yield from self._able(service.call.source, "call", at, "a realtime service")
        for name, value in (
            ("dataset", service.dataset),
            ("filters", service.filters),
            ("writable", service.writable),
            ("source_reads", service.source_reads),
        ):
            if value:
                yield Problem((*path, name), "has no meaning in a realtime service, which asks the source at each call; remove it")

    def _data_service(self, service: Service, path: Path) -> Iterator[Problem]:
        if service.call is not None:
            yield Problem((*path, "call"), f"only a realtime service has a call; this one is {service.kind}")
        if service.kind == "asynchronous" and service.writable:
            yield Problem((*path, "writable"), "an asynchronous service is read-only; make its kind synchronous or remove this")
        if service.kind == "synchronous" and not service.writable:
            yield Problem((*path, "writable"), "required for a synchronous service: the fields that may be written")
        if service.dataset is None:
            yield Problem((*path, "dataset"), f"required for a service of kind {service.kind}: <source>.<dataset>")
            return
        yield from self._dataset_reference(service.dataset, (*path, "dataset"))
        source_name = service.dataset.partition(".")[0]
        if service.kind == "synchronous":
            yield from self._able(source_name, "write", (*path, "kind"), "a synchronous service")
        if service.source_reads:
            yield from self._able(source_name, "lookup", (*path, "source_reads"), "source_reads")
        if service.transactional:
            yield from self._transactional(service, source_name, (*path, "transactional"))
        if dataset := self._dataset(service.dataset):
            yield from self._service_fields(service, dataset, path)

    def _transactional(self, service: Service, source: str, path: Path) -> Iterator[Problem]:
        if service.kind != "synchronous":
            yield Problem(path, f"only a synchronous service takes part in transactions; this one is {service.kind}")
        yield from self._able(source, "lookup", path, "a transactional service")
        kept = Policies(timeout_s=service.policies.timeout_s, max_body_bytes=service.policies.max_body_bytes)
        if service.policies != kept:
            yield Problem(path, "a transaction would pass by the policies of its own that this service has; remove one of the two")

    def _service_fields(self, service: Service, dataset: Dataset, path: Path) -> Iterator[Problem]:
        for section, names in (("filters", service.filters), ("writable", service.writable)):
            for index, name in enumerate(names):
                at = (*path, section, str(index))
                if name not in dataset.fields:
                    yield Problem(at, f"field '{name}' is not declared in {service.dataset}{suggestion(name, dataset.fields)}")
                elif section == "writable" and dataset.field(name).is_mapped:
                    yield Problem(at, f"field '{name}' is mapped by codes, a unit or an expression, which is no way back")
                elif section == "writable" and name in dataset.key:
                    yield Problem(at, f"field '{name}' is part of the key, which never changes; remove it from writable")

    def _job(self, job: Job, path: Path) -> Iterator[Problem]:
        yield from schedule_problems(job.schedule, (*path, "schedule"))
        yield from self._dataset_reference(job.dataset, (*path, "dataset"))
        yield from self._able(job.dataset.partition(".")[0], "read", (*path, "dataset"), "a job")
        if job.alert is not None:
            yield from self.references.missing("contact", job.alert, (*path, "alert"))
        dataset = self._dataset(job.dataset)
        # Datasets with a format come as files or frames, whose adapters keep a cursor of their own.
        if dataset and job.mode == "incremental" and dataset.cursor is None and dataset.format is None:
            text = f"incremental needs a cursor in dataset {job.dataset}; declare `cursor` there or use mode: full"
            yield Problem((*path, "mode"), text)

    def _contact(self, name: str, contact: Contact, path: Path) -> Iterator[Problem]:
        if contact.webhook is None and contact.wecom is None and contact.mail is None:
            yield Problem(path, "a contact needs at least one of webhook, wecom and mail")
        if contact.escalate_to == name:
            yield Problem((*path, "escalate_to"), "a contact can't escalate to itself")
        elif contact.escalate_to is not None:
            yield from self.references.missing("contact", contact.escalate_to, (*path, "escalate_to"))

    def _dataset(self, reference: str) -> Dataset | None:
        source_name, _, name = reference.partition(".")
        source = self.platform.sources.get(source_name)
        return source.datasets.get(name) if source else None

    def _dataset_reference(self, reference: str, path: Path) -> Iterator[Problem]:
        source_name, _, name = reference.partition(".")
        source = self.platform.sources.get(source_name)
        if source is None:
            yield from self.references.missing("source", source_name, path)
        elif name not in source.datasets:
            near = suggestion(name, source.datasets)
            yield Problem(path, f"source '{source_name}' declares no dataset '{name}'{near}")

    def _able(self, source_name: str, ability: Ability, path: Path, what: str) -> Iterator[Problem]:
        """Judges a declared source only; that it is declared is the reference's own check."""
        source = self.platform.sources.get(source_name)
        adapter = self.adapters.get(source.adapter) if source else None
        if adapter and ability not in adapter.abilities:
            able = sorted(name for name, each in self.adapters.items() if ability in each.abilities)
            hint = f"; adapters that can: {', '.join(able)}" if able else ""
            text = f"{what} needs the ability '{ability}', which adapter {adapter.name} of source '{source_name}' lacks{hint}"
            yield Problem(path, text)
