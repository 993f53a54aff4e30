"""One request and its answer on a connection, which can be sent as a whole."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from web.errors import RawHeaders


class Cycle(RequestResponseCycle):
    """Uvicorn's, with two ways more."""

    def take_body(self, limit: int) -> bytes | None:
        """A body that is there as a whole, and not above the limit; None if it is to be received.

        Taken once; what can be received after it is the end of the connection.
        """
        is_there = self.message_event.is_set() and not (
            self.more_body
            or self.waiting_for_100_continue
            or self.disconnected
            or self.response_complete
        )
        if not is_there or len(self.body) > limit:
            return None
        self.message_event.clear()
        self.flow.resume_reading()
        body, self.body = bytes(self.body), bytearray()
        return body

    async def send_whole(self, status: int, pairs: RawHeaders, lines: bytes, body: bytes) -> None:
        """Status, headers and body in one call and packet. The headers say the body's length.

        `lines` are headers as they are sent. Raises RuntimeError for others that would be more
        than they are, and for a second answer.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        own = [b": ".join(pair) for pair in (*self.default_headers, *pairs)]
        closes = (b"connection", b"close") in pairs
        if not (closes or self.keep_alive):
            own.append(b"connection: close")
        head = b"\r\n".join(own)
        ends = len(own) - 1
        is_one = head.count(b"\r") == ends == head.count(b"\n") and b"\0" not in head
        if self.response_started or not is_one:
            raise RuntimeError("This cannot be sent.")
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.keep_alive = self.keep_alive and not closes
        shown = b"" if self.scope["method"] == "HEAD" else body
        # As one: the transports of 3.12 and 3.13 neither end nor pause with every list of pieces.
        whole = b"".join((STATUS_LINE[status], head, b"\r\n", lines, b"\r\n", shown))
        self.transport.write(whole)
        # What they hold is the cycle itself, which would be left to the collector.
        self.scope["extensions"] = {}
        self.message_event.set()
        # A body that is still on its way is left to the connection, which closes in stages.
        if not (self.keep_alive or self.more_body):
            self.transport.close()
        self.on_response()
