"""What a call to a model server can end in, whichever protocol it went by."""

from __future__ import annotations


class ClientError(Exception):
    """No predictions. `code` is the server's own: gRPC's status name or HTTP's number; empty where it gave none."""

    def __init__(self, message: str, code: str = ""):
        super().__init__(message)
        self.code = code


class Unavailable(ClientError):
    """The server cannot be reached, is starting or shutting down; retried before it is raised."""


class DeadlineExceeded(ClientError):
    """No answer within the timeout."""


class InvalidRequest(ClientError):
    """The server, or the client before it, refuses what was asked: it will not be better the next time."""


class NotFound(ClientError):
    """The server has no such model, version or label."""


class Overloaded(ClientError):
    """The server has more requests than it takes at once; not retried, which would make it worse."""


class ServerError(ClientError):
    """The server failed, or what it answered is no answer of such a model."""


OF_GRPC: dict[str, type[ClientError]] = {
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "INVALID_ARGUMENT": InvalidRequest,
    "FAILED_PRECONDITION": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "UNAUTHENTICATED": InvalidRequest,
    "PERMISSION_DENIED": InvalidRequest,
    "NOT_FOUND": NotFound,
    "RESOURCE_EXHAUSTED": Overloaded,
}
"""The error of each gRPC status; any other is a ServerError."""

OF_HTTP: dict[int, type[ClientError]] = {
    503: Unavailable,
    504: DeadlineExceeded,
    404: NotFound,
    429: Overloaded,
}
"""The error of each HTTP status that has its own; see `of_http`."""


def of_grpc(code: str, message: str) -> ClientError:
    """The error of a gRPC status, given by its name."""
    return OF_GRPC.get(code, ServerError)(message or code, code)


def of_http(status: int, message: str) -> ClientError:
    """The error of an HTTP status of 300 or more; other 4xx are invalid requests, what is left is the server's."""
    kind = OF_HTTP.get(status, InvalidRequest if 400 <= status < 500 else ServerError)
    return kind(message, str(status))
