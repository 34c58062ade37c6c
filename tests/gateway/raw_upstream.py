"""An upstream on a real socket that answers each request with the bytes it was given for its path."""

import asyncio

from tests.gateway.rig import serve_requests

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Upstream:
    """Keeps what it was sent. The answers ECHO, SLOW and HANG are orders; a path in `fails` is not answered so many times."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.answers: dict[bytes, bytes] = {b"/": ANSWER}
        self.fails: dict[bytes, int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1

        async def answer(head: bytes, body: bytes) -> bool:
            """Whether the connection goes on."""
            self.seen.append((head, body))
            path = head.split(b" ")[1].partition(b"?")[0]
            if self.fails.get(path, 0) > 0:
                self.fails[path] -= 1
                return False
            told = self.answers.get(path, ANSWER)
            if told == b"HANG":
                await reader.read()
                return False
            if told == b"ECHO":
                told = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            elif told == b"SLOW":
                await asyncio.sleep(0.3)
                told = ANSWER
            writer.write(told)
            await writer.drain()
            return b"close" not in told.partition(b"\r\n\r\n")[0].lower() and (b"-Length" in told or b"chunked" in told)

        await serve_requests(reader, writer, answer)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]
