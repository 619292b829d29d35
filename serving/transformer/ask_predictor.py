"""Asking the predictor, and what becomes of the answer when it does not give one in time."""

import asyncio
import io

import aiohttp
import numpy as np
from numpy.typing import NDArray

from shortlist.ranking.request import RankingRequest

_HEADERS = {"Content-Type": "application/octet-stream"}
_CONNECTIONS = 64
_SHOWN = 200


class DegradedError(Exception):
    """The ranker did not answer; `reason` is one word for the metrics, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Predictor:
    """One predictor behind `host`, over connections that stay open. Made before there is an event loop."""

    def __init__(self, host: str, model_name: str, release: str, *, tls: bool = False) -> None:
        self.url = f"http{'s' if tls else ''}://{host}/v1/models/{model_name}:predict"
        self._release = release
        self._session: aiohttp.ClientSession | None = None

    async def scores(self, request: RankingRequest, seconds: float) -> NDArray[np.float32]:
        """The scores [E, K], within `seconds`. Raises DegradedError and nothing else that a predictor can cause."""
        if seconds <= 0:
            raise DegradedError("timeout", "no time was left to ask the predictor")
        body = request.to_bytes(self._release)
        try:
            async with asyncio.timeout(seconds), self._opened().post(self.url, data=body) as answer:
                content = await answer.read()
        except TimeoutError:
            raise DegradedError("timeout", f"the predictor did not answer within {1e3 * seconds:.0f} ms") from None
        except aiohttp.ClientError as error:
            raise DegradedError("unreachable", f"the predictor cannot be reached ({_one_line(str(error))})") from None
        if answer.status == 409:
            raise DegradedError("other_release", _one_line(content.decode(errors="replace")))
        if answer.status != 200:
            said = _one_line(content.decode(errors="replace"))
            raise DegradedError("refused", f"the predictor answered {answer.status} {said}")
        return _read(content, request.candidates_EK.shape)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                headers=_HEADERS,
                # TorchServe reads headers one by one, in Python.
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _read(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        scores = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DegradedError("bad_answer", f"the predictor's answer is no npy ({_one_line(str(error))})") from None
    if scores.shape != shape or scores.dtype != np.float32 or not np.isfinite(scores).all():
        raise DegradedError("bad_answer", f"the predictor answered {scores.dtype} {scores.shape}, not scores {shape}")
    return np.asarray(scores)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]
