"""Variables in the YAML files: ``{source.dir}``, ``{var.release}``, ``{env.TOKEN}``, ``{file.key.txt}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from imageport.configuration.paths import expanded
from imageport.errors import KeyPath, PipelineInvalid, Problem
from imageport.text import did_you_mean

if TYPE_CHECKING:
    from imageport.configuration.yamlfile import YamlFile

#: Bytes of the largest file that ``{file.PATH}`` stands for.
MAX_SECRET_SIZE = 64 << 10

#: Characters of all texts of one file together, with their variables replaced.
MAX_EXPANDED = 4 << 20

_URL_START = re.compile(r"(?:(?P<scheme>https?(?=:/)|[a-z][a-z0-9+.-]*(?=://)):)?/{0,2}", re.IGNORECASE)
_WEB_URL = re.compile(r"https?://", re.IGNORECASE)

_FORMS: Mapping[str, str] = MappingProxyType(
    {
        "source": "{source.uri}, {source.dir}, {source.name}",
        "var": "{var.NAME}",
        "env": "{env.NAME}",
        "file": "{file.PATH}",
    }
)
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class TooLarge(ValueError):
    """The texts of a file are larger than ``MAX_EXPANDED`` when their variables are filled in."""


class Variables:
    """The values of each ``{name}`` in one file.

    *values* come from ``--set`` and are taken as they are; *defaults* are ``vars:`` of the pipeline and may
    use variables themselves. ``secrets`` collects every value that came from the environment or from a file,
    and ``used`` the names of the ``{var.NAME}`` that were asked for. Paths of files are relative to *folder*.
    *scopes* are the kinds of variables that may be used here: ``source``, ``var``, ``env``, ``file``.
    """

    def __init__(
        self,
        source_uri: str | None,
        values: Mapping[str, str],
        defaults: Mapping[str, str],
        environ: Mapping[str, str],
        folder: Path = Path(),
        *,
        scopes: Collection[str] = tuple(_FORMS),
    ) -> None:
        self.source_uri = source_uri
        self.values = values
        self.defaults = defaults
        self.environ = environ
        self.folder = folder
        self.scopes = scopes
        self.secrets: set[str] = set()
        self.used: set[str] = set()
        self._open: list[str] = []
        self._expanded: dict[str, str] = {}
        self._budget = MAX_EXPANDED

    def expand(self, text: str) -> str:
        """Return *text* with every variable replaced; ``{{`` and ``}}`` are braces. Raises ``ValueError``."""
        self._spend(text)
        return _PIECE.sub(lambda found: self._spend(self._replacement(found)), text)

    def _spend(self, text: str) -> str:
        # Counted before a text is put together: a small file can stand for more than the memory holds.
        self._budget -= len(text)
        if self._budget < 0:
            raise TooLarge(f"the file has more than {MAX_EXPANDED} characters with its variables filled in")
        return text

    def _replacement(self, found: re.Match[str]) -> str:
        piece = found[0]
        if piece in ("{{", "}}"):
            return piece[0]
        if found[1] is None:
            raise ValueError(f"a single '{piece}': write '{piece * 2}' for the character itself")
        scope, _, name = found[1].partition(".")
        match scope if scope in self.scopes else None:
            case "source":
                return self._source(name)
            case "var" if name:
                return self._variable(name)
            case "env" if name:
                return self._environment(name)
            case "file" if name:
                return self._file(name)
        known = ", ".join(_FORMS[scope] for scope in self.scopes)
        raise ValueError(
            f"unknown variable '{piece}' (there are {known}); write '{{{{' and '}}}}' for the characters themselves"
        )

    def _source(self, name: str) -> str:
        parts: dict[str, Callable[[str], str]] = {"uri": str, "dir": _folder_of, "name": _name_of}
        if name not in parts:
            raise ValueError(f"unknown variable '{{source.{name}}}'{did_you_mean(name, parts)}")
        if self.source_uri is None:
            raise ValueError(f"'{{source.{name}}}' needs a source: give its address on the command line")
        return parts[name](self.source_uri)

    def _variable(self, name: str) -> str:
        self.used.add(name)
        if name in self.values:
            return self.values[name]
        if name not in self.defaults:
            near = did_you_mean(name, {*self.values, *self.defaults})
            raise ValueError(
                f"no variable '{name}'{near}: pass --set {name}=VALUE or give a default under 'vars'"
            )
        if name in self._open:
            raise ValueError(f"variable '{name}' is defined by itself")
        if name not in self._expanded:
            self._open.append(name)
            try:
                self._expanded[name] = self.expand(self.defaults[name])
            finally:
                self._open.pop()
        return self._expanded[name]

    def _environment(self, name: str) -> str:
        if name not in self.environ:
            raise ValueError(f"environment variable '{name}' is not set{did_you_mean(name, self.environ)}")
        return self._secret(self.environ[name])

    def _file(self, name: str) -> str:
        try:
            path = self.folder / expanded(name)
            if not path.is_file():
                raise ValueError(f"'{{file.{name}}}': there is no such file")
            with path.open("rb") as file:
                content = file.read(MAX_SECRET_SIZE + 1)
            if len(content) > MAX_SECRET_SIZE:
                raise ValueError(f"'{{file.{name}}}': the file is larger than {MAX_SECRET_SIZE} bytes")
            if b"\0" in content:
                raise ValueError(f"'{{file.{name}}}': the file has a null character and is not text")
            return self._secret(content.decode().strip())
        except UnicodeDecodeError as error:
            raise ValueError(f"'{{file.{name}}}': the file is not UTF-8 text") from error
        except OSError as error:
            raise ValueError(f"'{{file.{name}}}' cannot be read: {error.strerror}") from error

    def _secret(self, value: str) -> str:
        if value:
            self.secrets.add(value)
        return value


class DeferredVariables(Variables):
    """Fills in the values that only this run knows, and leaves references to the environment and to files as they are.

    The result is text for ``Variables`` again: a later command expands it to the present value.
    """

    def _replacement(self, found: re.Match[str]) -> str:
        scope, _, name = (found[1] or "").partition(".")
        if scope == "source" or (scope == "var" and name in self.values):
            return literal(super()._replacement(found))
        return super()._replacement(found) if scope == "var" else found[0]


def expand_tree(
    file: YamlFile, tree: Any, variables: Variables, problems: list[Problem], key_path: KeyPath = ()
) -> Any:
    """Return *tree*, which stands at *key_path* of *file*, with all its strings expanded.

    A string that cannot be expanded stays as it is, and a problem is added to *problems*. Raises
    ``PipelineInvalid`` at once when all of it together is too large.
    """
    if isinstance(tree, dict):
        return {
            key: expand_tree(file, value, variables, problems, (*key_path, key))
            for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [
            expand_tree(file, value, variables, problems, (*key_path, index))
            for index, value in enumerate(tree)
        ]
    if not isinstance(tree, str):
        return tree
    try:
        expanded = variables.expand(tree)
    except TooLarge as error:
        raise PipelineInvalid([file.problem(key_path, str(error))]) from error
    except ValueError as error:
        problems.append(file.problem(key_path, str(error)))
        return tree
    if _WEB_URL.match(expanded):
        variables.secrets |= confidential(expanded)
    return expanded


def literal(text: str) -> str:
    """Return *text* escaped for places where variables are expanded."""
    return text.replace("{", "{{").replace("}", "}}")


def has_reference(text: str) -> bool:
    """Return whether *text* names a variable."""
    return any(found[1] is not None for found in _PIECE.finditer(text))


def texts_of(tree: Any) -> Iterator[str]:
    """Give every text in *tree*, made of mappings, lists and plain values."""
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        for value in tree:
            yield from texts_of(value)
    elif isinstance(tree, str):
        yield tree


def confidential(url: str) -> set[str]:
    """Return the parts of *url* beside the address: user and password, and the query, which may hold a signature.

    A url may be malformed: a password with an unescaped ``/``, ``#`` or ``?`` ends at the last ``@`` all the same.
    """
    start = _URL_START.match(url)
    scheme, rest = (start["scheme"] or "", url[start.end() :]) if start else ("", url)
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    # In the path of a page an @ is usual.
    at_end = {":", "@"} & set(authority) or scheme.lower() not in ("", "http", "https")
    userinfo, _, place = rest.rpartition("@") if at_end else ("", "", rest)
    user, _, password = userinfo.partition(":")
    query = re.search(r"\?[^#]*", place)
    # A user without a password is a token. Without a scheme, it is a part of a path.
    token = "" if password or not scheme else user
    parts = {userinfo if password or token else "", password, token, query[0] if query else ""}
    return {*parts, *map(unquote, parts)} - {""}


def _folder_of(uri: str) -> str:
    if "://" not in uri:
        return uri.rpartition("/")[0] or ("/" if uri.startswith("/") else ".")
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rpartition('/')[0]}"


def _name_of(uri: str) -> str:
    if "://" not in uri:
        return uri.rpartition("/")[2]
    return unquote(urlsplit(uri).path.rpartition("/")[2])
