"""JSON of the REST API: requests into protos and responses into text, with TF Serving's forms, checks and messages.

Pure functions. What a client can get wrong raises ServingError, mostly INVALID_ARGUMENT. Two things differ from
TF Serving on purpose: messages show at most `SHOWN_CHARACTERS` of a value, and text that is not UTF-8 is answered with
replacement characters, so that an answer is JSON whatever was asked.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import Any

import grpc
import numpy as np
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.example.feature_pb2 import Feature
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest, ClassificationResult
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResult

from serving.server.errors import ServingError

SHOWN_CHARACTERS = 1024
"""How much of a client's own value a message repeats."""

InputsOf = Callable[[str], Mapping[str, TensorInfo]]
"""The inputs of a signature by alias; the signature's name is "" for the default one."""


class Format(Enum):
    """In which of the two ways a predict request gives its tensors; the response follows it."""

    ROW = "predictions"
    COLUMNAR = "outputs"


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


# Reading JSON


_UTF8_MARK = b"\xef\xbb\xbf"
# What a double cannot hold has an exponent of three digits, or 210 digits before it. Neither pattern looks at a byte
# more than a few times, whatever the body is: strings may end with it, digits are counted from the first one on, and
# possessive quantifiers do not go back.
_MAYBE_TOO_BIG = re.compile(rb"[eE]\+?\d{3}|(?<!\d)\d{210}")
_STRING_OR_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?', re.DOTALL)
_STRING_OR_BRACKET = re.compile(r'"(?:\\.|[^"\\])*"|[\[\]{}]', re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Extra data": "The document root must not be followed by other values.",
    "Unterminated string": "Missing a closing quotation mark in string.",
    "Invalid control character": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
_AFTER_NUMBER = {".": "Missing fraction part in number.", "e": "Missing exponent in number."}


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request's body. NaN, Infinity and -Infinity are numbers.

    Bytes that are not UTF-8 become surrogate escapes, so that they reach a string tensor as they were sent.
    """
    if not body:
        raise _invalid("JSON Parse error: The document is empty")
    body = body.removeprefix(_UTF8_MARK)
    if not body.strip():
        raise _parse_error("The document is empty.", len(body))
    _refuse_too_big(body)
    text = body.decode("utf-8", "surrogateescape")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode("utf-8", "surrogateescape"))
        reason = _reason(error, text)
        raise _parse_error(reason, offset + (reason in _AFTER_NUMBER.values())) from None
    except RecursionError:
        raise _invalid("JSON Parse error: The document is nested too deeply.") from None
    if b"\\u" in body:
        _refuse_lone_surrogates(body)
    if not isinstance(document, dict):
        raise _invalid(f"JSON Value: {_shown(document)} Is not object")
    return document


def _parse_error(reason: str, offset: int) -> ServingError:
    return _invalid(f"JSON Parse error: {reason} at offset: {offset}")


def _reason(error: json.JSONDecodeError, text: str) -> str:
    """What TF Serving's parser would say of the same place."""
    at, before = text[error.pos : error.pos + 1].lower(), text[error.pos - 1 : error.pos]
    if at in _AFTER_NUMBER and before.isdigit():
        return _AFTER_NUMBER[at]
    if error.msg.startswith("Expecting ',' delimiter"):
        if _innermost(text[: error.pos]) == "{":
            return "Missing a comma or } after an object member."
        return "Missing a comma or ] after an array element."
    return next((said for message, said in _PARSE_ERRORS.items() if error.msg.startswith(message)), "Invalid value.")


def _innermost(text: str) -> str:
    """The bracket that is open at the end of the beginning of a document."""
    opened = [""]
    for token in _STRING_OR_BRACKET.findall(text):
        if token in ("{", "["):
            opened.append(token)
        elif token in ("}", "]"):
            opened.pop()
    return opened[-1]


def _refuse_too_big(body: bytes) -> None:
    """Python would read such a number as infinite, or not at all."""
    if _MAYBE_TOO_BIG.search(body):
        for token in _STRING_OR_NUMBER.finditer(body):
            if not token[0].startswith(b'"') and math.isinf(float(token[0])):
                raise _parse_error("Number too big to be stored in double.", token.start())


def _refuse_lone_surrogates(body: bytes) -> None:
    """Python reads an escaped half of a surrogate pair as a character; UTF-8 has none for it."""
    low_expected_at = None
    start = 0
    for escape in _ESCAPE.finditer(body):
        code = int(escape[1], 16) if escape[1] else 0
        if low_expected_at is not None:
            if escape.start() != low_expected_at or not 0xDC00 <= code < 0xE000:
                break
            low_expected_at = None
        elif 0xD800 <= code < 0xE000:
            start = escape.start()
            if code >= 0xDC00:
                raise _parse_error("The surrogate pair in string is invalid.", start)
            low_expected_at = escape.end()
    if low_expected_at is not None:
        raise _parse_error("The surrogate pair in string is invalid.", start)


def _shown(value: Any) -> str:
    """A value as messages repeat it."""
    if type(value) is float:
        return _decimal(value, single=False)
    try:
        text = json.dumps(value, indent=4, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply)"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...TRUNCATED"


def _type_name(value: Any) -> str:
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", bool: str(value)}
    return names.get(type(value), "Null")


def _fill_signature(document: Mapping[str, Any], request: Any) -> str:
    """Sets the signature's name if the request has one, and returns it."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _invalid(
            f"JSON Value: {_shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    name = _message_text(name)
    request.model_spec.signature_name = name
    return name


def _message_text(text: str) -> str:
    """A client's text as a proto's string can hold it: UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# Values of tensors


def _dtype_name(dtype: int) -> str:
    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()


def _type_error(value: Any, dtype: int) -> ServingError:
    return _invalid(
        f"JSON Value: {_shown(value)} Type: {_type_name(value)} is not of expected type: {_dtype_name(dtype)}"
    )


def _lossy(value: Any, target: str) -> ServingError:
    return _invalid(f"Cannot convert JSON value: {_shown(value)} to {target} without loss of precision.")


_UINT64_MAX, _INT64_MIN = 2**64 - 1, -(2**63)
_FLOAT_MAX = float(np.finfo(np.float32).max)


def _is_integer(value: Any) -> bool:
    """Whether a JSON value is an integer to TF Serving's parser: a larger one is a double to it."""
    return type(value) is int and _INT64_MIN <= value <= _UINT64_MAX


def _to_float(value: Any, dtype: int) -> float:
    """A number as float or double; what would not keep its value is refused, infinities and NaN are not."""
    single = dtype == types_pb2.DT_FLOAT
    if type(value) is int and not _is_integer(value):
        value = float(value)
    if type(value) is float:
        if single and not -_FLOAT_MAX <= value <= _FLOAT_MAX and math.isfinite(value):
            raise _lossy(value, "float")
        return value
    if type(value) is not int:
        raise _type_error(value, dtype)
    if abs(value) >= 2 ** (24 if single else 53):
        raise _lossy(value, "float" if single else "double")
    return float(value)


_INTEGERS = {
    types_pb2.DT_INT32: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT16: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT8: (-(2**31), 2**31 - 1),
    types_pb2.DT_UINT8: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT64: (_INT64_MIN, 2**63 - 1),
    types_pb2.DT_UINT32: (0, 2**32 - 1),
    types_pb2.DT_UINT64: (0, _UINT64_MAX),
}


def _to_int(value: Any, dtype: int) -> int:
    """A number written without fraction, in the range of the proto's field."""
    least, most = _INTEGERS[dtype]
    if type(value) is not int or not least <= value <= most:
        raise _type_error(value, dtype)
    return value


def _to_bool(value: Any, dtype: int) -> bool:
    if type(value) is not bool:
        raise _type_error(value, dtype)
    return value


def _to_bytes(value: Any, dtype: int) -> bytes:
    """A string's UTF-8, or what a {"b64": ...} object stands for."""
    if type(value) is str:
        return value.encode("utf-8", "surrogateescape")
    if type(value) is dict:
        return _decoded(value)
    raise _type_error(value, dtype)


def _is_base64(value: Any) -> bool:
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def _decoded(value: dict[str, Any]) -> bytes:
    if not _is_base64(value):
        raise _invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split())
    try:
        # Padding may be left out, as TF Serving's decoder has it.
        return base64.b64decode(text if "=" in text else text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("Unable to base64 decode") from None


_CONVERTERS: dict[int, tuple[str, Callable[[Any, int], Any]]] = {
    types_pb2.DT_FLOAT: ("float_val", _to_float),
    types_pb2.DT_DOUBLE: ("double_val", _to_float),
    types_pb2.DT_INT32: ("int_val", _to_int),
    types_pb2.DT_INT16: ("int_val", _to_int),
    types_pb2.DT_INT8: ("int_val", _to_int),
    types_pb2.DT_UINT8: ("int_val", _to_int),
    types_pb2.DT_STRING: ("string_val", _to_bytes),
    types_pb2.DT_INT64: ("int64_val", _to_int),
    types_pb2.DT_BOOL: ("bool_val", _to_bool),
    types_pb2.DT_UINT32: ("uint32_val", _to_int),
    types_pb2.DT_UINT64: ("uint64_val", _to_int),
}


def _unimplemented(value: Any, dtype: int) -> ServingError:
    if type(value) is dict:
        return _type_error(value, dtype)
    message = f"Conversion of JSON Value: {_shown(value)} to type: {_dtype_name(dtype)}"
    return ServingError(grpc.StatusCode.UNIMPLEMENTED, message)


def _fill_tensor(value: Any, dtype: int, tensor: TensorProto) -> None:
    """Sets a tensor's type, shape and values from a value or from lists of one depth and width."""
    shape = _shape_of(value)
    values: list[Any] = []
    field, convert = _CONVERTERS.get(dtype, ("", _refuse_type))
    _collect(value, 0, shape, dtype, convert, values)
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    if not shape:
        tensor.tensor_shape.SetInParent()
    if values:
        getattr(tensor, field).extend(values)


def _refuse_type(value: Any, dtype: int) -> None:
    raise _unimplemented(value, dtype)


def _shape_of(value: Any) -> list[int]:
    """Of nested lists, going by the first element of each."""
    shape: list[int] = []
    while type(value) is list:
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _collect(
    value: Any, level: int, shape: Sequence[int], dtype: int, convert: Callable[[Any, int], Any], values: list[Any]
) -> None:
    """Appends the values of nested lists in their order, checking each list against the shape."""
    rank = len(shape)
    if type(value) is not list:
        if level != rank:
            raise _invalid(
                f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {rank}"
            )
        values.append(convert(value, dtype))
        return
    if level >= rank:
        raise _invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise _invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    leaves = level + 1 == rank
    for item in value:
        if leaves and type(item) is not list:
            values.append(convert(item, dtype))
        else:
            _collect(item, level + 1, shape, dtype, convert, values)


# Predict


def fill_predict_request(body: bytes, inputs_of: InputsOf, request: PredictRequest) -> Format:
    """Sets the signature's name and the inputs of a request from its JSON.

    Args:
      inputs_of: is asked once the body is known to be JSON, as TF Serving does; may raise ServingError.
    """
    document = parse_object(body)
    name = _fill_signature(document, request)
    inputs = inputs_of(name)
    if not inputs:
        raise _invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" in document:
        if "inputs" in document:
            raise _invalid(
                f"JSON Value: {_shown(document)} Not formatted correctly expecting only one of 'inputs' or "
                "'instances' keys to exist "
            )
        instances = document["instances"]
        if type(instances) is not list:
            raise _invalid(f"JSON Value: {_shown(document)} Excepting 'instances' to be an list/array")
        if not instances:
            raise _invalid(f"JSON Value: {_shown(document)} No values in 'instances' array")
        _guarded(_fill_rows, instances, inputs, request)
        return Format.ROW
    if "inputs" not in document:
        raise _invalid("Missing 'inputs' or 'instances' key")
    _guarded(_fill_columns, document["inputs"], inputs, request)
    return Format.COLUMNAR


def _guarded(fill: Callable[..., None], *arguments: Any) -> None:
    try:
        fill(*arguments)
    except RecursionError:
        raise _invalid("JSON Parse error: The document is nested too deeply.") from None


def _fill_columns(value: Any, inputs: Mapping[str, TensorInfo], request: PredictRequest) -> None:
    if type(value) is not dict or _is_base64(value):
        if len(inputs) > 1:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {next(iter(inputs)): value}
    for name in sorted(inputs):
        if name not in value:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
        _fill_tensor(value[name], inputs[name].dtype, request.inputs[name])


def _fill_rows(instances: list[Any], inputs: Mapping[str, TensorInfo], request: PredictRequest) -> None:
    if type(instances[0]) is not dict and len(inputs) > 1:
        raise _invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns = _columns(instances, sorted(inputs))
    for name, values in columns.items():
        try:
            _fill_tensor(values, inputs[name].dtype, request.inputs[name])
        except ServingError:
            # Row by row, something must be wrong as well; it is said of the row.
            _check_rows(instances, inputs)
            raise


def _columns(instances: list[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """The values of each input in all rows."""
    if type(instances[0]) is not dict or _is_base64(instances[0]):
        for at, item in enumerate(instances):
            if type(item) is dict and not _is_base64(item):
                raise _invalid(f"Expecting value/list but got object at item {at} of input list")
        return {names[0]: instances}
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for at, item in enumerate(instances):
        if type(item) is not dict or _is_base64(item):
            raise _invalid(f"Expecting object but got list at item {at} of input list")
        for name in item:
            if name not in columns:
                raise _failed(at, name, _no_input(name))
        if len(item) != len(columns):
            raise _invalid(
                f"Failed to process element: {at} of 'instances' list. JSON object: {_shown(item)} keys must be "
                f"equal to: {','.join(names)}"
            )
        for name, column in columns.items():
            column.append(item[name])
    return columns


def _check_rows(instances: list[Any], inputs: Mapping[str, TensorInfo]) -> None:
    """Says which row cannot be converted, or differs in its shape from the first."""
    shapes: dict[str, list[int]] = {}
    for at, item in enumerate(instances):
        named = type(item) is dict and not _is_base64(item)
        for name, value in item.items() if named else [(min(inputs), item)]:
            try:
                _fill_tensor(value, inputs[name].dtype, TensorProto())
                _check_shape(_shape_of(value), shapes.setdefault(name, _shape_of(value)))
            except ServingError as error:
                raise _failed(at, name if named else None, error) from None


def _check_shape(shape: list[int], expected: list[int]) -> None:
    if math.prod(shape) != math.prod(expected):
        raise _invalid(f"Expecting tensor size: {math.prod(expected)} but got: {math.prod(shape)}")
    if shape != expected:
        raise _invalid(f"Expecting shape {_shape_text(expected)} but got: {_shape_text(shape)}")


def _shape_text(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _no_input(name: str) -> ServingError:
    return _invalid(f"JSON object: does not have named input: {name}")


def _failed(row: int, name: str | None, error: ServingError) -> ServingError:
    key = "" if name is None else f" key: {name}"
    return _invalid(
        f"Failed to process element: {row}{key} of 'instances' list. Error: {error.code.name}: {error.message}"
    )


def predict_json(outputs: Mapping[str, TensorProto], form: Format) -> bytes:
    """The response of predict: a bare value where there is one output, else one by name, in alphabetical order.

    Strings of outputs whose name ends in `_bytes` are written as {"b64": ...}.
    """
    if not outputs:
        raise _invalid("Cannot convert empty tensor map to JSON")
    tensors = {name: outputs[name] for name in sorted(outputs)}
    text = _rows_text(tensors) if form is Format.ROW else _columns_text(tensors)
    return f'{{\n    "{form.value}": {text}\n}}'.encode()


def _rows_text(tensors: Mapping[str, TensorProto]) -> str:
    batch = -1
    for name, tensor in tensors.items():
        dims = tensor.tensor_shape.dim
        if not dims:
            raise _invalid(f"Tensor name: {name} has no shape information ")
        if batch >= 0 and dims[0].size != batch:
            raise _invalid(
                f"Tensor name: {name} has inconsistent batch size: {dims[0].size} expecting: {batch}",
            )
        batch = dims[0].size
    if batch == 0:
        return "[]"
    named = len(tensors) > 1
    columns = [_row_texts(name, tensor, 3 if named else 2) for name, tensor in tensors.items()]
    if not named:
        # The array's end stands on a line of its own, its values do not.
        return f"[{', '.join(columns[0])}\n    ]"
    keys = [f"{' ' * 12}{_quoted(name)}: " for name in tensors]
    rows = (",\n".join(key + value for key, value in zip(keys, row, strict=True)) for row in zip(*columns, strict=True))
    return "[" + ",".join(f"\n        {{\n{row}\n        }}" for row in rows) + "\n    ]"


def _row_texts(name: str, tensor: TensorProto, level: int) -> list[str]:
    """The value of each row on one line."""
    batch, *inner = (dim.size for dim in tensor.tensor_shape.dim)
    values = _tokens(name, tensor, level + len(inner))
    if not inner:
        return values
    tokens = iter(values)
    return [_one_line(tokens, inner) for _ in range(batch)]


def _one_line(tokens: Iterator[str], shape: Sequence[int]) -> str:
    if not shape:
        return next(tokens)
    if len(shape) == 1:
        return f"[{', '.join(islice(tokens, shape[0]))}]"
    return f"[{', '.join(_one_line(tokens, shape[1:]) for _ in range(shape[0]))}]"


def _columns_text(tensors: Mapping[str, TensorProto]) -> str:
    if len(tensors) == 1:
        [(name, tensor)] = tensors.items()
        return _column_text(name, tensor, 1)
    columns = (f"{' ' * 8}{_quoted(name)}: {_column_text(name, tensor, 2)}" for name, tensor in tensors.items())
    return "{\n" + ",\n".join(columns) + "\n    }"


def _column_text(name: str, tensor: TensorProto, level: int) -> str:
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    return _lines(iter(_tokens(name, tensor, level + len(shape))), shape, level)


def _lines(tokens: Iterator[str], shape: Sequence[int], level: int) -> str:
    """A value with each element on a line of its own. `level` is the number of brackets around it."""
    if not shape:
        return next(tokens)
    if not shape[0]:
        return "[]"
    indent = "\n" + " " * 4 * (level + 1)
    return f"[{','.join(indent + _lines(tokens, shape[1:], level + 1) for _ in range(shape[0]))}\n{' ' * 4 * level}]"


def _tokens(name: str, tensor: TensorProto, level: int) -> list[str]:
    """A tensor's values in JSON, in their order. `level` is the number of brackets around each."""
    dtype = tensor.dtype
    if dtype == types_pb2.DT_STRING:
        strings = _values(tensor, "string_val")
        if not name.endswith("_bytes"):
            return [_quoted(string.decode("utf-8", "replace")) for string in strings]
        outer, inner = "\n" + " " * 4 * level, "\n" + " " * 4 * (level + 1)
        return [f'{{{inner}"b64": "{base64.b64encode(string).decode()}"{outer}}}' for string in strings]
    if dtype == types_pb2.DT_HALF:
        halves = np.array(_values(tensor, "half_val"), np.uint16).view(np.float16)
        return [_decimal(value, single=True) for value in halves.astype(np.float64).tolist()]
    if dtype not in _CONVERTERS:
        raise _invalid(f"Failed to write JSON value for tensor type: {_dtype_name(dtype)}")
    values = _values(tensor, _CONVERTERS[dtype][0])
    if dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE):
        return [_decimal(value, single=dtype == types_pb2.DT_FLOAT) for value in values]
    if dtype == types_pb2.DT_BOOL:
        return ["true" if value else "false" for value in values]
    return [str(value) for value in values]


def _values(tensor: TensorProto, field: str) -> Sequence[Any]:
    """A tensor's values; one that is packed otherwise than value by value is unpacked first."""
    values: Sequence[Any] = getattr(tensor, field)
    if len(values) == math.prod(dim.size for dim in tensor.tensor_shape.dim):
        return values
    from serving.server.tensors import to_array

    array = to_array(tensor).reshape(-1)
    return array.view(np.uint16).tolist() if field == "half_val" else array.tolist()


_ESCAPES = {code: f"\\u{code:04X}" for code in range(0x20)} | {
    ord(character): escape
    for character, escape in zip('"\\\b\f\n\r\t', ('\\"', "\\\\", "\\b", "\\f", "\\n", "\\r", "\\t"), strict=True)
}


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


_SINGLE = struct.Struct("f")


def _decimal(value: float, *, single: bool) -> str:
    """A float's shortest of two forms, six digits or all of them, such that no number looks like an integer."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = f"{value:g}"
    if single:
        if _SINGLE.unpack(_SINGLE.pack(float(text)))[0] != value:
            text = f"{value:.9g}"
    elif float(text) != value:
        text = f"{value:.17g}"
    return text if "." in text or "e" in text else text + ".0"


# Classify and regress


def fill_examples_request(body: bytes, request: ClassificationRequest | RegressionRequest) -> None:
    """Sets the signature's name and the examples, with or without context, of a request from its JSON."""
    document = parse_object(body)
    _fill_signature(document, request)
    examples = request.input.example_list.examples
    if "context" in document:
        with_context = request.input.example_list_with_context
        _fill_example(document["context"], with_context.context)
        examples = with_context.examples
    if "examples" not in document:
        raise _invalid(
            f"JSON Value: {_shown(document)} When method is classify, key 'examples' is expected and was not found"
        )
    if type(document["examples"]) is not list:
        raise _invalid(f"JSON Value: {_shown(document)} Expecting 'examples' value to be an list/array")
    if not document["examples"]:
        raise _invalid(f"JSON Value: {_shown(document)} 'examples' value is an empty array")
    for value in document["examples"]:
        _fill_example(value, examples.add())


def _fill_example(value: Any, example: Example) -> None:
    if type(value) is not dict:
        raise _invalid(f"Example must be JSON object but got JSON {_type_name(value)}")
    example.SetInParent()
    for name, content in value.items():
        feature = example.features.feature[_message_text(name)]
        feature.SetInParent()
        for item in content if type(content) is list else [content]:
            _add_to_feature(item, name, feature)


_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def _add_to_feature(value: Any, name: str, feature: Feature) -> None:
    """Appends a value; the first one decides of what kind the feature's values are."""
    kind, converted = _feature_value(value, name)
    is_kind = feature.WhichOneof("kind")
    if is_kind not in (None, kind):
        raise _invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[str(is_kind)]}")
    getattr(feature, kind).value.append(converted)


def _feature_value(value: Any, name: str) -> tuple[str, Any]:
    if type(value) is bool:
        return "int64_list", int(value)
    if type(value) is str:
        return "bytes_list", value.encode("utf-8", "surrogateescape")
    if _is_base64(value):
        return "bytes_list", _decoded(value)
    if _is_integer(value):
        if value >= 2**63:
            raise _invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return "int64_list", value
    if type(value) in (int, float):
        return "float_list", _to_float(float(value), types_pb2.DT_FLOAT)
    raise _invalid(f"Feature: {name} has element with unexpected JSON type: {_type_name(value)}")


def classification_json(result: ClassificationResult) -> bytes:
    """For each example a list of [label, score] pairs."""
    if not result.classifications:
        raise _invalid("Cannot convert empty ClassificationResults to JSON")
    rows = (
        ", ".join(f"[{_quoted(each.label)}, {_decimal(each.score, single=True)}]" for each in row.classes)
        for row in result.classifications
    )
    return f'{{\n    "results": [{", ".join(f"[{row}]" for row in rows)}\n    ]\n}}'.encode()


def regression_json(result: RegressionResult) -> bytes:
    """A value for each example."""
    if not result.regressions:
        raise _invalid("Cannot convert empty RegressionResults to JSON")
    values = ", ".join(_decimal(each.value, single=True) for each in result.regressions)
    return f'{{\n    "results": [{values}]\n}}'.encode()


# Status, metadata, errors


def _message_json(message: Message) -> str:
    return MessageToJson(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1)


def status_json(response: GetModelStatusResponse) -> bytes:
    return f"{_message_json(response)}\n".encode()


def metadata_json(response: GetModelMetadataResponse) -> bytes:
    """The signatures stand under signature_def twice, as in TF Serving."""
    signatures = SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return (
        f'{{\n"model_spec":{_message_json(response.model_spec)}\n,\n'
        f'"metadata": {{"signature_def": {_message_json(signatures)}\n}}\n}}\n'
    ).encode()


def error_json(message: str) -> bytes:
    return f'{{\n    "error": {_quoted(message)}\n}}'.encode("utf-8", "replace")
