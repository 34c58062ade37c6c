"""How an app's `certificates` are written: a SHA-256 thumbprint or a subject (RFC 4514), brought to one form. Pure."""

from cryptography.x509 import Name

_DIGITS = frozenset("0123456789abcdef")


def normal_form(text: str) -> str:
    """A thumbprint as 64 lower-case digits without colons, a subject as RFC 4514 text of one spelling. Raises ValueError for what
    is neither, and for the empty subject, which would fit any certificate that has none."""
    bare = text.replace(":", "").strip().lower()
    if len(bare) == 64 and _DIGITS.issuperset(bare):
        return bare
    try:
        name = Name.from_rfc4514_string(text.strip())
    except ValueError:
        name = Name([])
    if not name.rdns:
        raise ValueError("neither a SHA-256 thumbprint (64 hex digits) nor a subject such as CN=shop,O=Acme without spaces between")
    return name.rfc4514_string()
