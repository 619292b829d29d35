"""The end of a transformer that somebody may still be asking.

A pod that is to end gets SIGTERM before every node has heard that no request should go there any more. So the server
goes on for a while, takes new connections too, and asks for each connection to be closed: a client that keeps its
connection open then never writes to one that is just being cut.
"""

import asyncio
import signal
from types import FrameType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CLOSE = (b"connection", b"close")


class Drain:
    """Puts SIGTERM off by `seconds`; until then answers say `Connection: close`. A second one ends at once."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self._seconds > 0:
            self._put_off()

        async def last(message: Message) -> None:
            if self._draining and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), _CLOSE]
            await send(message)

        await self._app(scope, receive, last)

    def _put_off(self) -> None:
        """Stand before the server's own handler, which it has set by the time that it starts the application."""
        loop, handler = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
        assert callable(handler)

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self._draining:
                handler(number, frame)
                return
            self._draining = True
            loop.call_soon_threadsafe(loop.call_later, self._seconds, handler, number, None)

        signal.signal(signal.SIGTERM, on_signal)
