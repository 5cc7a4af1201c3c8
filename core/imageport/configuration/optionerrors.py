"""Turn errors of pydantic into messages for users."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from imageport.errors import KeyPath, Problem
from imageport.text import did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from imageport.configuration.yamlfile import YamlFile

_MESSAGES = {
    "missing": "is required",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large: a number has at most 64 bits",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "path_type": "must be a path",
    "ip_v4_address": "must be an IPv4 address",
    "ip_v6_address": "must be an IPv6 address",
    "ip_v4_network": "must be an IPv4 network",
    "ip_v6_network": "must be an IPv6 network",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}


def model_problems(
    file: YamlFile, error: ValidationError, model: type[BaseModel], prefix: Sequence[str | int] = ()
) -> list[Problem]:
    """Return the mistakes in *error*, met when *model* was made of the value at *prefix* in *file*."""
    messages: dict[KeyPath, list[str]] = {}
    for detail in error.errors(include_url=False):
        path = _key_path(file, tuple(prefix), detail)
        message = _message(detail, model)
        if message not in messages.setdefault(path, []):
            messages[path].append(message)
    # A union has one complaint for each of its members.
    return [file.problem(path, ", or ".join(found)) for path, found in messages.items()]


def add_unreported(problems: list[Problem], found: Iterable[Problem]) -> None:
    """Add *found* to *problems*, except for values with a reported problem."""
    reported = {(problem.file, problem.line, problem.column) for problem in problems}
    problems += [problem for problem in found if (problem.file, problem.line, problem.column) not in reported]


def _key_path(file: YamlFile, path: KeyPath, detail: ErrorDetails) -> KeyPath:
    """Return where the mistake is; pydantic's own markers, such as the member of a union, are left out."""
    *parents, last = detail["loc"] or ("",)
    for part in parents:
        if file.has((*path, part)):
            path = (*path, part)
    if detail["loc"] and (detail["type"] == "missing" or file.has((*path, last))):
        path = (*path, last)
    return path


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind = detail["type"]
    context = {name: _plain(value) for name, value in detail.get("ctx", {}).items()}
    if kind == "extra_forbidden":
        *parents, name = detail["loc"]
        known = sorted({known for inner in _models_at(model, parents) for known in _option_names(inner)})
        return "unknown option" + (
            did_you_mean(str(name), known) or f" (known: {', '.join(known) or 'none'})"
        )
    if kind in ("literal_error", "enum"):
        choices = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        one_of = "one of " if len(choices) > 1 else ""
        return f"must be {one_of}{', '.join(choices)}{did_you_mean(str(detail['input']), choices)}"
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return f"must match the pattern {context['pattern']}{_described(detail, model)}"
    if kind == "string_type":
        quoted = isinstance(detail["input"], (bool, int, float))
        return "must be text: put it in quotes" if quoted else "must be text"
    if kind in _MESSAGES:
        return _MESSAGES[kind].format(**context)
    return re.sub(r"^(Input|Value) (should )?", lambda found: "must " if found[2] else "", detail["msg"])


def _described(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Return the description of the option in parentheses, if it has one."""
    *parents, name = detail["loc"]
    fields = [field for inner in _models_at(model, parents) for field in inner.model_fields.items()]
    found = next((field.description for known, field in fields if name in (known, field.alias)), None)
    return f" ({found.rstrip('.')})" if found else ""


def _plain(value: Any) -> Any:
    """Write 0 rather than 0.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _option_names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name


def _models_at(model: type[BaseModel], location: Sequence[str | int]) -> list[type[BaseModel]]:
    models = [model]
    for part in location:
        inside = [
            inner
            for outer in models
            for name, field in outer.model_fields.items()
            if part in (name, field.alias)
            for inner in _models_in(field.annotation)
        ]
        models = inside or models
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models_in(argument)
