"""A frozen schema as a file: reading it with every fault told by line, and writing it for people to review."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from data.errors import UserError
from data.source import NEW, OLD, SPAN
from data.whole_file import put_file

REMEDY = "mend it, or write it anew: tfx-bert schema freeze CONFIG --force"


class SchemaError(UserError):
    """A schema file cannot be read; the message names it, the line and the remedy."""


def read_schema(file: Path) -> schema_pb2.Schema:
    """Reads a schema.pbtxt.

    Raises:
      SchemaError: there is no such file, it is no schema, or it contradicts itself.
    """
    try:
        schema = text_format.Parse(file.read_text(encoding="utf-8"), schema_pb2.Schema())
    except OSError as error:
        raise SchemaError(
            f"data.schema_file: {file} cannot be read ({error.strerror}): name another file, or write this one: "
            "tfx-bert schema freeze CONFIG"
        ) from None
    except UnicodeDecodeError as error:
        raise SchemaError(f"{file}: this is no schema, it is not UTF-8 (byte {error.start}): {REMEDY}") from None
    except text_format.ParseError as error:
        where = "".join(f":{number}" for number in (error.GetLine(), error.GetColumn()) if number is not None)
        what = str(error).partition(" : ")[2] or str(error)
        raise SchemaError(f"{file}{where}: this is no schema: {what.strip().removesuffix('.')}: {REMEDY}") from None
    problems = _problems(schema)
    if problems:
        raise SchemaError("\n".join(f"{file}: {problem}: {REMEDY}" for problem in problems))
    return schema


def _problems(schema: schema_pb2.Schema) -> list[str]:
    """What TFDV would take without a word, or tell as a fault of the data."""
    names = Counter(feature.name for feature in schema.feature)
    domains = {domain.name for domain in schema.string_domain}
    found = [] if names else ["it describes no column"]
    found += [f"the column {name!r} is there {n} times" for name, n in names.items() if n > 1]
    for feature in schema.feature:
        if not feature.name or not feature.type:
            found.append(f"the feature {feature.name!r} needs a name and a type (INT, FLOAT or BYTES)")
        if feature.domain and feature.domain not in domains:
            found.append(f"the column {feature.name!r} has the domain {feature.domain!r}, which no string_domain is")
    return found


def write_schema(schema: schema_pb2.Schema, file: Path, header: str = "") -> None:
    """Writes a schema whole or not at all, `header` before it, a comment for each line."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    put_file(file, (comment + text_format.MessageToString(schema, as_utf8=True)).encode())


def keep_schema(file: str | None, root: Path, *, by_span: bool = False) -> str | None:
    """Writes a frozen schema under a name made of what it says, so that TFX's cache depends on that alone.

    Nothing is frozen where `file` is None. ImportSchemaGen's cache key has the path alone: an edited file under the
    same name would never be read again.

    Raises:
      SchemaError: the file cannot be used.
    """
    if file is None:
        return None
    schema = read_schema(Path(file))
    if by_span:
        _add_span(schema)
    digest = hashlib.sha256(schema.SerializeToString(deterministic=True)).hexdigest()
    kept = root / "schemas" / f"{digest[:16]}.pbtxt"
    if not kept.exists():
        write_schema(schema, kept)
    return str(kept)


def _add_span(schema: schema_pb2.Schema) -> None:
    feature = schema.feature.add(name=SPAN, type=schema_pb2.BYTES)
    feature.presence.min_fraction, feature.presence.min_count = 1, 1
    feature.shape.dim.add(size=1)
    feature.string_domain.value.extend([OLD, NEW])


def without_span(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """The schema without that column: what the data that are configured are like."""
    kept = schema_pb2.Schema()
    kept.CopyFrom(schema)
    del kept.feature[:]
    kept.feature.extend(feature for feature in schema.feature if feature.name != SPAN)
    return kept
