"""Console users: list, create, password, delete, tokens for scripts."""

from typing import Annotated
from urllib.parse import quote

import typer

from cli.connection import save_login, write_private
from cli.login import FromInput
from cli.passwords import ask_password
from cli.terminal import Name, Terminal, command

_TOKEN_S = 30 * 86_400.0


def add(group: typer.Typer) -> None:
    for name, function in (
        ("list", list_users),
        ("create", create),
        ("password", password),
        ("role", role),
        ("delete", delete),
        ("token", token),
    ):
        command(group, name)(function)


Role = Annotated[str, typer.Option("--role", help="operator or viewer 角色")]


def list_users(terminal: Terminal) -> None:
    """Users and their roles. 列出用户。"""
    found = terminal.client.ask("GET", "users")
    terminal.table(found, ("NAME", "ROLE"), ([u["name"], u["role"]] for u in found["items"]), empty="no user")


def create(terminal: Terminal, name: Name, role: Role = "viewer", password_stdin: FromInput = False) -> None:
    """A new user. 新建用户。"""
    chosen = ask_password(f"Password for {name}: ", from_input=password_stdin, twice=True)
    made = terminal.client.ask("POST", "users", {"name": name, "password": chosen, "role": role})
    terminal.result(made, f"user {name} created ({role})")


def password(terminal: Terminal, name: Name, password_stdin: FromInput = False) -> None:
    """Set a user's password; ends the user's sessions and tokens. 修改密码。"""
    chosen = ask_password(f"New password for {name}: ", from_input=password_stdin, twice=True)
    client = terminal.client
    is_own = client.ask("GET", "session")["name"] == name
    client.ask("PUT", f"users/{quote(name, safe='')}/password", {"password": chosen})
    if is_own:
        _renew_token(terminal, name, chosen)
    terminal.result({"name": name, "changed": True}, f"password of {name} changed; its sessions have ended")


def _renew_token(terminal: Terminal, name: str, chosen: str) -> None:
    """The token that these commands use ended with the password; put a new one where it came from."""
    connection = terminal.client.connection
    if connection.token_file is None:
        return
    session = terminal.client.ask("POST", "session", {"name": name, "password": chosen})
    if connection.token_file.name != "operator.token":
        save_login(connection.server, session["token"])
        return
    headers = {"Authorization": f"Bearer {session['token']}"}
    made = terminal.client.ask("POST", f"users/{quote(name, safe='')}/tokens", {"ttl_s": _TOKEN_S}, headers=headers)
    terminal.client.ask("DELETE", "session", headers=headers)
    write_private(connection.token_file, made["token"])


def role(terminal: Terminal, name: Name, role: Annotated[str, typer.Argument(help="operator or viewer 角色")]) -> None:
    """Change what a user may. 修改角色。"""
    terminal.client.ask("PUT", f"users/{quote(name, safe='')}/role", {"role": role})
    terminal.result({"name": name, "role": role}, f"user {name} is {role} now")


def delete(terminal: Terminal, name: Name) -> None:
    """Delete a user. 删除用户。"""
    terminal.client.ask("DELETE", f"users/{quote(name, safe='')}")
    terminal.result({"name": name, "deleted": True}, f"user {name} deleted")


def token(
    terminal: Terminal,
    name: Name,
    ttl_s: Annotated[float, typer.Option("--ttl-s", min=1, help="seconds until it ends 有效秒数")] = _TOKEN_S,
) -> None:
    """A token for scripts, with the user's role; shown this once. 签发自动化令牌。"""
    made = terminal.client.ask("POST", f"users/{quote(name, safe='')}/tokens", {"ttl_s": ttl_s})
    terminal.result(made, f"{made['token']}\n(shown this once; use it as ZHIYUN_TOKEN)")
