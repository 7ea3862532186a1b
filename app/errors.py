"""What can go wrong, each with its status and stable code; services raise these, never HTTP."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong thing in a request, and where: a JSON pointer."""

    pointer: str
    detail: str


class AppError(Exception):
    """A failure that the asker is told of, in a sentence to act on."""

    status: int = 500
    code: str = "internal_error"
    retry_after_s: float | None = None

    def __init__(
        self, detail: str, *, code: str | None = None, faults: tuple[Fault, ...] = ()
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.faults = faults


class BadRequest(AppError):
    status = 400
    code = "bad_request"


class Unauthorized(AppError):
    status = 401
    code = "unauthorized"


class Forbidden(AppError):
    status = 403
    code = "forbidden"


class NotFound(AppError):
    status = 404
    code = "not_found"


class BodyTimeout(AppError):
    status = 408
    code = "body_timeout"


class Conflict(AppError):
    status = 409
    code = "conflict"


class PreconditionFailed(AppError):
    status = 412
    code = "changed_meanwhile"


class TooLarge(AppError):
    status = 413
    code = "too_large"


class UnsupportedMedia(AppError):
    status = 415
    code = "unsupported_media"


class Unprocessable(AppError):
    status = 422
    code = "invalid_request"


class TooManyRequests(AppError):
    """Slower: the same request may succeed after `retry_after_s`."""

    status = 429
    code = "rate_limited"

    def __init__(self, detail: str, *, code: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class ServiceUnavailable(AppError):
    """Not now: the same request may succeed after `retry_after_s`."""

    status = 503
    code = "unavailable"

    def __init__(self, detail: str, *, code: str | None = None, retry_after_s: float = 2.0) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class DatabaseDown(ServiceUnavailable):
    code = "database_unavailable"


class StorageDown(ServiceUnavailable):
    code = "storage_unavailable"


class TimedOut(AppError):
    status = 504
    code = "deadline_exceeded"


_AUDIO_STATUS: dict[str, type[AppError]] = {
    "unsupported_media": UnsupportedMedia,
    "too_long": TooLarge,
    "decode_ratio": TooLarge,
}


def of_audio(code: str, detail: str) -> AppError:
    """What a take that cannot be read means to its sender."""
    return _AUDIO_STATUS.get(code, Unprocessable)(detail, code=code)
