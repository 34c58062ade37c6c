"""Asks for a password: from the terminal, unseen, or from standard input. Never an argument, which others could see."""

import getpass
import sys

from core.errors import InvalidInput


def ask_password(prompt: str, *, from_input: bool, twice: bool = False) -> str:
    """InvalidInput where there is nobody to ask, or the two differ."""
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidInput("there is no terminal to ask for the password; use --password-stdin")
    password = getpass.getpass(prompt)
    if twice and getpass.getpass("Again: ") != password:
        raise InvalidInput("the two passwords differ; nothing was changed")
    return password
