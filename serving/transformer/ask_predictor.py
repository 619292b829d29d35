"""The client of the predictor, which reports why a request was not ranked in time."""

import asyncio
import io

import aiohttp
import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.request import RankingRequest

_HEADERS = {"Content-Type": "application/octet-stream"}
_CONNECTIONS = 64
_SHOWN = 200


class DegradedError(Exception):
    """The ranker did not answer; `reason` is one word for the metrics, the message is for readers."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Predictor:
    """The predictor at `host`, over connections that stay open. It may be created before there is an event loop.

    A request whose connection broke is repeated once: scoring is idempotent, and behind a Service a new connection
    leads to a running predictor.
    """

    def __init__(self, host: str, model_name: str, release: str, *, tls: bool = False) -> None:
        self.url = f"http{'s' if tls else ''}://{host}/v1/models/{model_name}:predict"
        self._release = release
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def scores(self, request: RankingRequest, seconds: float) -> NDArray[np.float32]:
        """The scores [E, K], within `seconds`. Raises DegradedError for any failure of the predictor."""
        if seconds <= 0:
            raise DegradedError("timeout", "no time was left to query the predictor")
        body = request.to_bytes(self._release)
        try:
            async with asyncio.timeout(seconds):
                status, content = await self._send(body)
        except TimeoutError:
            raise DegradedError("timeout", f"the predictor did not answer within {1e3 * seconds:.0f} ms") from None
        except aiohttp.ClientError as error:
            raise DegradedError("unreachable", f"the predictor cannot be reached ({_one_line(str(error))})") from None
        if status == 409:
            raise DegradedError("other_release", _one_line(content.decode(errors="replace")))
        if status != 200:
            message = _one_line(content.decode(errors="replace"))
            raise DegradedError("refused", f"the predictor answered {status} {message}")
        return _read(content, request.candidates_EK.shape)

    async def _send(self, body: bytes) -> tuple[int, bytes]:
        """Status and content. Raises aiohttp.ClientError."""
        if self._kept is None or self._fresh is None:
            self._kept, self._fresh = _session(keep=True), _session(keep=False)
        try:
            return await _post(self._kept, self.url, body)
        except aiohttp.ClientError:
            # Over a new connection, since other open ones may lead to the same stopped predictor.
            return await _post(self._fresh, self.url, body)

    async def close(self) -> None:
        for session in (self._kept, self._fresh):
            if session is not None:
                await session.close()


def _session(*, keep: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS, force_close=not keep),
        headers=_HEADERS,
        # TorchServe reads headers one by one, in Python.
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> tuple[int, bytes]:
    async with session.post(url, data=body) as answer:
        return answer.status, await answer.read()


def _read(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        scores = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        message = f"the predictor's answer is not an npy file ({_one_line(str(error))})"
        raise DegradedError("bad_answer", message) from None
    if scores.shape != shape or scores.dtype != np.float32 or not np.isfinite(scores).all():
        found = f"an array of {scores.dtype} {scores.shape}"
        raise DegradedError("bad_answer", f"the predictor answered {found} instead of finite float32 scores {shape}")
    return np.asarray(scores)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]
