"""The KServe model of the transformer."""

import asyncio
import threading
import warnings
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kserve import Model
from kserve.model_server import app

from shortlist.answer.query import Query
from shortlist.answer.refusal import BadRequestError
from shortlist.answer.response_schema import Page, Prediction
from shortlist.serving.transformer import errors, openapi, protocol
from shortlist.serving.transformer.drain import Drain
from shortlist.serving.transformer.follow import Follower

if TYPE_CHECKING:
    from shortlist.serving.transformer.service import Service


_SERVICE: "ContextVar[Service]" = ContextVar("service")
"""The service of the current request, which may be replaced for later requests before this one is done."""


class Transformer(Model):  # type: ignore[misc]  # kserve is untyped
    """Serves one release; with `targets`, the release that is currently named there.

    It is pickled as its arguments for a worker, which opens the release, memory-mapped, before its first answer rather
    than at the start: KServe expects a worker to respond soon after it started.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        predictor_host: str | None,
        *,
        tls: bool = False,
        drain_seconds: float = 0.0,
        targets: Path | None = None,
        availability: str | None = None,
        max_history: int = 0,
    ) -> None:
        super().__init__(name)
        self._arguments = (name, folder, predictor_host, tls, drain_seconds, targets, availability)
        self._max_history = max_history
        self._loading = threading.Lock()
        self._follower: Follower | None = None

    @property
    def service(self) -> "Service":
        """The service of the current request; outside a request, the current service. It must be loaded."""
        assert self._follower is not None
        return _SERVICE.get(self._follower.service)

    @property
    def max_history(self) -> int:
        """The limit of the release in service; before it is loaded, the given one."""
        return self.service.release.recipe.serving.max_history if self._follower is not None else self._max_history

    def load(self) -> bool:
        """Ready once the release has answered a query.

        Raises ValueError when the release is broken, or has a ranker but no predictor.
        """
        from shortlist.serving.transformer.service import Service  # noqa: PLC0415  # brings FAISS and ONNX Runtime

        name, folder, host, tls, _, targets, availability = self._arguments

        def opened(folder: Path, host: str | None) -> Service:
            return Service.open(folder, name, host, tls=tls, availability=availability)

        with self._loading:
            if self._follower is None:
                self._follower = Follower(opened, folder, host, targets)
                self.ready = True
        return self.ready

    async def healthy(self) -> bool:
        """KServe calls this before every request."""
        if self._follower is None:
            await asyncio.to_thread(self.load)
        return self.ready

    async def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Answer a request, from one release throughout."""
        assert self._follower is not None
        with self._follower.answering() as service:
            token = _SERVICE.set(service)
            try:
                return await super().__call__(*arguments, **options)
            finally:
                _SERVICE.reset(token)

    def stop(self) -> None:
        """KServe calls this at the end, in its event loop."""
        self.ready = False
        if self._follower is not None:
            self._closing = asyncio.get_running_loop().create_task(self._follower.service.close())

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_a_worker, (*self._arguments, self.max_history)

    def get_input_types(self) -> list[dict[str, Any]]:
        """V2 metadata."""
        return [protocol.INPUT]

    def get_output_types(self) -> list[dict[str, Any]]:
        """V2 metadata."""
        return [protocol.OUTPUT]

    async def preprocess(self, payload: Any, *_: Any) -> tuple[list[Query], Any]:
        """The queries of a request, and the request. Raises RefusedError."""
        try:
            return protocol.read(payload, self.service.release.reader), payload
        except BadRequestError as error:
            raise errors.RefusedError(error) from None

    async def predict(self, payload: tuple[list[Query], Any], *_: Any) -> tuple[list[Prediction | Page], Any]:
        """The predictions, and the request that they answer. Raises RefusedError for a rule that cannot be applied."""
        queries, request = payload
        try:
            return await self.service.answer(queries), request
        except BadRequestError as error:
            raise errors.RefusedError(error) from None

    async def postprocess(self, result: Any, *_: Any) -> Any:
        """The answer in the protocol of the request."""
        return protocol.write(*result)

    async def explain(self, *_: Any) -> Any:
        """Raises RefusedError."""
        raise errors.RefusedError(BadRequestError("explanations are not supported; use :predict", 501))


def _in_a_worker(
    name: str,
    folder: Path,
    predictor_host: str | None,
    tls: bool,
    drain_seconds: float,
    targets: Path | None,
    availability: str | None,
    max_history: int,
) -> Transformer:
    model = Transformer(
        name,
        folder,
        predictor_host,
        tls=tls,
        drain_seconds=drain_seconds,
        targets=targets,
        availability=availability,
        max_history=max_history,
    )
    prepare_server(model, drain_seconds)
    return model


def prepare_server(model: Transformer, drain_seconds: float = 0.0) -> None:
    """Set up KServe's application in this process, before it starts."""
    # A warning about KServe's own responses, which would be in every log.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    errors.register(app, lambda: errors.max_body_bytes(model.max_history))
    openapi.describe(app, model)
    app.add_middleware(Drain, seconds=drain_seconds)
