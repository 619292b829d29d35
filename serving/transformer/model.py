"""The transformer as KServe sees it."""

import asyncio
import warnings
from pathlib import Path
from typing import Any

from kserve import Model

from serving.question import BadRequestError, Question, parse_questions
from serving.transformer import errors, protocol
from serving.transformer.service import Service


class Transformer(Model):  # type: ignore[misc]  # kserve is untyped
    """Answers from one release. It is pickled as its arguments: a worker opens the release, memory-mapped, anew."""

    def __init__(self, name: str, folder: Path, predictor_host: str | None, *, tls: bool = False) -> None:
        super().__init__(name)
        self._arguments = (name, folder, predictor_host, tls)
        self._service: Service

    def load(self) -> bool:
        """Ready once the release has answered. Raises ValueError when it is broken, or ranks and has no predictor."""
        from kserve.model_server import app  # noqa: PLC0415  # it reads the command line when imported

        name, folder, host, tls = self._arguments
        self._service = Service.open(folder, name, host, tls=tls)
        # KServe's, about its own answers, in every log.
        warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
        errors.register(app, self._service.release.recipe.serving.max_history)
        self.ready = True
        return True

    def stop(self) -> None:
        """KServe calls this at the end, in its event loop."""
        self.ready = False
        self._closing = asyncio.get_running_loop().create_task(self._service.close())

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, self._arguments

    def get_input_types(self) -> list[dict[str, Any]]:
        """V2 metadata."""
        return [protocol.INPUT]

    def get_output_types(self) -> list[dict[str, Any]]:
        """V2 metadata."""
        return [protocol.OUTPUT]

    async def preprocess(self, payload: Any, *_: Any) -> tuple[list[Question], Any]:
        """The questions of a request, and the request. Raises RefusedError."""
        release = self._service.release
        try:
            body = protocol.read(payload)
            return parse_questions(body, release.recipe.serving, release.store.schema), payload
        except BadRequestError as error:
            raise errors.RefusedError(error) from None

    async def predict(self, payload: tuple[list[Question], Any], *_: Any) -> tuple[list[dict[str, Any]], Any]:
        """The predictions, and the request that they answer."""
        questions, request = payload
        return await self._service.answer(questions), request

    async def postprocess(self, result: Any, *_: Any) -> Any:
        """The answer in the protocol of the request."""
        return protocol.write(*result)


def _open(name: str, folder: Path, predictor_host: str | None, tls: bool) -> Transformer:
    model = Transformer(name, folder, predictor_host, tls=tls)
    model.load()
    return model
