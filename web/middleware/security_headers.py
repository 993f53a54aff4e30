"""Add security headers to every response."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.headers import encoded

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


class SecurityHeaders:
    """Add what a response does not set itself. `hsts` is for servers reached by HTTPS alone."""

    def __init__(self, app: ASGIApp, *, hsts: bool) -> None:
        self.app = app
        self._headers = encoded(SECURITY_HEADERS | (HSTS if hsts else {}))
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                own = dict(headers)
                if self._names.isdisjoint(own):
                    message["headers"] = [*headers, *self._headers]
                else:
                    missing = [header for header in self._headers if header[0] not in own]
                    message["headers"] = [*headers, *missing]
            await send(message)

        await self.app(scope, receive, send_with_headers)
