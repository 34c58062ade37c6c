"""Malformed and odd requests: what strangers and broken clients send, and what each gets. One corpus for every build and for
real sockets (`test_head`, `test_strictness`). Statuses are set by hand from RFC 9112, RFC 9110 and RFC 3986, not by our code.
"""

from collections.abc import Iterator
from typing import NamedTuple

ACCEPTED = 0
HOST = b"Host: a.example\r\n"


class Odd(NamedTuple):
    """`data` is all that the client sends; `status`: of the refusal, or ACCEPTED."""

    name: str
    data: bytes
    status: int
    why: str


def with_target(target: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"


def with_lines(*lines: bytes, body: bytes = b"", method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """Each line without its CRLF."""
    return method + b" / " + version + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def post(*lines: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return with_lines(*lines, body=body, method=b"POST", version=version)


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


def _shown(data: bytes) -> str:
    return data.decode("latin-1").encode("unicode_escape").decode()[:60] or "nothing"


def _each(group: str, made: Iterator[tuple[bytes, bytes, int, str]]) -> Iterator[Odd]:
    for shown, data, status, why in made:
        yield Odd(f"{group}: {_shown(shown)}", data, status, why)


def _methods() -> Iterator[tuple[bytes, bytes, int, str]]:
    for method in (b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND", b"A" * 20):
        yield method, with_target(b"/", method), ACCEPTED, "a well-formed method; routes decide which they offer"
    for method in (b"get", b"Get", b"G\tT", b"G-T", b"G/T", b"G@T", b"GE\0T", b"\xc7ET", b"G(T", b"A" * 21, b"G1"):
        yield method, with_target(b"/", method), 400, "methods here are 1 to 20 capital letters"
    yield b"", with_target(b"/", b""), 400, "no method"
    for method in (b"CONNECT", b"TRACE"):
        yield method, with_target(b"/", method), 501, "a tunnel, or a mirror of credentials: not offered"


def _request_lines() -> Iterator[tuple[bytes, bytes, int, str]]:
    rest = HOST + b"\r\n"
    for line in (
        *(b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET\t/\tHTTP/1.1", b" GET / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET /"),
        *(b"GET", b"GET / a HTTP/1.1", b"/ HTTP/1.1", b"GET / HTTP/1.1\0", b"GET / HTTP/1.1\t", b"GET\x0b/ HTTP/1.1"),
        *(b"GET\xa0/ HTTP/1.1", b"GET /\x0cHTTP/1.1", b"\xef\xbb\xbfGET / HTTP/1.1", b"HTTP/1.1 200 OK"),
        *(b"GET / HTTP/1.1 HTTP/1.1",),
    ):
        yield line, line + b"\r\n" + rest, 400, "method, target and version, one space between, nothing else"
    yield (
        b"empty line first",
        b"\r\nGET / HTTP/1.1\r\n" + rest,
        400,
        "an empty line is no request (RFC 9112 §2.2 only allows skipping)",
    )
    yield b"tls hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "TLS on a plain port"


def _versions() -> Iterator[tuple[bytes, bytes, int, str]]:
    yield b"HTTP/1.0", with_lines(version=b"HTTP/1.0"), ACCEPTED, "1.0 is spoken"
    for version in (
        b"HTTP/2.0",
        b"HTTP/1.2",
        b"HTTP/0.9",
        b"HTTP/3",
        b"HTTP/1.10",
        b"HTTP/2",
        b"HTTP/01.1",
        b"HTTP/9.9",
        b"HTTP/1",
    ):
        yield version, with_lines(version=version), 505, "another version of HTTP"
    for version in (
        *(b"http/1.1", b"HTTP/1.", b"HTTP/.1", b"HTTP1.1", b"HTTP/1.1x", b"HTTPS/1.1", b"ICY/1.1", b"HTTP/1,1", b"HTTP/-1.1"),
        *(b"HTTP/+1.1", b"HTTP/1.1.1", b"HTTP/x.y", b"Http/1.1", b"HTTP/ 1.1", b"HTTP/1 .1", b"\x00HTTP/1.1"),
    ):
        yield version, with_lines(version=version), 400, "no version of HTTP"
    yield b"PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "the preface of HTTP/2 (RFC 9113 §3.4)"


def _targets() -> Iterator[tuple[bytes, bytes, int, str]]:
    for target in (
        *(b"/", b"/a", b"/a/", b"/a.b", b"/a..b", b"/...", b"/.well-known/x", b"/a/.b", b"/~a", b"/a;b=c", b"/a:b@c"),
        *(b"/a?", b"/?"),
        *(b"/a??b", b"/a?b=/../c", b"/a?b=//c", b'/a?{}|^`"<>\\', b"/a?%20", b"/%41", b"/%e4%bd%a0", b"/a%20b", b"/a%2Fb"),
        *(b"/a%5cb",),
        *(b"/a%3Fb", b"/a%23", b"/a%25", b"/%252e%252e/", b"/!$&'()*+,=", b"/a%0d%0ab", b"/a?%0d%0a", b"/" + b"a" * 8191),
    ):
        yield target, with_target(target), ACCEPTED, "an origin-form target (RFC 3986 §3.3 and §3.4)"
    for target in (
        *(b"/.", b"/..", b"/../", b"/a/..", b"/a/../b", b"/./a", b"/a/./b", b"/%2e", b"/%2E%2e/a", b"/.%2e/a", b"/%2e./a"),
        *(b"/a/..;/b", b"/..;x=y/b", b"/.;/a", b"/a/%2e%2e;/b", b"/..%2fa", b"/a%2f..%2fb", b"/a%5c..%5cb", b"/..%5Ca"),
        *(b"/%2e%2e%2fa",),
        *(b"/../../../../etc/passwd", b"/a/..?b", b"/.?a"),
    ):
        yield target, with_target(target), 400, "dot segments, however written, mean another path to another reader"
    for target in (b"//", b"//a", b"/a//b", b"/a//", b"///", b"//a.example/b", b"/a//?b", b"//%2F", b"/a//b%5Cc"):
        yield target, with_target(target), 400, "empty segments: some readers merge slashes, some do not"
    for target in (
        *(b"http:/a", b"ftp://a.example/", b"a.example:443", b"a", b"a/b"),
        *(b"*", b"?a", b"#", b"javascript:alert(1)", b"@a.example/", b"\\a", b":80", b"%2Fa"),
    ):
        yield target, with_target(target), 400, "authority-form and others: neither a path nor an absolute address"
    yield b"OPTIONS *", with_target(b"*", b"OPTIONS"), ACCEPTED, "the server as a whole (RFC 9112 §3.2.4)"
    yield b"OPTIONS **", with_target(b"**", b"OPTIONS"), 400, "no form of a target"
    yield b"CONNECT", with_target(b"a.example:443", b"CONNECT"), 501, "tunnels are not offered"
    for target in (b"/%", b"/%4", b"/%zz", b"/%4g", b"/%%41", b"/%u0041", b"/a?%", b"/a?%4", b"/a?b=%zz", b"/%-1", b"/% 41"):
        yield target, with_target(target), 400, "a percent sign stands before two hexadecimal digits or not at all"
    for target in (b"/%00", b"/a%00.jpg"):
        yield target, with_target(target), 400, "a NUL ends the path for readers in C"
    for byte in (
        *range(0x00, 0x21),
        0x22,
        0x23,
        0x3C,
        0x3E,
        0x5B,
        0x5C,
        0x5D,
        0x5E,
        0x60,
        0x7B,
        0x7C,
        0x7D,
        0x7F,
        0x80,
        0xC0,
        0xE4,
        0xFF,
    ):
        yield b"byte %02x in the path" % byte, with_target(b"/a%cb" % byte), 400, "no byte of a path (RFC 3986 §3.3)"
    for byte in (0x00, 0x09, 0x0A, 0x0B, 0x0D, 0x1B, 0x20, 0x23, 0x7F, 0x80, 0xE4, 0xFF):
        yield b"byte %02x in the query" % byte, with_target(b"/a?b%cc" % byte), 400, "no byte of a query"


def _absolute() -> Iterator[tuple[bytes, bytes, int, str]]:
    for target in (
        *(b"http://a.example/", b"https://a.example/b", b"HTTP://A.EXAMPLE/", b"http://a.example", b"http://a.example?b=/c"),
        *(b"http://a.example:80/b", b"https://a.example:443/b?c", b"http://a.example/b%20c", b"http://a.example/b?c=http://d/"),
    ):
        yield target, with_target(target), ACCEPTED, "absolute-form, and Host says the same (RFC 9112 §3.2.2)"
    yield b"OPTIONS", with_target(b"http://a.example", b"OPTIONS"), ACCEPTED, "without a path it is * (RFC 9112 §3.2.4)"
    for authority in (b"[::1]", b"127.0.0.1:8080", b"a_b.example:81"):
        data = b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n" % (authority, authority)
        yield authority, data, ACCEPTED, "whatever Host may be"
    yield b"1.0 without Host", b"GET http://a.example/ HTTP/1.0\r\n\r\n", ACCEPTED, "the target names it"
    yield b"1.1 without Host", b"GET http://a.example/ HTTP/1.1\r\n\r\n", 400, "1.1 needs Host all the same (RFC 9112 §3.2)"
    yield b"two Hosts", b"GET http://a.example/ HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400, "one only, even if equal"
    for target in (
        *(b"http://b.example/", b"http://a.example:81/", b"https://a.example:80/", b"http://a.example./", b"http://xa.example/"),
        *(b"http://a.example.b.example/",),
    ):
        yield target, with_target(target), 400, "Host names another: whoever read that before us decided about another host"
    for target in (
        *(b"http://u:p@a.example/", b"http://u@a.example/", b"http://@a.example/", b"http://a.example@b.example/"),
        *(b"http://", b"http:///", b"http:///b", b"https://?b", b"http://:80/", b"http://a.example:/", b"http://a.example:99999/"),
        *(
            b"http://a.example:8x/",
            b"http://[::1/",
            b"http://[::g]/",
            b"http://a.example,b/",
            b"http://a.ex%61mple/",
            b"http://a..b/",
        ),
        *(b"http://*/", b"http://a.example\\b", b"http://a.example;b/", b"http://a.example#b", b"http://" + b"a" * 256 + b"/"),
    ):
        yield target, with_target(target), 400, "no authority by the rules of Host, which have no place for a user"
    for target in (
        *(
            b"ws://a.example/",
            b"ftp://a.example/b",
            b"://a.example/",
            b"httpx://a.example/",
            b"http//a.example/",
            b"http:a.example/",
        ),
        *(b"https:/a.example/b", b"/http://a.example/"),
    ):
        yield target, with_target(target), 400, "another scheme, or no absolute-form"
    for rest in (b"//", b"/../b", b"/b/%2e%2e/", b"/b//c", b"/%00", b"/%", b"/b?%zz", b"/b#c", b"/b\\c", b"//b.example/"):
        yield b"path " + rest, with_target(b"http://a.example" + rest), 400, "the path and query of any other target"


def _names() -> Iterator[tuple[bytes, bytes, int, str]]:
    for name in (b"X", b"x-a", b"X_A", b"!#$%&'*+-.^_`|~1aZ", b"a" * 200, b"1"):
        yield name, with_lines(name + b": a"), ACCEPTED, "a token (RFC 9110 §5.6.2)"
    for byte in (*range(0x00, 0x21), *b'"(),/;<=>?@[\\]{}', 0x7F, 0x80, 0xA0, 0xFF):
        yield b"byte %02x in a name" % byte, with_lines(b"X%cA: a" % byte), 400, "no byte of a token"
    for line in (b": a", b":", b"X-A", b"X-A a", b"=", b"X-A\t: a", b"X-A : a", b"Host : a", b" X-A: a", b"\tX-A: a", b"\0: a"):
        yield line, with_lines(line), 400, "no field line (RFC 9112 §5)"
    for line in (
        b"Content-Length : 5",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b"Transfer-Encoding\x0b: chunked",
    ):
        yield line, post(line, body=b"0\r\n\r\n"), 400, "white space before the colon hides a framing field (RFC 9112 §5.1)"


def _values() -> Iterator[tuple[bytes, bytes, int, str]]:
    for line in (b"X:", b"X: ", b"X:a", b"X:\ta\t", b"X: a b", b"X: \xe4\xbd\xa0", b"X: \x80\xff", b'X: "a\\"b"', b"X: a:b:c"):
        yield line, with_lines(line), ACCEPTED, "visible bytes, spaces, tabs, obs-text (RFC 9110 §5.5)"
    for byte in (*range(0x00, 0x09), *range(0x0A, 0x20), 0x7F):
        yield b"byte %02x in a value" % byte, with_lines(b"X: a%cb" % byte), 400, "a control character (RFC 9110 §5.5)"
    yield b"bare CR last", with_lines(b"X: a\r"), 400, "a bare CR"
    yield b"NUL last", with_lines(b"X: a\0"), 400, "a NUL"


def _line_ends() -> Iterator[tuple[bytes, bytes, int, str]]:
    whole = with_lines(b"X: a")
    yield b"LF only", whole.replace(b"\r\n", b"\n"), 400, "bare LF (RFC 9112 §2.2 only allows it)"
    yield b"CR only", whole.replace(b"\r\n", b"\r"), 400, "bare CR"
    yield b"LF CR", whole.replace(b"\r\n", b"\n\r"), 400, "turned round"
    yield b"LF after the request line", whole.replace(b"\r\n", b"\n", 1), 400, "bare LF"
    yield b"CR CR LF after the request line", whole.replace(b"\r\n", b"\r\r\n", 1), 400, "bare CR"
    yield b"LF before a field", with_lines(b"X: a\nContent-Length: 5"), 400, "a field behind a bare LF"
    yield b"CR before a field", with_lines(b"X: a\rContent-Length: 5"), 400, "a field behind a bare CR"
    yield b"LF LF at the end", b"GET / HTTP/1.1\r\n" + HOST + b"\n\n", 400, "bare LF"
    yield b"LF then CRLF at the end", b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare LF"
    for fold in (
        b"X: a\r\n b",
        b"X: a\r\n\tb",
        b"X: a\r\n ",
        b"X:\r\n a",
        b"Transfer-Encoding:\r\n chunked",
        b"Content-Length: 1\r\n 0",
    ):
        yield fold, with_lines(fold), 400, "obs-fold (RFC 9112 §5.2)"
    yield (
        b"fold after the request line",
        b"GET / HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n",
        400,
        "white space before the first field (§2.2)",
    )
    yield b"vertical tab fold", with_lines(b"X: a\r\n\x0bb"), 400, "no field line"


def _hosts() -> Iterator[tuple[bytes, bytes, int, str]]:
    def with_host(value: bytes) -> bytes:
        return b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n"

    for value in (
        *(b"a", b"a.example", b"A.Example", b"a.example.", b"a:80", b"a:", b"127.0.0.1", b"127.0.0.1:8080", b"[::1]"),
        *(b"[::1]:8080", b"a_b"),
        *(b"xn--fsq.example", b"[2001:db8::1]:443", b"a-b.example:65535", b"  a  "),
    ):
        status = 400 if value == b"a:" else ACCEPTED
        yield value, with_host(value), status, "host and optional port of digits (RFC 9110 §7.2)"
    for value in (
        *(b"", b" ", b"a b", b"a/b", b"a?b", b"a#b", b"a@b", b"u:p@a", b"a:b", b"a:80:80", b"a:65536", b"a:999999", b"a:-1"),
        *(b":80", b"a,b"),
        *(b"a;b", b"a\\b", b"[::1", b"::1", b"[]", b"[g::1]", b"[::1]a", b"[1::2::3]", b"..", b".a", b"a..b", b"%61"),
        *(b"http://a", b"a\tb"),
        *(b"\xe4", b"a'b", b'"a"', b"<a>", b"a*", b"*", b"a" * 300, b"[::1%25eth0]", b"a:8 0", b"a:+80", b"{a}", b"a|b"),
    ):
        yield value, with_host(value), 400, "no host"
    yield b"none in 1.1", b"GET / HTTP/1.1\r\n\r\n", 400, "1.1 needs Host"
    yield b"none in 1.0", b"GET / HTTP/1.0\r\n\r\n", ACCEPTED, "1.0 does not"
    yield b"two", with_lines(b"Host: b"), 400, "which one?"
    yield b"two equal", with_lines(b"Host: a.example"), 400, "one only, even if equal"
    yield b"two in 1.0", with_lines(b"Host: b", version=b"HTTP/1.0"), 400, "which one?"
    yield b"two by case", with_lines(b"hOsT: b"), 400, "names have no case"


def _lengths() -> Iterator[tuple[bytes, bytes, int, str]]:
    for line in (b"Content-Length: 5", b"content-length: 5", b"CONTENT-LENGTH:5", b"Content-Length: 005", b"Content-Length:\t5 "):
        yield line, post(line, body=b"hello"), ACCEPTED, "1*DIGIT (RFC 9110 §8.6)"
    yield b"0", post(b"Content-Length: 0"), ACCEPTED, "no body"
    for value in (
        *(b"", b" ", b"-1", b"+5", b"5.0", b"0x5", b"5 5", b"5,5", b"5, 5", b"5;5", b"5a", b"a", b"1e1", b"5_0", b'"5"'),
        *(b"\xd9\xa5", b"5\xa0"),
        *(b"\xb2", b"9" * 19, b"1" + b"0" * 18, b"18446744073709551616", b"-0", b"5\t5", b"5,", b",5", b"Infinity", b"NaN"),
        *(b"5 ;a", b"five"),
    ):
        yield value, post(b"Content-Length: " + value, body=b"hello"), 400, "no length, or a list of them"
    yield b"twice, different", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!"), 400, "two lengths"
    yield b"twice, equal", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400, "one only, even if equal"
    yield b"twice, by case", post(b"Content-Length: 5", b"content-LENGTH: 0", body=b"hello"), 400, "names have no case"
    yield b"underscore", with_lines(b"Content_Length: 5"), ACCEPTED, "another name: passed on as it is, frames nothing"


def _codings() -> Iterator[tuple[bytes, bytes, int, str]]:
    for line in (b"Transfer-Encoding: chunked", b"transfer-encoding: Chunked", b"TRANSFER-ENCODING:CHUNKED\t"):
        yield line, post(line, body=b"0\r\n\r\n"), ACCEPTED, "chunked, in any case"
    for value in (
        *(b"", b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"chunked,", b",chunked"),
        *(b"chunked;a=b",),
        *(b"xchunked", b"chunkedx", b"chunk", b'"chunked"', b"chunked identity", b"x", b"deflate", b"c hunked"),
        *(b"\xffchunked", b"chunked\xa0"),
        *(b"cow", b"identity, chunked", b"chunked, identity", b"chunKed-x"),
    ):
        yield (
            value,
            post(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"),
            501,
            "a coding other than chunked alone (RFC 9112 §6.1)",
        )
    for value in (b"\x0bchunked", b"chunked\x00", b"\x00chunked", b"chun\x7fked", b"chunked\x0c"):
        yield value, post(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"), 400, "a control character"
    both = (b"Content-Length: 5", b"Transfer-Encoding: chunked")
    yield b"CL then TE", post(*both, body=b"0\r\n\r\n"), 400, "both lengths: smuggling (RFC 9112 §6.1)"
    yield b"TE then CL", post(*reversed(both), body=b"0\r\n\r\n"), 400, "both lengths"
    yield b"CL 0 and TE", post(b"Content-Length: 0", both[1], body=b"0\r\n\r\n"), 400, "both lengths"
    yield b"CL.TE", post(b"Content-Length: 13", both[1], body=b"0\r\n\r\nSMUGGLED"), 400, "both lengths"
    yield b"TE twice", post(both[1], both[1], body=b"0\r\n\r\n"), 400, "given twice"
    yield b"TE twice, one hidden", post(both[1], b"Transfer-Encoding: x", body=b"0\r\n\r\n"), 400, "given twice"
    yield b"TE in 1.0", post(both[1], body=b"0\r\n\r\n", version=b"HTTP/1.0"), 400, "1.0 has no Transfer-Encoding (RFC 9112 §6.1)"
    yield b"TE on GET", with_lines(both[1], body=b"0\r\n\r\n"), ACCEPTED, "a GET may have content"
    yield b"TE: trailers", with_lines(b"TE: trailers", b"Connection: TE"), ACCEPTED, "hop-by-hop, not sent on"
    yield b"Transfer_Encoding", with_lines(b"Transfer_Encoding: chunked"), ACCEPTED, "another name: frames nothing"
    yield b"TE behind LF", post(b"X: a\nTransfer-Encoding: chunked", body=b"0\r\n\r\n"), 400, "bare LF"
    yield b"TE behind CR", post(b"X: a\rTransfer-Encoding: chunked", body=b"0\r\n\r\n"), 400, "bare CR"


def _connections() -> Iterator[tuple[bytes, bytes, int, str]]:
    for value in (
        b"close",
        b"keep-alive",
        b"Keep-Alive, X-A",
        b"close, close",
        b"",
        b",",
        b"close,,keep-alive",
        b"TE",
        b"X-A",
        b"upgrade",
    ):
        yield value, with_lines(b"Connection: " + value, b"X-A: 1"), ACCEPTED, "options and names (RFC 9110 §7.6.1)"
    for name in (
        *(b"Host", b"content-length", b"Transfer-Encoding", b"Authorization", b"close, Host", b"X-Api-Key", b"X-Ca-Key", b"Cookie"),
        *(b"Content-Type", b"X-Zhiyun-App", b"X-Forwarded-For", b"traceparent", b"X-Request-Id", b"Expect", b"Signature"),
    ):
        yield name, with_lines(b"Connection: " + name), 400, "names what is not the connection's: hides it from the upstream"
    for value in (b"a b", b"close; a", b"clo\x7fse", b'"close"', b"a/b", b"\xff", b"close=1"):
        yield value, with_lines(b"Connection: " + value), 400, "no list of names"
    yield (
        b"100-continue",
        post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
        ACCEPTED,
        "the only expectation there is",
    )
    for value in (b"", b"200-ok", b"100-continue, x", b"100-continue;a", b"100"):
        yield b"Expect " + value, post(b"Expect: " + value, b"Content-Length: 5", body=b"hello"), 417, "RFC 9110 §10.1.1"
    yield b"two credentials", with_lines(b"Authorization: Bearer a", b"Authorization: Bearer b"), 400, "which one?"
    yield (
        b"upgrade to h2c",
        with_lines(b"Connection: upgrade", b"Upgrade: h2c", b"HTTP2-Settings: a"),
        ACCEPTED,
        "hop-by-hop, not sent on",
    )


def _chunks() -> Iterator[tuple[bytes, bytes, int, str]]:
    for body in (
        *(b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"A\r\n0123456789\r\n0\r\n\r\n", b"a\r\n0123456789\r\n0\r\n\r\n"),
        *(b"005\r\nhello\r\n000\r\n\r\n",),
        *(b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b'5 ;a="b c"\r\nhello\r\n0\r\n\r\n', b"5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n"),
        *(b"5\r\n\r\n\r\n\r\r\n0\r\n\r\n", b"0\r\nX-A: 1\r\nX-B: 2\r\n\r\n"),
    ):
        yield body, chunked(body), ACCEPTED, "a chunked body (RFC 9112 §7.1)"
    for body in (
        *(b"\r\n", b"\r\nhello\r\n", b"g\r\n", b"-1\r\n", b"+5\r\nhello\r\n", b"0x5\r\nhello\r\n", b" 5\r\nhello\r\n"),
        *(b"5 \r\nhello\r\n0\r\n\r\n",),
        *(b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r\n0\n\r\n", b"5\rhello\r\n", b"5\r\nhello0\r\n\r\n"),
        *(b"5\r\nhelloX\r\n0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n", b"5;a\x00\r\nhello\r\n", b"5;a\nb\r\nhello\r\n"),
        *(b"5;a\rb\r\nhello\r\n",),
        *(b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n", b"1" * 17 + b"\r\n", b"0" * 17 + b"\r\n\r\n", b"5_0\r\n"),
        *(b"5,5\r\nhello\r\n", b"5\t\r\nh"),
        *(b"\xb25\r\nhello\r\n", b"5\x0b\r\nhello\r\n", b"5\x0c;a\r\nhello\r\n", b";a\r\n", b"f" * 16 + b"\r\n"),
        *(b"5 5\r\nhello\r\n", b"5a;=\x7f\r\n"),
    ):
        yield body, chunked(body), 400, "no chunked body (RFC 9112 §7.1)"
    for trailer in (
        *(b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: b", b"Authorization: Bearer a", b"Connection: close"),
        *(b"Trailer: X",),
        *(b"content-LENGTH: 5", b"X-Zhiyun-App: a", b"X-Forwarded-For: 1.2.3.4", b"TE: x", b"Cookie: a", b"Content-Type: a"),
        *(b"Expect: 100-continue",),
        *(b" X: a", b"X : a", b"X", b": a", b"X: a\0", b"X: a\nY: b", b"X: a\r\n b", b"X: a\x7f"),
    ):
        yield (
            trailer,
            chunked(b"0\r\n" + trailer + b"\r\n\r\n"),
            400,
            "a trailer that frames, routes, authenticates or is malformed",
        )
    yield b"long trailers", chunked(b"0\r\n" + b"X: %b\r\n" % (b"a" * 1000) * 9 + b"\r\n"), 431, "trailers over 8 KiB"


def _deadlines() -> Iterator[tuple[bytes, bytes, int, str]]:
    for value in (b"60000", b"060000", b"9999999999", b" 60000\t", b"0"):
        yield value, with_lines(b"X-Zhiyun-Timeout-Ms: " + value), ACCEPTED, "milliseconds that the client waits"
    for value in (
        *(b"", b"-1", b"+1", b"1.5", b"1e3", b"1 2", b"1, 2", b"1s", b"0x10", b"99999999999", b"\xb2", b"never"),
        *(b"60000;a",),
    ):
        yield value, with_lines(b"X-Zhiyun-Timeout-Ms: " + value), 400, "no number of 1 to 10 digits"
    twice = (b"X-Zhiyun-Timeout-Ms: 60000", b"x-zhiyun-timeout-ms: 60000")
    yield b"twice", with_lines(*twice), 400, "one only, even if equal"


def _limits() -> Iterator[tuple[bytes, bytes, int, str]]:
    yield b"target of 8193", with_target(b"/" + b"a" * 8192), 414, "over 8 KiB"
    yield b"query of 9000", with_target(b"/?" + b"a" * 9000), 414, "over 8 KiB"
    yield b"line of 16 KiB", with_lines(b"X: " + b"a" * 16_381), ACCEPTED, "the longest line"
    yield b"line over 16 KiB", with_lines(b"X: " + b"a" * 16_382), 431, "one more"
    yield b"name over 16 KiB", with_lines(b"a" * 16_390 + b": "), 431, "a line, too"
    yield b"100 fields", with_lines(*[b"X: a"] * 99), ACCEPTED, "as many as there may be"
    yield b"101 fields", with_lines(*[b"X: a"] * 100), 431, "one more"
    yield b"5000 fields", with_lines(*[b"X: a"] * 5000), 431, "over 32 KiB"
    yield b"head over 32 KiB", with_lines(*[b"X: " + b"a" * 9000] * 4), 431, "over 32 KiB"


GROUPS = {
    "method": _methods,
    "request line": _request_lines,
    "version": _versions,
    "target": _targets,
    "absolute-form": _absolute,
    "name": _names,
    "value": _values,
    "line end": _line_ends,
    "Host": _hosts,
    "Content-Length": _lengths,
    "Transfer-Encoding": _codings,
    "Connection": _connections,
    "chunked body": _chunks,
    "deadline": _deadlines,
    "limit": _limits,
}
ODD_REQUESTS = [odd for group, made in GROUPS.items() for odd in _each(group, made())]
