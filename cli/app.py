"""All commands put together. Modules import heavy libraries inside their commands: help must be instant."""

from cli import (
    apps,
    audit,
    bus,
    cached_answers,
    credentials,
    demo,
    doctor,
    documents,
    health,
    incidents,
    jobs,
    login,
    quarantine,
    resources,
    sessions,
    transactions,
    up,
    usage,
    users,
)
from cli.terminal import group

app = group("Zhiyun 智云, an open data platform: start a node, and manage it. 启动节点与管理平台。")
up.add(app)
demo.add(app)
documents.add(app)
doctor.add(app)
health.add(app)
login.add(app)
audit.add(app)
usage.add(app)
for name, text in (("app", "Apps, clients of the data services 应用"), ("proxy", "Partners that carry apps 外部代理")):
    owners = group(text)
    apps.add(owners, name)
    credentials.add(owners, name)
    app.add_typer(owners, name=name)
for name, text in (
    ("source", "Foreign systems 数据源"),
    ("service", "Data services 数据服务"),
    ("plan", "How much an app may ask 流量套餐"),
    ("device", "Devices of apps, each with a key of its own 设备"),
    ("upstream", "Groups of equal HTTP servers behind the gateway 上游"),
    ("route", "Which requests pass through to which upstream 路由"),
    ("issuer", "Third parties whose tokens are believed 令牌签发方"),
    ("list", "Black and white lists of the whole platform 黑白名单"),
    ("contact", "Who is told when something fails 告警联系人"),
    ("webhook", "Whom changes of records are posted to 变更推送"),
):
    declared = group(text)
    resources.add(declared, name)
    app.add_typer(declared, name=name)
for module, name, text in (
    (jobs, "job", "Collection jobs 采集任务"),
    (bus, "bus", "The data bus 数据总线"),
    (sessions, "session", "Sessions of apps: their access tokens 会话"),
    (cached_answers, "cache", "Answers that gateways keep 应答缓存"),
    (users, "user", "Console users 控制台用户"),
    (transactions, "transaction", "Writes to several sources as one 事务"),
    (incidents, "incident", "What failed and waits for somebody 告警事件"),
):
    commands = group(text)
    module.add(commands)
    if module is jobs:
        resources.add_changes(commands, name)
        rows = group("Bad rows that wait for a decision 隔离数据")
        quarantine.add(rows)
        commands.add_typer(rows, name="quarantine")
    app.add_typer(commands, name=name)
nodes = group("Processes of the platform 节点")
audit.add_nodes(nodes)
app.add_typer(nodes, name="node")
