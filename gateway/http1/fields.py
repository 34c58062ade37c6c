"""The one table of header fields that the wire knows by name, for both builds of the scanner, and the limits of a head.

A field's kind says whether its line is kept (forwarded) and whether its value is told to `head`. Any other well-formed field is
kept. What is dropped is hop-by-hop (RFC 9110 §7.6.1), added anew by the gateway, or must not be forged by a caller.
"""

MAX_HEAD_BYTES = 32_768
MAX_HEADERS = 100
MAX_TARGET = 8_192
MAX_LINE = 16_384  # one field line without CRLF: room for Kerberos tickets and long cookies

KEEP = 0x40  # a bit: the line is forwarded
DROP = 0
TOLD = 0x3F  # a mask: which value this is; 0 for none

HOST = 1
CONTENT_LENGTH = 2
TRANSFER_ENCODING = 3
CONNECTION = 4
EXPECT = 5
UPGRADE = 6
FORWARDED_FOR = 7
FORWARDED_PROTO = 8
REQUEST_ID = 9
TRACE = 10
AUTHORIZATION = 11
TRACE_STATE = 12
API_KEY = 13
SIGNED = 14
TIMEOUT = 15

RESERVED_PREFIX = b"x-zhiyun-"
"""The platform's own fields: who calls, as the upstream is told. Dropped wherever they come from; of them all only how long the
caller waits is read."""

REQUEST_FIELDS: dict[bytes, int] = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,  # framing is written anew
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
    b"authorization": AUTHORIZATION,  # sent on only where the gateway itself did not use it
    b"x-api-key": API_KEY,  # the same
    b"signature": KEEP | SIGNED,
    b"signature-input": KEEP | SIGNED,
    b"x-ca-key": KEEP | SIGNED,
    b"x-ca-signature": KEEP | SIGNED,
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": FORWARDED_PROTO,
    b"x-request-id": REQUEST_ID,
    b"traceparent": TRACE,
    b"tracestate": TRACE_STATE,  # sent on only with the traceparent it belongs to (W3C Trace Context §3.3)
    b"x-zhiyun-timeout-ms": TIMEOUT,  # written anew from what is left of it
    b"keep-alive": DROP,
    b"proxy-connection": DROP,
    b"te": DROP,
    b"proxy-authenticate": DROP,
    b"proxy-authorization": DROP,
    b"http2-settings": DROP,
    b"x-forwarded-host": DROP,
    b"x-forwarded-port": DROP,
    b"forwarded": DROP,
    b"x-real-ip": DROP,
}
RESPONSE_FIELDS: dict[bytes, int] = {
    b"content-length": KEEP | CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"x-request-id": DROP,  # the gateway's own is added
    b"keep-alive": DROP,
    b"proxy-connection": DROP,
    b"proxy-authenticate": DROP,
    b"proxy-authentication-info": DROP,
    b"te": DROP,
}

FRAMING = frozenset({b"content-length", b"transfer-encoding", b"host"})
PROTECTED = FRAMING | {
    *(b"authorization", b"x-api-key", b"cookie", b"expect", b"content-type", b"content-encoding", b"content-digest"),
    *(b"traceparent", b"x-request-id", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"),
    *(b"x-real-ip", b"forwarded", b"signature", b"signature-input", b"dpop"),
}
"""Fields that a request's Connection may not name: it would have the gateway act on what the upstream never sees."""
PROTECTED_PREFIXES = (RESERVED_PREFIX, b"x-ca-")

_TCHAR = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN_BYTES = _TCHAR  # RFC 9110 §5.6.2
VALUE_BYTES = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])  # RFC 9110 §5.5
PATH_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@"  # pchar without triplets
QUERY_BYTES = bytes(byte for byte in range(0x21, 0x7F) if byte not in b"#%")
