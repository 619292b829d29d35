"""Graceful shutdown of a transformer that still receives requests.

A pod that is being terminated gets SIGTERM before every node has stopped sending requests to it. The server therefore
continues for a while, accepts new connections too, and asks clients to close each connection, so that a client with
keep-alive never writes to a connection that is being closed.
"""

import asyncio
import signal
from types import FrameType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CLOSE = (b"connection", b"close")


class Drain:
    """Delays SIGTERM by `seconds`; until then responses have `Connection: close`. A second SIGTERM ends at once."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds
        self._draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self._seconds > 0:
            self._delay_sigterm()

        async def last(message: Message) -> None:
            if self._draining and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), _CLOSE]
            await send(message)

        await self._app(scope, receive, last)

    def _delay_sigterm(self) -> None:
        """Replace the server's own handler, which is set before the application starts, and call it later."""
        loop, handler = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
        assert callable(handler)

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self._draining:
                handler(number, frame)
                return
            self._draining = True
            loop.call_soon_threadsafe(loop.call_later, self._seconds, handler, number, None)

        signal.signal(signal.SIGTERM, on_signal)
