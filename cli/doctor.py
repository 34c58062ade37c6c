"""`zhiyun doctor`: how the node is, asked over its API; where none answers, what on this machine would keep one from starting."""

import typer

from cli.findings import Finding
from cli.terminal import Terminal, command, dumped
from core.errors import NotConnected, PlatformError, Unauthenticated


def add(app: typer.Typer) -> None:
    command(app, "doctor")(doctor)


def doctor(terminal: Terminal) -> None:
    """Check the node, or this machine where no node answers; status 1 where something is wrong. 健康检查。"""
    findings: list[Finding]
    try:
        findings = _node(terminal)
    except NotConnected as error:
        from cli.machine_checks import machine

        terminal.say(f"{error.detail}. Checking this machine instead:")
        findings = machine(terminal.data_dir)
    if terminal.as_json:
        print(dumped({"checks": [{"name": f.name, "ok": f.is_ok, "detail": f.detail} for f in findings]}))
    else:
        for finding in findings:
            print(f"{'ok' if finding.is_ok else '!!'}  {finding.name:<22} {finding.detail}")
    if bad := sum(not finding.is_ok for finding in findings):
        raise PlatformError(f"{bad} of {len(findings)} checks found something wrong")


def _node(terminal: Terminal) -> list[Finding]:
    client = terminal.client
    client.ask("GET", "/healthz")
    found = [Finding("console", True, f"answers at {client.connection.server}")]
    try:
        overview = client.ask("GET", "overview")
    except Unauthenticated as error:
        return [*found, Finding("login", False, error.detail.replace("\n", "; "))]
    found += [Finding(name, state == "ok", "works" if state == "ok" else state) for name, state in overview["parts"].items()]
    for node in overview["nodes"]:
        report = node["report"]
        state = f"runs revision {report['revision']}" if node["is_live"] else "has been silent for over 5 s: restart it"
        behind = "" if node["is_current"] or not node["is_live"] else f", behind {overview['revision']}: see its log"
        found.append(Finding(f"{report['role']} {report['pid']}", node["is_live"] and node["is_current"], state + behind))
    failed = [job for job in overview["jobs"] if job["progress"] and job["progress"]["state"] == "failed"]
    found += [Finding(f"job {job['name']}", False, f"failed: {job['progress']['reason']}") for job in failed]
    dead, rows = overview["bus"]["dead_letters"], sum(overview["quarantine"].values())
    found.append(Finding("dead letters", dead == 0, "none" if not dead else f"{dead} wait: zhiyun bus dead"))
    # Bad rows are the source's trouble and a person's decision, no fault of the node.
    found.append(Finding("quarantine", True, "empty" if not rows else f"{rows} rows wait: zhiyun job quarantine list"))
    return found
