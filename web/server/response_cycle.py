"""Send the start of a response together with its body."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

# The characters that uvicorn rejects with two regular expressions. `bytes.translate` is faster.
INVALID_IN_NAMES = bytes(range(33)) + b'\x7f()<>@,;:[]={}\\"'
INVALID_IN_VALUES = bytes(set(range(32)) - {9}) + b"\x7f"
# Statuses of responses that have neither a body nor a Content-Length.
BODILESS = frozenset((204, 304))


class ResponseCycle(RequestResponseCycle):
    """Uvicorn's cycle, but `http.response.start` waits for the first `http.response.body`.

    A response whose body comes in one message is written in one call, and usually sent in one
    packet. Uvicorn handles all other responses: invalid ones, and bodies in several messages.
    """

    _start: Any = None

    async def send(self, message: Any) -> None:
        start = self._start
        if start is None:
            if message["type"] == "http.response.start" and not self.response_started:
                self._start = message
            else:
                await super().send(message)
            return
        self._start = None
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        content = self._whole_response(start, message)
        if content is None:
            await super().send(start)
            await super().send(message)
            return
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(content)
        self.message_event.set()
        # While the request body is still arriving, `Connection` closes in stages instead.
        if not (self.keep_alive or self.more_body):
            self.transport.close()
        self.on_response()

    async def send_500_response(self) -> None:
        self._start = None
        await super().send_500_response()

    def _whole_response(self, start: Any, message: Any) -> bytes | None:
        """Return the encoded response; None if uvicorn has to encode it.

        Raises RuntimeError for invalid headers, before anything is sent: a response with status
        500 is still possible.
        """
        headers = [*self.default_headers, *start.get("headers", ())]
        _require_valid(headers)
        if message["type"] != "http.response.body" or message.get("more_body") or self.access_log:
            return None
        status, body = start["status"], message.get("body", b"")
        fields = {name.lower(): value for name, value in headers}
        is_head = self.scope["method"] == "HEAD"
        has_length = fields.get(b"content-length") == b"%d" % len(body)
        is_bodiless = status in BODILESS and not body and b"content-length" not in fields
        if not (has_length or is_bodiless or is_head) or b"transfer-encoding" in fields:
            return None
        if fields.get(b"connection", b"close") != b"close":
            return None
        lines = [b": ".join(header) for header in headers]
        if b"connection" in fields:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close")
        lines += (b"", b"" if is_head else body)
        return STATUS_LINE[status] + b"\r\n".join(lines)


def _require_valid(headers: list[tuple[bytes, bytes]]) -> None:
    """Check that no header name or value has invalid characters. Raises RuntimeError."""
    names = b"".join([name for name, _ in headers])
    values = b"".join([value for _, value in headers])
    if (
        names.translate(None, INVALID_IN_NAMES) != names
        or values.translate(None, INVALID_IN_VALUES) != values
    ):
        raise RuntimeError("Invalid HTTP header.")
