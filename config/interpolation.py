"""`${NAME}` and `${NAME:-default}` in the text of a configuration file; `$${` is a literal `${`."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|\$\{")


def interpolate(text: str, variables: Mapping[str, str]) -> tuple[str, bool]:
    """The text with its references replaced, and whether there was any. What a variable holds is not looked into again.

    The default serves where the variable is missing or empty, as in the shell. Raises ValueError, which names the variable, for
    one that is missing without a default, and for a reference that is not well formed.
    """
    found = False

    def replacement(match: re.Match[str]) -> str:
        nonlocal found
        if match[0] == "$${":
            return "${"
        name, default = match["name"], match["default"]
        if name is None:
            raise ValueError("'${' does not begin a reference like ${NAME} or ${NAME:-default}; write $${ for a literal ${")
        found = True
        return _value(name, default, variables)

    return _REFERENCE.sub(replacement, text), found


def _value(name: str, default: str | None, variables: Mapping[str, str]) -> str:
    value = variables.get(name)
    if default is not None:
        return value or default
    if value is None:
        raise ValueError(f"variable {name} is not set; set it, or give a default as ${{{name}:-default}}")
    return value
