"""Requests and answers made by rule and then damaged: what the fuzz of the wire's two builds is fed (hypothesis strategies)."""

from hypothesis import strategies as st

NAMES = (
    *(b"Host", b"host", b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"connection", b"Expect"),
    *(b"Upgrade", b"Authorization", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Request-Id", b"traceparent", b"Keep-Alive"),
    *(b"TE", b"Trailer", b"Proxy-Connection", b"X-Zhiyun-App", b"x-zhiyun-", b"x-zhiyun", b"HTTP2-Settings", b"Accept", b"X-A"),
    *(b"User-Agent", b"Cookie", b"X_A", b"Content-Type", b"Hos", b"Hostx", b"", b"a b", b"X-\xff", b"X-Zhiyun-Timeout-Ms"),
)
VALUES = (
    *(
        b"a",
        b"a.example",
        b"a.example:8080",
        b"[::1]",
        b"5",
        b"0",
        b"05",
        b"5, 5",
        b"-1",
        b"9" * 18,
        b"9" * 19,
        b"chunked",
        b"Chunked",
    ),
    *(b"gzip, chunked", b"close", b"keep-alive", b"Keep-Alive, X-A", b"upgrade", b"close, upgrade, te", b"Host", b"x-a, accept"),
    *(b"100-continue", b"websocket", b"Bearer abc", b"1.2.3.4, 5.6.7.8", b"https", b"", b" ", b"\t", b"\xe4\xbd\xa0", b"req_1"),
    *(b"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01", b"cc-0123456789abcdef0123456789abcdef-0123456789abcdef-01-x"),
    *(b"00-" + b"0" * 32 + b"-0123456789abcdef-01", b"a\0b", b"a\rb", b"a\nb", b"a\x7f", b"x" * 300),
)
TARGETS = (
    *(b"/", b"/a", b"/api/v1/items/7?page=3", b"/a//b", b"/a/../b", b"/%2e%2e", b"/%41%2f", b"/a%", b"*", b"http://a/", b"/a#b"),
    *(b"http://a.example", b"HTTPS://a.example:443/a?b", b"http://a.example:80?c", b"http://b.example/", b"http://u@a.example/"),
    *(b"/a;b=c", b"/.a", b"/a/.", b"/?", b"/?%zz", b"/?{}", b"/\\", b"/%00", b"", b"/" + b"a" * 8191, b"/" + b"a" * 8192),
)
_PATH = st.lists(
    st.sampled_from([b"/", b".", b"a", b"%2e", b"%2F", b"%5c", b"%41", b"%", b";", b"?", b"~", b"//", b"\x80"]), max_size=8
)
TARGET = st.sampled_from(TARGETS) | _PATH.map(lambda parts: b"/" + b"".join(parts))
METHOD = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"get", b"A" * 20, b"A" * 21, b""])
VERSION = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"HTTP/1.1 "])
_COLON = st.sampled_from([b": "] * 8 + [b":", b":\t", b" :", b"\t: ", b" ", b": \t "])
_END = st.sampled_from([b"\r\n"] * 20 + [b"\n", b"\r", b"\r\r\n", b"\r\n ", b" \r\n", b"\n\r"])
_NAME = st.sampled_from(NAMES) | st.binary(min_size=1, max_size=12)
_VALUE = st.sampled_from(VALUES) | st.binary(max_size=40)
LINES = st.lists(st.tuples(_NAME, _COLON, _VALUE, _END).map(b"".join), max_size=8).map(b"".join)
_HOST = st.sampled_from([b"Host: a.example\r\n"] * 5 + [b"", b"Host: a\r\nHost: b\r\n"])
_LAST = st.sampled_from([b"\r\n"] * 12 + [b"", b"\n", b"\r", b"\r\n\r\n", b"\r\nGET"])
_BYTES = b"\r\n\t \0:;,/.%?#-_aZ0\x7f\x80\xff"


@st.composite
def _damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Now and then a byte too many, too few, or another."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 4]))):
        place = draw(st.integers(0, len(data)))
        byte = draw(st.sampled_from(_BYTES) | st.integers(0, 255))
        change = draw(st.integers(0, 2))
        data[place : place + min(change, 1)] = b"" if change == 2 else bytes([byte])
    return bytes(data)


@st.composite
def _request(draw: st.DrawFn) -> bytes:
    space = draw(st.sampled_from([b" "] * 12 + [b"  ", b"\t"]))
    line = space.join([draw(METHOD), draw(TARGET), draw(VERSION)])
    return line + draw(_END) + draw(_HOST) + draw(LINES) + draw(_LAST)


@st.composite
def _response(draw: st.DrawFn) -> bytes:
    status = draw(st.sampled_from([b"200", b"204", b"304", b"100", b"101", b"103", b"599", b"600", b"099", b"20", b"2000"]))
    reason = draw(st.sampled_from([b" OK", b" ", b"", b" Not\tFound", b" \xe4\xbd\xa0", b" a\0"]))
    return draw(VERSION).strip() + b" " + status + reason + draw(_END) + draw(LINES) + draw(_LAST)


REQUESTS = _damaged(_request())
RESPONSES = _damaged(_response())


@st.composite
def _body(draw: st.DrawFn) -> bytes:
    """A chunked body with its payload in pieces of any kind."""
    parts = []
    for payload in draw(st.lists(st.binary(min_size=1, max_size=40), max_size=5)):
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x"])) % len(payload)
        extension = draw(st.sampled_from([b"", b"", b";a=b", b' ;a="b c"', b";" + b"x" * 250, b";" + b"x" * 300]))
        parts += [size, extension, b"\r\n", payload, b"\r\n"]
    trailers = draw(
        st.sampled_from([b"", b"", b"X-Sum: 1\r\n", b"X: a\r\nY:\r\n", b"Content-Length: 5\r\n", b"X: " + b"a" * 9000 + b"\r\n"])
    )
    return b"".join(parts) + b"0\r\n" + trailers + b"\r\n" + draw(st.sampled_from([b"", b"GET / HTTP/1.1\r\n"]))


BODIES = _damaged(_body())


@st.composite
def split(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> list[bytes]:
    """The same bytes as they may arrive."""
    data = draw(whole)
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
