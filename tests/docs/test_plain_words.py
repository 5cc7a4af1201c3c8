"""Code and pages use the standard terms of the field: words that blur who does what to what are refused."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]

#: Report, print, raise, log and contain are what programs do; callers, users and processes do things.
REFUSED = re.compile(
    r"(?<![.\w])(tell|tells|telling|told|say|says|saying|said|nobody|somebody|anybody|everybody|whoever"
    r"|of (?:its|their) own|(?<!there )(?:is|are|was|were) no(?! longer))(?!\w)",
    re.IGNORECASE,
)

#: Names that had a better one, and that one.
RENAMED = {
    "Backlog": "a channel with a spill file",
    "Catalogue": "PluginRegistry",
    "Ending": "Commit",
    "Evidence": "Verification",
    "Journey": "Stages",
    "LastingVariables": "DeferredVariables",
    "Leftovers": "OrphanFiles",
    "Moved": "ConvertedSite",
    "Piece": "Chunk",
    "PlacedEntry": "ResolvedEntry",
    "Places": "Mirrors",
    "Tries": "RetryPolicy",
    "WrittenImage": "CopySet",
    "_OneEnd": "Copy",
    "_deaf": "_muted",
    "STRIKES": "MAX_FAILURES",
    "add_untold": "add_unreported",
    "anchored": "resolve_paths",
    "data_runs": "nonzero_ranges",
    "end_with": "finalize",
    "evened": "rechunked",
    "fall_behind": "spill",
    "giving_away": "offer_file",
    "held_up": "lag",
    "leash": "limit_prefix",
    "may_hold_up": "lag_budget",
    "open_again": "reopen_store",
    "pass_over": "skip_current",
    "patient_read": "cancellable_read",
    "settling": "commit",
    "starving": "idle",
    "telling_context": "observed_context",
    "throw_away": "discard",
    "too_late": "on_late_result",
    "twin": "backing_file",
}

#: Folders in which some of these are left.
NOT_RENAMED = ("core/imageport/importing/",)


def tracked(*folders: str) -> list[str]:
    """Return the files of the repository in *folders*."""
    command = ["git", "ls-files", "-co", "--exclude-standard", *folders]
    return subprocess.run(
        command, cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout.splitlines()


def prose() -> Iterator[str]:
    """Yield the files whose words count: not those of the past, and not those that are written from others."""
    for path in tracked("core", "builtin_plugins", "contrib", "docs", "pipelines", "*.md"):
        past = path.startswith(("docs/changes/", "docs/decisions/", "docs/reference/", "CHANGELOG"))
        if path.endswith((".py", ".md", ".yaml")) and not past and (PROJECT / path).exists():
            yield path


def refused(text: str) -> list[str]:
    """Return the lines of *text* with a refused word."""
    return [line.strip() for line in text.splitlines() if REFUSED.search(line)]


def test_words_are_plain() -> None:
    found = {path: lines for path in prose() if (lines := refused((PROJECT / path).read_text()))}
    assert found == {}


def test_a_refused_word_is_found() -> None:
    assert refused("it tells\nfile.tell()\nthere is no file\n'x' is no file\nsaying") == [
        "it tells",
        "'x' is no file",
        "saying",
    ]


def names(path: str) -> set[str]:
    """Return the names in the code of *path*."""
    text = (PROJECT / path).read_text()
    return {token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == 1}


def test_names_that_were_changed_are_gone() -> None:
    files = [path for path in tracked("core", "builtin_plugins", "contrib") if path.endswith(".py")]
    old = {
        path: {name: RENAMED[name] for name in found}
        for path in files
        if (found := names(path) & set(RENAMED))
    }
    assert old == {}


def test_one_public_name_is_one_class() -> None:
    homes: dict[str, list[str]] = {}
    for path in tracked("core", "builtin_plugins"):
        if path.endswith(".py"):
            for node in ast.parse((PROJECT / path).read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes.setdefault(node.name, []).append(path)
    assert len(homes) > 100
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}
