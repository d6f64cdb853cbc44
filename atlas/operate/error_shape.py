"""The one shape in which errors are told over HTTP: {"error", "detail"}, and the status of each."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.database.failures import as_told_of_request, one_request
from atlas.errors import (
    AlreadyDecided,
    AskedAgain,
    AtlasError,
    CallChanged,
    CaseFinished,
    CaseNotFound,
    ClaimedByAnother,
    ContraryDecision,
    FormRefused,
    KeyUsed,
    LinkVoid,
    NotAuthenticated,
    NotNow,
    NotPermitted,
    PasskeyRefused,
    PersonRefused,
    PlanNotFound,
    PlanRefused,
    PolicyNotTaken,
    ReasonUnfit,
    RecordUnknown,
    RequestInvalid,
    ReviewExpired,
    RuleRefuses,
    SignatureRefused,
    SignInRefused,
    StopNotFound,
    Stopped,
    StoreUnavailable,
    TakeBackRefused,
    TargetUnknown,
    TooManyAttempts,
    TransitionRefused,
)

HTTP_STATUS: dict[type[AtlasError], int] = {
    NotAuthenticated: 401,
    SignatureRefused: 401,
    NotPermitted: 403,
    RuleRefuses: 403,
    PasskeyRefused: 403,
    PersonRefused: 422,
    AskedAgain: 409,
    FormRefused: 403,
    SignInRefused: 403,
    LinkVoid: 403,
    TooManyAttempts: 429,
    CaseNotFound: 404,
    CaseFinished: 409,
    CallChanged: 409,
    AlreadyDecided: 409,
    ContraryDecision: 409,
    KeyUsed: 409,
    RequestInvalid: 422,
    ReviewExpired: 409,
    Stopped: 409,
    TakeBackRefused: 409,
    StopNotFound: 404,
    TargetUnknown: 404,
    ReasonUnfit: 422,
    TransitionRefused: 409,
    ClaimedByAnother: 409,
    NotNow: 422,
    PlanNotFound: 404,
    PlanRefused: 422,
    PolicyNotTaken: 503,
    StoreUnavailable: 503,
    RecordUnknown: 503,
}
READING = ("GET", "HEAD")  # requests that change nothing


class ErrorTold(BaseModel):
    """Every error: its name, and a sentence that says what to do."""

    error: str
    detail: str


class OneRequest:
    """Keeps apart what each request has changed, so that its errors tell of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        with one_request():
            await self._app(scope, receive, send)


def add_error_shape(app: FastAPI) -> None:
    """Answer every error as {"error", "detail"}."""
    app.add_middleware(OneRequest)

    @app.exception_handler(AtlasError)
    async def known(request: Request, error: AtlasError) -> JSONResponse:
        return shaped(HTTP_STATUS.get(type(error), 500), type(error).__name__, str(error))

    @app.exception_handler(SQLAlchemyError)
    async def unrecorded(request: Request, error: SQLAlchemyError) -> JSONResponse:
        told = as_told_of_request(error, is_reading=request.method in READING)
        return shaped(HTTP_STATUS[type(told)], type(told).__name__, str(told))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        mistakes = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'][1:]) or 'body'}: {item['msg']}"
            for item in error.errors()
        )
        return shaped(422, "RequestInvalid", mistakes)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        return shaped(error.status_code, "HTTPError", str(error.detail), headers=error.headers)


def shaped(status: int, name: str, detail: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An answer in the one shape."""
    extra = ({"WWW-Authenticate": "Bearer"} if status == 401 else {}) | dict(headers or {})
    return JSONResponse({"error": name, "detail": detail}, status_code=status, headers=extra)


def error_response(
    error: AtlasError, *, status: int, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error of ours as an answer, for what stands in front of the routes."""
    return shaped(status, type(error).__name__, str(error), headers=headers)
