"""numpy arrays and TensorProtos, as TF Serving reads and writes them, without TensorFlow's slower general functions.

Strings are object arrays of bytes. Written tensors carry typed `*_val` fields; `tensor_content` is read, too.
"""

import math
import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import grpc
import ml_dtypes
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto

from serving.server.errors import ServingError

MAX_BROADCAST = 16 * 2**20
"""Elements, or bytes of text, that one value of a message may stand for."""

MAX_RANK = 32
"""Dimensions that numpy surely has; TensorFlow's own operations have fewer."""

_STRING = types_pb2.DT_STRING


class _Type(NamedTuple):
    """How values of one DataType are carried.

    Attributes:
      dtype: of the array.
      field: of the message.
      carrier: what the field's numbers are read as.
      form: whether these are the `values` themselves, the `bits` of one, or the two `parts` of one; or whether the
        field is one `bytes` of all values' bits.
    """

    dtype: np.dtype[Any]
    field: str
    carrier: np.dtype[Any]
    form: str = "values"


def _types() -> dict[int, _Type]:
    """By DataType. Ints wider than their field's carrier do not exist; narrower ones are cast as TensorFlow does."""

    def entry(dtype: Any, field: str, carrier: Any = None, form: str = "values") -> _Type:
        return _Type(np.dtype(dtype), field, np.dtype(dtype if carrier is None else carrier), form)

    known = {
        types_pb2.DT_STRING: entry(object, "string_val"),
        types_pb2.DT_FLOAT: entry(np.float32, "float_val"),
        types_pb2.DT_DOUBLE: entry(np.float64, "double_val"),
        types_pb2.DT_INT64: entry(np.int64, "int64_val"),
        types_pb2.DT_UINT32: entry(np.uint32, "uint32_val"),
        types_pb2.DT_UINT64: entry(np.uint64, "uint64_val"),
        types_pb2.DT_BOOL: entry(np.bool_, "bool_val"),
        types_pb2.DT_HALF: entry(np.float16, "half_val", np.uint16, "bits"),
        types_pb2.DT_BFLOAT16: entry(ml_dtypes.bfloat16, "half_val", np.uint16, "bits"),
        types_pb2.DT_COMPLEX64: entry(np.complex64, "scomplex_val", np.float32, "parts"),
        types_pb2.DT_COMPLEX128: entry(np.complex128, "dcomplex_val", np.float64, "parts"),
    }
    for name in ("int8", "int16", "int32", "uint8", "uint16"):
        known[types_pb2.DataType.Value(f"DT_{name.upper()}")] = entry(name, "int_val", np.int32)
    for name in ("float8_e5m2", "float8_e4m3fn"):
        value = types_pb2.DataType.Value(f"DT_{name.upper()}")
        known[value] = entry(getattr(ml_dtypes, name), "float8_val", np.uint8, "bytes")
    return known


_TYPES = _types()
_DATA_TYPES = {type_.dtype: value for value, type_ in _TYPES.items() if value != _STRING}


def dtype_name(value: int) -> str:
    """A DataType as TensorFlow's messages have it: "string", "float", "int32"."""
    try:
        return types_pb2.DataType.Name(value).removeprefix("DT_").lower()
    except ValueError:
        return f"unknown dtype enum ({value})"


def to_array(proto: TensorProto) -> np.ndarray:
    """The array in a message.

    A message with one value for a bigger shape is a view of that value in all places, which takes no memory. Arrays may
    be read-only.

    Raises:
      ServingError: INVALID_ARGUMENT where the message does not hold what its type and shape say.
    """
    known = _TYPES.get(proto.dtype)
    if known is None:
        raise _invalid(f"dtype {dtype_name(proto.dtype)} is not supported")
    shape = _shape(proto.tensor_shape)
    size = shape[0] if len(shape) == 1 else math.prod(shape)
    content = proto.tensor_content
    try:
        if size == 0:
            return np.empty(shape, known.dtype)
        flat = _from_content(content, known, size) if content else _from_field(getattr(proto, known.field), known)
        if flat.size == size:
            return flat if len(shape) == 1 else flat.reshape(shape)
        if flat.size == 1 and not content and size * _bytes_of_text(flat) <= MAX_BROADCAST:
            return np.broadcast_to(flat, shape)
    except (ValueError, OverflowError) as error:
        raise _invalid(f"its values are not of shape {shape_text(shape)}: {error}") from error
    raise _invalid(f"{flat.size} value(s) for shape {shape_text(shape)}")


