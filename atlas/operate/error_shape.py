"""The one shape in which errors are told over HTTP: {"error", "detail"}, and the status of each."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

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
    RequestInvalid,
    ReviewExpired,
    RuleRefuses,
    SignatureRefused,
    SignInRefused,
    StopNotFound,
    Stopped,
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
}


class ErrorTold(BaseModel):
    """Every error: its name, and a sentence that says what to do."""

    error: str
    detail: str


def add_error_shape(app: FastAPI) -> None:
    """Answer every error as {"error", "detail"}."""

    @app.exception_handler(AtlasError)
    async def known(request: Request, error: AtlasError) -> JSONResponse:
        return shaped(HTTP_STATUS.get(type(error), 500), type(error).__name__, str(error))

    @app.exception_handler(SQLAlchemyError)
    async def unrecorded(request: Request, error: SQLAlchemyError) -> JSONResponse:
        return shaped(
            503, "StoreUnavailable", "The case store cannot be read or written; nothing was changed."
        )

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
