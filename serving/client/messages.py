"""The part of TensorFlow Serving's protocol that a client needs, as messages of its own.

The generated modules of tensorflow_serving.apis import TensorFlow, seconds and hundreds of MB. These messages are the
same on the wire; they are in a descriptor pool of their own, so that both can be in one process.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tfx_bert.wire"
# Enumerations are read as int32, which is the same on the wire.
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
}
# Message: its fields as number, name, type; "*" before a type: repeated; "@": a map from strings. They are those of
# tensorflow/core/framework/tensor{,_shape}.proto, core/protobuf/meta_graph.proto and tensorflow_serving/apis/*.proto.
_MESSAGES: dict[str, tuple[tuple[int, str, str], ...]] = {
    "Dim": ((1, "size", "int64"),),
    "TensorShape": ((2, "dim", "*Dim"),),
    "Tensor": (
        (1, "dtype", "int32"),
        (2, "tensor_shape", "TensorShape"),
        (4, "tensor_content", "bytes"),
        (5, "float_val", "*float"),
        (6, "double_val", "*double"),
        (7, "int_val", "*int32"),
        (8, "string_val", "*bytes"),
        (10, "int64_val", "*int64"),
        (11, "bool_val", "*bool"),
    ),
    "Int64Value": ((1, "value", "int64"),),
    "ModelSpec": (
        (1, "name", "string"),
        (2, "version", "Int64Value"),
        (3, "signature_name", "string"),
        (4, "version_label", "string"),
    ),
    "PredictRequest": ((1, "model_spec", "ModelSpec"), (2, "inputs", "@Tensor")),
    "PredictResponse": ((1, "outputs", "@Tensor"), (2, "model_spec", "ModelSpec")),
    "MetadataRequest": ((1, "model_spec", "ModelSpec"), (2, "metadata_field", "*string")),
    "Any": ((1, "type_url", "string"), (2, "value", "bytes")),
    "MetadataResponse": ((1, "model_spec", "ModelSpec"), (2, "metadata", "@Any")),
    "TensorInfo": ((2, "dtype", "int32"),),
    "SignatureDef": ((1, "inputs", "@TensorInfo"), (2, "outputs", "@TensorInfo"), (3, "method_name", "string")),
    "SignatureDefMap": ((1, "signature_def", "@SignatureDef"),),
}


def _describe(message: descriptor_pb2.DescriptorProto, number: int, name: str, kind: str) -> None:
    """Adds a field to a message's description."""
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind[0] in "*@":
        field.label = _Field.LABEL_REPEATED
    plain = kind.lstrip("*@")
    if kind[0] == "@":
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _describe(entry, 1, "key", "string")
        _describe(entry, 2, "value", plain)
        plain = f"{message.name}.{entry.name}"
    if plain in _SCALARS:
        field.type = _SCALARS[plain]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{plain}"


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tfx_bert/wire.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields:
            _describe(message, *field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


_CLASSES = _classes()
Tensor: Any = _CLASSES["Tensor"]
PredictRequest: Any = _CLASSES["PredictRequest"]
PredictResponse: Any = _CLASSES["PredictResponse"]
MetadataRequest: Any = _CLASSES["MetadataRequest"]
MetadataResponse: Any = _CLASSES["MetadataResponse"]
SignatureDefMap: Any = _CLASSES["SignatureDefMap"]

_DT_STRING = 7
# DataType: the field with the values, and struct's code of one value in tensor_content.
_VALUES: dict[int, tuple[str, Literal["f", "d", "i", "q", "?"]]] = {
    1: ("float_val", "f"),
    2: ("double_val", "d"),
    3: ("int_val", "i"),
    9: ("int64_val", "q"),
    10: ("bool_val", "?"),
}


def fill_texts(tensor: Any, texts: list[bytes]) -> None:
    """Makes a Tensor one of strings [len(texts)]."""
    tensor.dtype = _DT_STRING
    tensor.tensor_shape.dim.add(size=len(texts))
    tensor.string_val.extend(texts)


def nested(tensor: Any) -> Any:
    """A Tensor's values as nested lists of str, int, float or bool by its shape; a scalar as the value itself.

    Raises:
      ValueError: a type that no output has, values that do not fill the shape, or strings that are not UTF-8.
    """
    values: list[Any]
    if tensor.dtype == _DT_STRING:
        values = [value.decode("utf-8") for value in tensor.string_val]
    elif tensor.dtype not in _VALUES:
        raise ValueError(f"DataType {tensor.dtype} is not one that outputs have")
    else:
        name, code = _VALUES[tensor.dtype]
        packed = tensor.tensor_content
        values = memoryview(packed).cast(code).tolist() if packed else list(getattr(tensor, name))
    return _shaped(values, [dim.size for dim in tensor.tensor_shape.dim])


def _shaped(values: list[Any], shape: list[int]) -> Any:
    if len(values) != math.prod(shape):
        raise ValueError(f"{len(values)} values for the shape {shape}")
    if not shape:
        return values[0]
    for at in range(len(shape) - 1, 0, -1):
        outer, dim = math.prod(shape[:at]), shape[at]
        values = [values[row * dim : (row + 1) * dim] for row in range(outer)]
    return values
