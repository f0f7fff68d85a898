"""Python clients of a model server that speaks TensorFlow Serving's protocol. Import no TensorFlow.

with PredictionClient("127.0.0.1:8500", "reviews") as client:
    for prediction in client.predict(["A joy from start to finish."]):
        print(prediction.label, prediction.probability)
"""

from serving.client.client import AsyncPredictionClient, PredictionClient
from serving.client.errors import (
    ClientError,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    ServerError,
    Unavailable,
)
from serving.client.predictions import Entities, Entity, Label, Prediction, Span

__all__ = [
    "AsyncPredictionClient",
    "ClientError",
    "DeadlineExceeded",
    "Entities",
    "Entity",
    "InvalidRequest",
    "Label",
    "NotFound",
    "Overloaded",
    "Prediction",
    "PredictionClient",
    "ServerError",
    "Span",
    "Unavailable",
]
