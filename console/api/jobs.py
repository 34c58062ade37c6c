"""Collection jobs: how they stand, live; starting, pausing, cancelling, resetting them; the sync log (requirements 2.11, 2.22)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from console.api.access import Caller, note
from console.api.control import Control, Controlled
from console.api.json_io import Json, gives, read_json, takes
from console.api.messages import Progress, StoredJob, WantedFields
from console.api.resources import After, Limit, page
from core.clock import epoch_ms
from core.errors import Conflict, NotFound
from core.stores import Resource, Run

router = APIRouter(tags=["jobs"])
_LATEST = 200


def progress(run: Run, now_ms: int) -> Progress:
    """A run with what follows from its counts. A finished run has its average rate."""
    seconds = max((run.ended_ms or now_ms) - run.started_ms, 1) / 1000
    share = min(1.0, run.rows / run.expected) if run.expected else None
    return Progress(
        run.batch_id,
        run.state,
        run.rows,
        run.bad_rows,
        run.expected,
        1.0 if share is not None and run.state in ("succeeded", "partial") else share,
        round(run.rows / seconds, 1),
        run.attempt,
        run.reason,
        run.started_ms,
        run.ended_ms,
    )


async def latest_runs(control: Control, names: list[str]) -> dict[str, Run]:
    """The run under way or the last one of each job. Jobs that have not run for long are looked up one by one."""
    found: dict[str, Run] = {}
    for run in await control.job_states.runs(limit=_LATEST):
        found.setdefault(run.job, run)
    for name in names:
        if name not in found and (runs := await control.job_states.runs(job=name, limit=1)):
            found[name] = runs[0]
    return {**found, **control.jobs.live()}


async def job_list(control: Control, *, limit: int, after: str = "") -> list[StoredJob]:
    """A page of jobs by name, each with its progress."""
    found = page(await control.registry.list("job"), limit, after)
    runs = await latest_runs(control, [job.name for job in found])
    paused = await control.job_states.paused()
    return [_with_progress(job, runs.get(job.name), is_paused=job.name in paused) for job in found]


def _with_progress(job: Resource, run: Run | None, *, is_paused: bool) -> StoredJob:
    return StoredJob(job.name, job.version, job.changed_ms, job.body, progress(run, epoch_ms()) if run else None, is_paused)


@router.get("/jobs", responses=gives("StoredJob", many=True))
async def list_jobs(control: Controlled, limit: Limit = 100, after: After = "") -> Response:
    """Jobs with the progress of the run under way, or of the last."""
    return Json({"items": await job_list(control, limit=limit, after=after)})


@router.get("/jobs/{name}", responses=gives("StoredJob"))
async def read_job(control: Controlled, name: str) -> Response:
    """One job with its progress; its version is in `ETag`."""
    job = await control.registry.get("job", name)
    runs = await latest_runs(control, [name])
    is_paused = name in await control.job_states.paused()
    return Json(_with_progress(job, runs.get(name), is_paused=is_paused), headers={"ETag": f'"{job.version}"'})


@router.post("/jobs/{name}/run", status_code=202)
async def run_now(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Run at once, or once more after the run under way. 409 for a job that is paused."""
    await control.registry.get("job", name)
    if name in await control.job_states.paused():
        raise Conflict(f"job {name} is paused; resume it first")
    control.jobs.run_now(name)
    note(request, caller, "job started", job=name)
    return Json({"job": name, "wanted": "run"}, 202)


@router.post("/jobs/{name}/cancel", status_code=202)
async def cancel(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """End the run under way; what it has stored stays."""
    await control.registry.get("job", name)
    control.jobs.cancel(name)
    note(request, caller, "job cancelled", job=name)
    return Json({"job": name, "wanted": "cancel"}, 202)


@router.post("/jobs/{name}/pause", status_code=202)
async def pause(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Let no run begin until it is resumed, also after a restart. A run under way ends behind its batch, its checkpoint stored."""
    await control.registry.get("job", name)
    await control.jobs.pause(name)
    note(request, caller, "job paused", job=name)
    return Json({"job": name, "wanted": "pause"}, 202)


@router.post("/jobs/{name}/resume", status_code=202)
async def resume(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Back to its schedule; a run that was paused goes on at once where it stood."""
    await control.registry.get("job", name)
    await control.jobs.resume(name)
    note(request, caller, "job resumed", job=name)
    return Json({"job": name, "wanted": "resume"}, 202)


@router.post("/jobs/{name}/reset", status_code=200)
async def reset(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Forget the checkpoint: the next run loads everything. 409 while a run is under way, which would store it again."""
    await control.registry.get("job", name)
    if name in control.jobs.live():
        raise Conflict(f"job {name} is running; cancel it first")
    await control.job_states.reset(name)
    note(request, caller, "job reset", job=name)
    return Json({"job": name, "wanted": "reset"})


@router.post("/jobs/{name}/reconcile", status_code=202)
async def reconcile(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Compare the job's dataset at its source with the mirror, row by row; GET tells what came of it. It reads the whole source."""
    job = await control.registry.get("job", name)
    control.comparison.start(job.body["dataset"])
    note(request, caller, "reconciliation started", job=name)
    return Json({"job": name, "wanted": "reconcile"}, 202)


@router.get("/jobs/{name}/reconcile", responses=gives("Reconciliation"))
async def reconciled(control: Controlled, name: str) -> Response:
    """The comparison under way, or the last one of this node."""
    job = await control.registry.get("job", name)
    return Json(control.comparison.last(job.body["dataset"]))


@router.post("/jobs/{name}/backfill", status_code=202, openapi_extra=takes("WantedFields"))
async def backfill(request: Request, control: Controlled, caller: Caller, name: str) -> Response:
    """Load some fields of its dataset anew, `{"fields": ["a"]}`, its checkpoint left alone. 409 for a job that is paused."""
    await control.registry.get("job", name)
    wanted = await read_json(request, WantedFields)
    if name in await control.job_states.paused():
        raise Conflict(f"job {name} is paused; resume it first")
    control.jobs.backfill(name, wanted.fields)
    note(request, caller, "job backfill", job=name, fields=list(wanted.fields))
    return Json({"job": name, "wanted": "backfill"}, 202)


@router.get("/jobs/{name}/drift", responses=gives("SchemaReport"))
async def drift(control: Controlled, name: str) -> Response:
    """How its source's columns compare with what its dataset declares. 404 where they were not compared yet."""
    await control.registry.get("job", name)
    report = await control.job_states.schema(name)
    if report is None:
        raise NotFound(f"the columns of job {name} were not compared yet: it has not run, or its source does not tell them")
    return Json(report)


@router.get("/jobs/{name}/runs", responses=gives("Run", many=True))
async def runs_of_job(control: Controlled, name: str, limit: Limit = 50) -> Response:
    """The job's part of the sync log, newest first."""
    await control.registry.get("job", name)
    return Json({"items": await control.job_states.runs(job=name, limit=limit)})


@router.get("/runs", responses=gives("Run", many=True), tags=["jobs"])
async def all_runs(control: Controlled, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Response:
    """The sync log of all jobs, newest first."""
    return Json({"items": await control.job_states.runs(limit=limit)})
