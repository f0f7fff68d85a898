r"""Texts with backslashes in a PostgreSQL store, which MLMD itself cannot write.

MLMD 1.21 takes libpq's quoted text and cuts off its quotes; of a text with a backslash that is E'...', of which it
leaves the E in the statement: a syntax error at best. Evaluator's settings, JSON in JSON, are such a text. What goes
into the store has another character in their place, therefore, and what comes out has them back:

    a\b  is kept as  a<U+E05C>b
    a<U+E05C>b  is kept as  a<U+E05D><U+E05C>b, the same with U+E05D: every text comes back as it was

Both are of Unicode's private use area, which no text has but by private agreement.
"""

import re
from collections.abc import Callable
from typing import Any

BACKSLASH, AS_IT_IS = "\ue05c", "\ue05d"
_OURS = re.compile(f"[{BACKSLASH}{AS_IT_IS}]")
_KEPT = re.compile(f"{AS_IT_IS}(.)|{BACKSLASH}")
# In UTF-8, as messages hold them: whether there is anything to do is seen at once.
_BEFORE = re.compile(b"\\\\|\xee\x81[\x9c\x9d]")
_AFTER = re.compile(b"\xee\x81[\x9c\x9d]")


def kept(text: str) -> str:
    """A text as the store has it."""
    return _OURS.sub(rf"{AS_IT_IS}\g<0>", text).replace("\\", BACKSLASH)


def given(text: str) -> str:
    """A text of the store as it was."""
    return _KEPT.sub(lambda found: found[1] or "\\", text)


def to_store(message: Any) -> Any:
    """A message whose texts are as the store has them: itself where it has no such text, else a copy."""
    if not _BEFORE.search(message.SerializeToString()):
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    _replace(copy, kept)
    return copy


def from_store(message: Any) -> None:
    """Gives a message's texts back what they had."""
    if _AFTER.search(message.SerializeToString()):
        _replace(message, given)


def _replace(message: Any, change: Callable[[str], str]) -> None:
    """Changes all texts of a message and of those in it; keys of maps are names, and stay."""
    for field, value in message.ListFields():
        if field.message_type and field.message_type.GetOptions().map_entry:
            of_value = field.message_type.fields_by_name["value"]
            for key in list(value):
                if of_value.message_type:
                    _replace(value[key], change)
                elif of_value.type == of_value.TYPE_STRING:
                    value[key] = change(value[key])
        elif field.message_type:
            for each in value if field.is_repeated else [value]:
                _replace(each, change)
        elif field.type == field.TYPE_STRING and field.is_repeated:
            value[:] = [change(each) for each in value]
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, change(value))
