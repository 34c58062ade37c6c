"""Every word of the console in English and Chinese."""

from collections.abc import Mapping
from typing import Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_TEXTS: Mapping[str, tuple[str, str]] = {
    "platform": ("Open data platform", "数据开放平台"),
    "overview": ("Overview", "运行总览"),
    "log_in": ("Log in", "登录"),
    "log_out": ("Log out", "退出"),
    "user": ("User", "用户名"),
    "password": ("Password", "密码"),
    "wrong": ("The name or the password is wrong.", "用户名或密码错误。"),
    "locked": ("Too many failed logins. Try again in {seconds} s.", "登录失败次数过多,请在 {seconds} 秒后重试。"),
    "foreign": ("This form came from another site. Log in here.", "表单来自其他站点,请在此处登录。"),
    "operator": ("operator", "操作员"),
    "viewer": ("viewer", "观察员"),
    "light": ("Light", "浅色"),
    "dark": ("Dark", "深色"),
    "requests": ("Requests / s", "每秒请求数"),
    "slowest": ("p99 {p99} ms", "p99 {p99} 毫秒"),
    "nodes": ("Nodes", "节点"),
    "all_current": ("all on revision {revision}", "均运行版本 {revision}"),
    "behind": ("{count} behind revision {revision}", "{count} 个落后于版本 {revision}"),
    "running": ("Jobs running", "运行中的任务"),
    "of_jobs": ("of {count} declared", "共 {count} 个任务"),
    "quarantine": ("Quarantined rows", "隔离数据行"),
    "none_waiting": ("nothing waits", "无待处理"),
    "in_datasets": ("datasets: {count}", "涉及 {count} 个数据集"),
    "dead_letters": ("Dead letters", "死信"),
    "waiting": ("{count} envelopes on the bus", "总线待处理 {count} 封"),
    "traffic": ("Requests per second, last 5 minutes", "最近五分钟每秒请求数"),
    "health": ("Health of the parts", "组件健康"),
    "ok": ("working", "正常"),
    "jobs": ("Collection jobs", "采集任务"),
    "runs": ("Recent runs", "最近运行"),
    "job": ("Job", "任务"),
    "batch": ("Batch", "批次号"),
    "state": ("State", "状态"),
    "rows": ("Rows", "行数"),
    "bad": ("Bad", "坏行"),
    "rate": ("Rows / s", "行/秒"),
    "progress": ("Progress", "进度"),
    "reason": ("Reason", "原因"),
    "started": ("Started", "开始时间"),
    "took": ("Took", "耗时"),
    "node": ("Node", "节点"),
    "role": ("Role", "角色"),
    "revision": ("Revision", "配置版本"),
    "seen": ("Seen", "最近上报"),
    "ago": ("{seconds} s ago", "{seconds} 秒前"),
    "gateway": ("gateway", "网关"),
    "back-office": ("back office", "后台"),
    "deliveries": ("deliveries", "投递"),
    "state_running": ("running", "运行中"),
    "state_succeeded": ("succeeded", "成功"),
    "state_partial": ("partial", "部分成功"),
    "state_failed": ("failed", "失败"),
    "state_cancelled": ("cancelled", "已取消"),
    "state_paused": ("paused", "已暂停"),
    "state_never": ("not run yet", "尚未运行"),
    "state_disabled": ("switched off", "已停用"),
    "no_jobs": (
        "No job is declared. zhiyun apply -f platform.yaml declares some.",
        "尚未声明任务,可用 zhiyun apply -f platform.yaml 声明。",
    ),
    "no_runs": ("Nothing has run yet.", "尚无运行记录。"),
    "no_nodes": ("No process has reported yet.", "尚无进程上报。"),
    "down": ("The console can't read the platform's state: {detail}", "控制台无法读取平台状态:{detail}"),
}


class Texts:
    """The words of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._column = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        return _TEXTS[key][self._column].format(**values)


def language_of(cookie: str | None, accepted: str) -> Language:
    """What the person chose, or else what the browser asks for first."""
    for language in LANGUAGES:
        if cookie == language:
            return language
    return "zh" if accepted.strip().lower().startswith("zh") else "en"
