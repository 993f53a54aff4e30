"""One request and its answer on a connection, which can be sent as a whole."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from web.refusals import Pairs


class Cycle(RequestResponseCycle):
    """Uvicorn's, with one way more."""

    async def send_whole(self, status: int, pairs: Pairs, body: bytes) -> None:
        """Status, headers and body in one call and packet. The headers say the body's length.

        Raises RuntimeError for headers that would be more than they are, and for a second answer.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        lines = [b": ".join(pair) for pair in (*self.default_headers, *pairs)]
        closes = (b"connection", b"close") in pairs
        if not (closes or self.keep_alive):
            lines.append(b"connection: close")
        head = b"\r\n".join(lines)
        ends = len(lines) - 1
        if self.response_started or head.count(b"\r") != ends or head.count(b"\n") != ends:
            raise RuntimeError("This cannot be sent.")
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.keep_alive = self.keep_alive and not closes
        shown = b"" if self.scope["method"] == "HEAD" else body
        self.transport.writelines((STATUS_LINE[status], head, b"\r\n\r\n", shown))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
