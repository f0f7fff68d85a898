"""TensorFlow Serving's configuration messages that the tensorflow-serving-api wheel lacks, and text files of messages.

The messages are built at import from their fields, so that neither protoc nor generated code is needed:
`MonitoringConfig`, `BatchingParameters` and `SSLConfig`, with the field names of TensorFlow Serving's own .proto files.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from google.protobuf.message import Message

from data.errors import UserError

M = TypeVar("M", bound=Message)

_PACKAGE = "tensorflow.serving"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"bool": _Field.TYPE_BOOL, "int64": _Field.TYPE_INT64, "string": _Field.TYPE_STRING}

# Message: field: (type, number); a type with a capital is a message, "repeated " before it says so.
_MESSAGES: dict[str, dict[str, tuple[str, int]]] = {
    "PrometheusConfig": {"enable": ("bool", 1), "path": ("string", 2)},
    "MonitoringConfig": {"prometheus_config": ("PrometheusConfig", 1)},
    "SSLConfig": {
        "server_key": ("string", 1),
        "server_cert": ("string", 2),
        "custom_ca": ("string", 3),
        "client_verify": ("bool", 4),
    },
    "BatchingParameters": {
        "max_batch_size": ("Int64Value", 1),
        "batch_timeout_micros": ("Int64Value", 2),
        "max_enqueued_batches": ("Int64Value", 3),
        "num_batch_threads": ("Int64Value", 4),
        "thread_pool_name": ("StringValue", 5),
        "allowed_batch_sizes": ("repeated int64", 6),
        "pad_variable_length_inputs": ("bool", 7),
        "enable_large_batch_splitting": ("BoolValue", 8),
        "max_execution_batch_size": ("Int64Value", 9),
    },
}


def parse_text(text: str, message: M, source: str) -> M:
    """Fills `message` from text format and returns it.

    Raises:
      UserError: "SOURCE:LINE:COLUMN: what is wrong; the message's fields".
    """
    try:
        text_format.Parse(text, message, descriptor_pool=message.DESCRIPTOR.file.pool)
    except text_format.ParseError as error:
        place = ":".join(str(number) for number in (error.GetLine(), error.GetColumn()) if number is not None)
        reason = str(error).removeprefix(f"{place} : ").strip()
        fields = ", ".join(message.DESCRIPTOR.fields_by_name)
        kind = message.DESCRIPTOR.name
        raise UserError(f"{source}:{place or 1}: {reason} (text format of a {kind}: {fields})") from None
    return message


def read_text_proto(path: Path, message: M) -> M:
    """Fills `message` from a text-format file and returns it.

    Raises:
      UserError: where the file cannot be read or is not one of these messages; names file, line and reason.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"{path}: {reason}; wanted a {message.DESCRIPTOR.name} in protobuf's text format") from None
    return parse_text(text, message, str(path))


def check_batching(parameters: Any, source: str) -> None:
    """Checks a `BatchingParameters` as TensorFlow Serving does when it starts.

    Raises:
      UserError: where TensorFlow Serving would not start.
    """
    at_least = {
        "max_batch_size": 1,
        "batch_timeout_micros": 0,
        "max_enqueued_batches": 1,
        "num_batch_threads": 1,
        "max_execution_batch_size": 1,
    }
    for name, least in at_least.items():
        if parameters.HasField(name) and getattr(parameters, name).value < least:
            raise UserError(f"{source}: {name} is {getattr(parameters, name).value}; it must be {least} or more")
    sizes = list(parameters.allowed_batch_sizes)
    if any(left >= right for left, right in pairwise(sizes)):
        raise UserError(f"{source}: allowed_batch_sizes {sizes} must be in increasing order")
    splits = parameters.enable_large_batch_splitting.value
    limit = "max_execution_batch_size" if splits else "max_batch_size"
    if sizes and parameters.HasField(limit) and sizes[-1] != getattr(parameters, limit).value:
        wanted = getattr(parameters, limit).value
        raise UserError(f"{source}: the last of allowed_batch_sizes is {sizes[-1]}; it must equal {limit}, {wanted}")


def _build() -> dict[str, type[Message]]:
    """The message classes by name, in a pool of their own: a wheel that brings the same names does not clash."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/server/config.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (kind, number) in fields.items():
            label = _Field.LABEL_REPEATED if kind.startswith("repeated ") else _Field.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            kind = kind.removeprefix("repeated ")
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type = _Field.TYPE_MESSAGE
                package = _PACKAGE if kind in _MESSAGES else "google.protobuf"
                added.type_name = f".{package}.{kind}"
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES: dict[str, Any] = _build()
PrometheusConfig = _CLASSES["PrometheusConfig"]
MonitoringConfig = _CLASSES["MonitoringConfig"]
BatchingParameters = _CLASSES["BatchingParameters"]
SSLConfig = _CLASSES["SSLConfig"]
