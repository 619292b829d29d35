"""The transformer as KServe sees it."""

import asyncio
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kserve import Model
from kserve.model_server import app

from serving.question import Question
from serving.refusal import BadRequestError
from serving.schema import Prediction
from serving.transformer import errors, openapi, protocol
from serving.transformer.drain import Drain

if TYPE_CHECKING:
    from serving.transformer.service import Service


class Transformer(Model):  # type: ignore[misc]  # kserve is untyped
    """Answers from one release.

    A worker gets it pickled as its arguments, and opens the release, memory-mapped, before its first answer: KServe
    wants a sign of life soon after the start.
    """

    def __init__(
        self, name: str, folder: Path, predictor_host: str | None, *, tls: bool = False, drain_seconds: float = 0.0
    ) -> None:
        super().__init__(name)
        self._arguments = (name, folder, predictor_host, tls)
        self._drain_seconds = drain_seconds
        self._loading = threading.Lock()
        self._service: Service | None = None

    @property
    def service(self) -> "Service":
        """What answers, once it is loaded."""
        assert self._service is not None
        return self._service

    def load(self) -> bool:
        """Ready once the release has answered. Raises ValueError when it is broken, or ranks and has no predictor."""
        from serving.transformer.service import Service  # noqa: PLC0415  # brings FAISS and ONNX Runtime

        name, folder, host, tls = self._arguments
        with self._loading:
            if self._service is None:
                self._service = Service.open(folder, name, host, tls=tls)
                self.ready = True
        return self.ready

    async def healthy(self) -> bool:
        """KServe asks this before every request."""
        if self._service is None:
            await asyncio.to_thread(self.load)
        return self.ready

    def stop(self) -> None:
        """KServe calls this at the end, in its event loop."""
        self.ready = False
        if self._service is not None:
            self._closing = asyncio.get_running_loop().create_task(self._service.close())

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_a_worker, (*self._arguments, self._drain_seconds, self.service.release.recipe.serving.max_history)

    def get_input_types(self) -> list[dict[str, Any]]:
        """V2 metadata."""
        return [protocol.INPUT]

    def get_output_types(self) -> list[dict[str, Any]]:
        """V2 metadata."""
        return [protocol.OUTPUT]

    async def preprocess(self, payload: Any, *_: Any) -> tuple[list[Question], Any]:
        """The questions of a request, and the request. Raises RefusedError."""
        try:
            return protocol.read(payload, self.service.release.reader), payload
        except BadRequestError as error:
            raise errors.RefusedError(error) from None

    async def predict(self, payload: tuple[list[Question], Any], *_: Any) -> tuple[list[Prediction], Any]:
        """The predictions, and the request that they answer."""
        questions, request = payload
        return await self.service.answer(questions), request

    async def postprocess(self, result: Any, *_: Any) -> Any:
        """The answer in the protocol of the request."""
        return protocol.write(*result)

    async def explain(self, *_: Any) -> Any:
        """Raises RefusedError."""
        raise errors.RefusedError(BadRequestError("answers are not explained; ask with :predict", 501))


def _in_a_worker(
    name: str, folder: Path, predictor_host: str | None, tls: bool, drain_seconds: float, max_history: int
) -> Transformer:
    model = Transformer(name, folder, predictor_host, tls=tls, drain_seconds=drain_seconds)
    prepare_server(model, max_history, drain_seconds)
    return model


def prepare_server(model: Transformer, max_history: int, drain_seconds: float = 0.0) -> None:
    """Set up KServe's application in this process, before it starts."""
    # About KServe's own answers, once in every log.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    errors.register(app, max_history)
    openapi.describe(app, model)
    app.add_middleware(Drain, seconds=drain_seconds)