def to_proto(array: np.ndarray) -> TensorProto:
    """An array (or a numpy scalar, or bytes) as a message with typed fields."""
    proto = TensorProto()
    fill_proto(array, proto)
    return proto


def fill_proto(array: Any, proto: TensorProto) -> None:
    """The same into an empty message.

    Raises:
      ServingError: INTERNAL for a dtype that TensorProto does not have.
    """
    if not isinstance(array, np.ndarray):
        array = np.array(array, dtype=object if isinstance(array, bytes | str) else None)
    values = (array if array.ndim == 1 else array.ravel()).tolist() if array.dtype.kind in "OSUfiub" else None
    proto.tensor_shape.CopyFrom(_shape_proto(array.shape))
    if array.dtype.kind in "OSU":
        proto.dtype = _STRING
        proto.string_val.extend(_as_bytes(values or []))
        return
    value = _DATA_TYPES.get(array.dtype)
    if value is None:
        raise ServingError(grpc.StatusCode.INTERNAL, f"dtype {array.dtype} of an output is not supported")
    known = _TYPES[value]
    proto.dtype = value
    if known.form == "bytes":
        proto.float8_val = array.tobytes()
    elif known.form == "values" and values is not None:
        getattr(proto, known.field).extend(values)
    else:
        getattr(proto, known.field).extend(np.ascontiguousarray(array).ravel().view(known.carrier).tolist())


def shape_text(shape: Iterable[int]) -> str:
    """A shape as TensorFlow prints it: "[2,3]", with "?" for what is not known."""
    return f"[{','.join('?' if size < 0 else str(size) for size in shape)}]"


def _shape(proto: TensorShapeProto) -> tuple[int, ...]:
    shape = tuple([dim.size for dim in proto.dim])
    if proto.unknown_rank or (shape and min(shape) < 0):
        raise _invalid("its shape is not fully known")
    if len(shape) > MAX_RANK:
        raise _invalid(f"its rank {len(shape)} is greater than {MAX_RANK}")
    return shape


@lru_cache(maxsize=1024)
def _shape_proto(shape: tuple[int, ...]) -> TensorShapeProto:
    """To be copied, not to be changed."""
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])


def _from_field(values: Any, known: _Type) -> np.ndarray:
    if known.field == "string_val":
        return _strings(values)
    if known.form == "bytes":
        return np.frombuffer(values, known.carrier).view(known.dtype)
    if known.form == "bits":
        return np.fromiter(values, np.int32, len(values)).astype(known.carrier).view(known.dtype)
    flat = np.fromiter(values, known.carrier, len(values))
    if known.form == "parts":
        return flat.view(known.dtype)
    return flat if known.carrier is known.dtype else flat.astype(known.dtype)


def _from_content(content: bytes, known: _Type, size: int) -> np.ndarray:
    if known.field == "string_val":
        return _strings(_split_strings(content, size))
    if known.field == "bool_val":
        return np.frombuffer(content, np.uint8) != 0
    flat = np.frombuffer(content, known.dtype)
    return flat if sys.byteorder == "little" else flat.byteswap()


def _bytes_of_text(one: np.ndarray) -> int:
    """What each copy of one value takes where TensorFlow copies its text, too; 1 for a number."""
    return max(1, len(one[0])) if one.dtype.kind == "O" else 1


def _strings(values: Iterable[bytes]) -> np.ndarray:
    array = np.empty(len(listed := list(values)), object)
    array[:] = listed
    return array


def _split_strings(content: bytes, size: int) -> list[bytes]:
    """The strings of a tensor_content: the lengths of all as varints, then the bytes of all."""
    if size > len(content):
        raise ValueError(f"{size} strings do not fit into {len(content)} bytes")
    lengths, at = [], 0
    for _ in range(size):
        length, at = _varint(content, at)
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise ValueError("the lengths of its strings do not add up")
    strings = []
    for length in lengths:
        strings.append(content[at : at + length])
        at += length
    return strings


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A varint of at most 32 bits and where it ends."""
    value = 0
    for position, byte in enumerate(content[at : at + 5]):
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value, at + position + 1
    raise ValueError("the length of a string is not a varint")


def _as_bytes(values: list[Any]) -> list[bytes]:
    return [value.encode() if isinstance(value, str) else value for value in values]


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
