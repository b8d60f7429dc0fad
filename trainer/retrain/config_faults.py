"""What is wrong with a retraining's settings, in words that name the key and what it should be."""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

__all__ = ["fault_of"]

_UNQUOTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "int_type": "a whole number without quotes",
        "float_type": "a number without quotes",
        "bool_type": "true or false without quotes",
    }
)


def fault_of(path: Path, settings: type[BaseModel], error: ValidationError) -> str:
    """A sentence on the first thing that is wrong.

    Args:
        path: of the file.
        settings: what it was read as.
        error: of reading it.
    """
    first = min(error.errors(), key=lambda fault: fault["type"] == "missing")  # a slip in a key comes before its lack
    place = first["loc"]
    key = ".".join(map(str, place)) or "the file"
    if first["type"] == "extra_forbidden":
        return f"{path}: {key} is no key here{_instead(settings, place)}; see docs/retraining.md."
    expected = _expected(first["type"], first["msg"], first["input"])
    told = first["type"] == "missing" or isinstance(first["input"], dict) or repr(first["input"]) in expected
    got = "" if told else f", got {first['input']!r}"
    return f"{path}: {key} is not what it should be ({expected}){got}; see docs/retraining.md."


def _expected(kind: str, message: str, got: object) -> str:
    if kind == "tuple_type":
        return f"a list such as [{json.dumps(got if isinstance(got, str) else 'vase', ensure_ascii=False)}]"
    if kind == "missing":
        return "it must be given"
    return _UNQUOTED.get(kind, message.removeprefix("Value error, ").rstrip("."))


def _instead(settings: type[BaseModel], place: Sequence[int | str]) -> str:
    """The nearest key, or those that there are."""
    keys = list(_table(settings, place[:-1]).model_fields)
    near = get_close_matches(str(place[-1]), keys, n=1)
    return f": is {near[0]} meant?" if near else f"; there are {', '.join(keys)}"


def _table(settings: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel]:
    """The settings that a table of the file is read as."""
    for part in place:
        kind: Any = settings.model_fields[str(part)].annotation
        kinds = (kind, *get_args(kind))
        settings = next(one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel))
    return settings
