"""What a client can cause: a gRPC status code and a message, whichever protocol it came by."""

import grpc


class ServingError(Exception):
    """A request, a model or a configuration that the server cannot serve, in TF Serving's words."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code
        self.message = message
