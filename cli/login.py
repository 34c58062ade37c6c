"""`zhiyun login` and `logout`, for servers whose data folder is elsewhere."""

from typing import Annotated

import typer

from cli import connection
from cli.passwords import ask_password
from cli.terminal import Terminal, command

User = Annotated[str, typer.Option("--user", help="name of the console user 用户名")]
FromInput = Annotated[bool, typer.Option("--password-stdin", help="read the password from standard input 从标准输入读取密码")]


def add(app: typer.Typer) -> None:
    command(app, "login")(login)
    command(app, "logout")(logout)


def login(terminal: Terminal, user: User = "operator", password_stdin: FromInput = False) -> None:
    """Log in at --server and keep the session for later commands. 登录。"""
    client = terminal.client
    body = {"name": user, "password": ask_password(f"Password of {user}: ", from_input=password_stdin)}
    session = client.ask("POST", "session", body)
    path = connection.save_login(client.connection.server, session["token"])
    facts = {"server": client.connection.server, "name": session["name"], "role": session["role"]}
    terminal.result(facts, f"logged in at {facts['server']} as {facts['name']} ({facts['role']}), kept in {path}")


def logout(terminal: Terminal) -> None:
    """End the saved session. 退出登录。"""
    server = connection.find(terminal.server, terminal.data_dir).server
    token = connection.saved_logins().get(server)
    if token is not None:
        terminal.client.ask("DELETE", "session", headers={"Authorization": f"Bearer {token}"})
        connection.save_login(server, None)
    text = f"logged out at {server}" if token else f"there is no saved login at {server}"
    terminal.result({"server": server, "logged_out": token is not None}, text)
