"""The two clients. They differ only in how they wait."""

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, Unpack, cast

import httpx

from shortlist.answer.response_schema import Page, Prediction
from shortlist.client.queries import Query
from shortlist.client.retry import Deadline, answer_of

_DEADLINE = 2.0
_CONNECTIONS = 64


class Client:
    """Recommendations of one service. Safe to use from several threads."""

    def __init__(self, url: str, *, model: str = "shortlist", deadline: float = _DEADLINE) -> None:
        """`url` is the address of the transformer, like `http://localhost:8080`; a call takes at most `deadline`
        seconds, retries included."""
        self._http = httpx.Client(base_url=url, limits=httpx.Limits(max_connections=_CONNECTIONS))
        self._path, self._deadline = f"/v1/models/{model}:predict", deadline

    def recommend(self, **query: Unpack[Query]) -> Prediction:
        """The recommendations for one query. Raises RefusedError and UnavailableError."""
        return self.recommend_many([query])[0]

    def recommend_many(self, queries: Sequence[Query]) -> list[Prediction]:
        """The recommendations for up to 64 queries without `rows`, in their order.

        Raises RefusedError and UnavailableError.
        """
        return cast(list[Prediction], self._ask(queries))

    def page(self, **query: Unpack[Query]) -> list[Prediction]:
        """The recommendations for each of the `rows` of a page, which share no item.

        Raises RefusedError and UnavailableError.
        """
        (page,) = self._ask([query])
        return cast(Page, page)["rows"]

    def _ask(self, queries: Sequence[Query]) -> list[dict[str, object]]:
        deadline, reason = Deadline(self._deadline), "no time was left"
        for pause in deadline.pauses():
            try:
                answer = answer_of(self._http.post(self._path, json={"instances": queries}, timeout=deadline.left))
            except httpx.TransportError as error:
                answer = f"{type(error).__name__}: {error}"
            if not isinstance(answer, str):
                return answer
            reason = answer
            time.sleep(pause)
        raise deadline.expired(reason)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class AsyncClient:
    """As `Client`, for one event loop."""

    def __init__(self, url: str, *, model: str = "shortlist", deadline: float = _DEADLINE) -> None:
        """As that of `Client`."""
        self._http = httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=_CONNECTIONS))
        self._path, self._deadline = f"/v1/models/{model}:predict", deadline

    async def recommend(self, **query: Unpack[Query]) -> Prediction:
        """The recommendations for one query. Raises RefusedError and UnavailableError."""
        return (await self.recommend_many([query]))[0]

    async def recommend_many(self, queries: Sequence[Query]) -> list[Prediction]:
        """The recommendations for up to 64 queries without `rows`, in their order.

        Raises RefusedError and UnavailableError.
        """
        return cast(list[Prediction], await self._ask(queries))

    async def page(self, **query: Unpack[Query]) -> list[Prediction]:
        """The recommendations for each of the `rows` of a page, which share no item.

        Raises RefusedError and UnavailableError.
        """
        (page,) = await self._ask([query])
        return cast(Page, page)["rows"]

    async def _ask(self, queries: Sequence[Query]) -> list[dict[str, object]]:
        deadline, reason = Deadline(self._deadline), "no time was left"
        for pause in deadline.pauses():
            try:
                response = await self._http.post(self._path, json={"instances": queries}, timeout=deadline.left)
                answer = answer_of(response)
            except httpx.TransportError as error:
                answer = f"{type(error).__name__}: {error}"
            if not isinstance(answer, str):
                return answer
            reason = answer
            await asyncio.sleep(pause)
        raise deadline.expired(reason)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()
