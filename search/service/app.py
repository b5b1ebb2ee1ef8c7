"""The application: what the service answers, whoever hears the speech and whatever it runs under.

POST /predict      files of any kind that `ser predict` takes
WS   /stream       samples as they come
GET  /             the page to try it
GET  /healthz      200 while it answers
GET  /metrics      for Prometheus
GET  /openapi.json
"""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from starlette.exceptions import HTTPException
from starlette.routing import Route

from search.service.answers import Health, Problem, answers_of
from search.service.guard import Guard, check_origin, problem
from search.service.limits import Refusal
from search.service.page import page_files
from search.service.service import Service
from search.service.streams import FAILED, POLICY_CODE, StreamError, StreamRequest, serve_stream
from search.service.uploads import FIELD

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": words}
    for status, words in {
        400: "No form that can be read.",
        403: "From a page of another site.",
        408: "The request did not arrive in time.",
        413: "The request is too large.",
        415: "No multipart form.",
        503: "Too many files wait, or the model did not come to it in time: try again.",
    }.items()
}
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}


def create_app(service: Service) -> FastAPI:
    """The application."""
    # No pages of documentation: theirs fetch scripts from elsewhere.
    about = f"{', '.join(service.model.target.names)} in speech: {service.model.origin.name}"
    app = FastAPI(title="ser-search", version=version("ser-search"), description=about, docs_url=None, redoc_url=None)
    _add_predictions(app, service)
    _add_operations(app, service)
    _add_page(app, service)
    _add_errors(app)
    paths = frozenset(route.path for route in app.routes if isinstance(route, Route))
    app.add_middleware(Guard, metrics=service.metrics, paths=paths)
    return app


def _add_predictions(app: FastAPI, service: Service) -> None:
    answers = answers_of(service.model.target)

    @app.post("/predict", response_model=answers, responses={**REFUSALS, 422: {"model": answers}}, openapi_extra=FORM)
    async def predict(request: Request, response: Response) -> Any:
        """What is heard in each of several audio files. One that cannot be read has `error`, and the rest goes on."""
        check_origin(request.headers)
        found = await service.answer(request)
        if all(one.error is not None for one in found):
            response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
        return {"predictions": found}

    @app.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        """Mono PCM: `?rate=16000&format=int16|float32&hop=0.5`. An answer a hop, of the last seconds before it."""
        check_origin(socket.headers)
        if not service.streams.take(1):
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "as many streams are open as may be", retry=True)
        try:
            await socket.accept()
            request = StreamRequest.of(socket.query_params, service.model.sample_rate_hz)
            await serve_stream(socket, request, service.hearing, service.model, service.limits)
            await socket.close()
        except StreamError as error:
            await _end(socket, str(error), error.code)
        except WebSocketDisconnect:
            pass
        finally:
            service.streams.give_back(1)


async def _end(socket: WebSocket, message: str, code: int = FAILED) -> None:
    """The reason as a message, since one in the closing frame may have 123 bytes."""
    try:
        await socket.send_json({"error": message})
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError):  # it is gone
        pass


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """200 while the service answers."""
        if service.healthy():
            return Health(status="ok")
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(status="ending")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=service.metrics.content_type)


def _add_page(app: FastAPI, service: Service) -> None:
    for path, (content, kind) in page_files(service.model, service.limits).items():

        async def file(content: bytes = content, kind: str = kind) -> Response:
            return Response(content, media_type=kind)

        app.add_api_route(path, file, methods=["GET"], include_in_schema=False, response_model=None)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(request: Request | WebSocket, error: Refusal) -> Response | None:
        headers = {"Retry-After": "1"} if error.retry else {}
        answer = problem(error.status, str(error), headers)
        if isinstance(request, Request):
            return answer
        if "websocket.http.response" in request.scope.get("extensions", {}):
            await request.send_denial_response(answer)
        else:
            await request.close(POLICY_CODE)
        return None

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        known = {404: "there is no such address; /openapi.json names them", 405: "this address takes another method"}
        return problem(error.status_code, known.get(error.status_code, str(error.detail)), error.headers)
