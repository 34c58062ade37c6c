"""The passwords and keys of the estate: random, made once, kept in a file that only its owner may read."""

import json
import os
import secrets
from pathlib import Path
from typing import Final

SYSTEMS: Final = ("sales", "property", "member", "callcentre", "marketing")
USERS: Final = {
    "sales": "sales_app",
    "property": "property_app",
    "member": "member_api",
    "callcentre": "callcentre",
}


def ensure_credentials(path: Path) -> dict[str, str]:
    """The password (for marketing the API key) of each system, made and written to `path` if it is not there."""
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {system: str(kept[system]) for system in SYSTEMS}
    made = {system: secrets.token_urlsafe(18) for system in SYSTEMS}
    draft = path.with_name(path.name + ".partial")
    draft.unlink(missing_ok=True)
    # The mode is set when the file is made: there is no moment in which another user could read it.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(made, file, indent=1)
    draft.replace(path)
    return made
