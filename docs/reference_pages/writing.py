"""Markdown, and what docstrings and signatures become in it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from textwrap import dedent
from types import ModuleType
from typing import Any


def required(text: str | None, complaint: str) -> str:
    """Return *text*, or end with *complaint* when there is none."""
    if not text or not text.strip():
        raise SystemExit(f"undocumented: {complaint}")
    return text


def prose(thing: ModuleType | type | Any) -> str:
    """Return the docstring of *thing* as Markdown."""
    name = getattr(thing, "__qualname__", getattr(thing, "__name__", str(thing)))
    return markdown(required(inspect.getdoc(thing), f"{name} has no docstring"))


def first_paragraph(thing: Any) -> str:
    """Return the beginning of the docstring of *thing*."""
    return prose(thing).partition("\n\n")[0]


def markdown(text: str) -> str:
    """Return a docstring with the marks of reStructuredText made Markdown."""
    text = re.sub(r":\w+:`~?(?:imageport\.(?=[A-Z]))?([\w.]+)`", r"`\1`", text)
    text = text.replace("``", "`")
    return re.sub(r"^(.*)::\n\n((?:(?:    .*)?\n?)+)", _literal, text, flags=re.MULTILINE).strip()


def _literal(found: re.Match[str]) -> str:
    lead = f"{found[1]}:\n\n" if found[1] else ""
    return f"{lead}```python\n{dedent(found[2]).strip()}\n```\n\n"


def signature(name: str, function: Any) -> str:
    """Return the definition line of *function*, without self."""
    return f"def {one_line(name, function)}{returns(function)}"


def one_line(name: str, function: Any) -> str:
    """Return *function* with its arguments, without self and cls."""
    found = inspect.signature(function)
    own = [param for param in found.parameters.values() if param.name not in ("self", "cls")]
    shown = str(found.replace(parameters=own, return_annotation=found.empty))
    return name + re.sub(r": '([^']*)'", r": \1", shown)


def returns(function: Any) -> str:
    """Return the result type of *function* as it is written after its arguments."""
    result = inspect.signature(function).return_annotation
    return "" if result is inspect.Signature.empty else f" -> {result}"


def plain_type(kind: Any) -> str:
    """Return a type as people read it."""
    text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    text = re.sub(r"\b[a-z]\w*(?:\.[a-z]\w*)*\.(?=[A-Z])", "", text)
    text = re.sub(r"Literal\[(.*)\]", lambda found: found[1].replace(", ", " | "), text)
    return f"`{text}`"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def fenced(language: str, text: str) -> str:
    """Return a code block."""
    return f"```{language}\n{text.strip()}\n```"
