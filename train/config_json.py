"""Frozen dataclasses as JSON and back, every value checked against the field's type."""

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def jsonable(value: Any) -> Any:
    """Return dataclasses, tuples and paths as JSON's objects, arrays and strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [jsonable(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def parsed(kind: type[T], value: object) -> T:
    """Return the dataclass `kind` that a JSON object describes; every field must be there.

    Raises:
        ValueError: a field is missing, unknown or of the wrong type; the message names it.
    """
    return _read(kind, value, kind.__name__)


def _read(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _read_object(hint, value, where)
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value if value in choices else _refuse(where, f"one of {choices}", value)
    if origin in (Union, types.UnionType):
        (inner,) = (choice for choice in choices if choice is not types.NoneType)
        return None if value is None else _read(inner, value, where)
    if origin is tuple:
        return _read_tuple(choices, value, where)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and type(value) in (int, float):
        return float(value)
    return value if type(value) is hint else _refuse(where, f"a {hint.__name__}", value)


def _read_object(hint: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        _refuse(where, "an object", value)
    hints = {field.name: get_type_hints(hint)[field.name] for field in dataclasses.fields(hint)}
    if strange := sorted(set(value) ^ set(hints)):
        raise ValueError(f"{where} lacks or does not know {', '.join(strange)}")
    return hint(**{name: _read(hints[name], value[name], f"{where}.{name}") for name in hints})


def _read_tuple(parts: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        _refuse(where, "an array", value)
    endless = len(parts) == 2 and parts[1] is Ellipsis
    hints = (parts[0],) * len(value) if endless else parts
    if len(hints) != len(value):
        _refuse(where, f"an array of {len(hints)}", value)
    rows = enumerate(zip(hints, value, strict=True))
    return tuple(_read(hint, part, f"{where}[{i}]") for i, (hint, part) in rows)


def _refuse(where: str, wanted: str, found: object) -> Any:
    raise ValueError(f"{where} must be {wanted}, found {found!r}")
