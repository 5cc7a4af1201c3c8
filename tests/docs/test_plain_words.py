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
#: The words of a name are words, too.
REFUSED = re.compile(
    r"(?<![.A-Za-z])(tell|tells|telling|told|untold|say|says|saying|said|nobody|somebody|anybody|everybody|whoever"
    r"|of[ _](?:its|their)[ _]own|(?<!there[ _])(?:is|are|was|were)[ _]no(?![ _]longer))(?![A-Za-z])",
    re.IGNORECASE,
)

#: By file, texts of others that have a refused word.
QUOTED = {
    # An account of Unix systems, and the option of .ci/box that is named after it.
    "tests/catalog/conftest.py": ('"nobody"',),
    "tests/ci/test_other_machines.py": ('"nobody"', '"--as-nobody"'),
    "tests/reported/test_local_paths.py": ('"nobody"',),
}

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
    "giving_away": "sharing",
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


def tracked(*folders: str) -> list[str]:
    """Return the files of the repository in *folders*."""
    command = ["git", "ls-files", "-co", "--exclude-standard", *folders]
    return subprocess.run(
        command, cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout.splitlines()


def prose() -> Iterator[str]:
    """Yield the files whose words count: not the list in this one, those of the past, and generated ones."""
    for path in tracked("core", "builtin_plugins", "contrib", "docs", "pipelines", "tests", "*.md"):
        past = path.startswith(("docs/changes/", "docs/decisions/", "docs/reference/", "CHANGELOG"))
        here = PROJECT / path == Path(__file__)
        if path.endswith((".py", ".md", ".yaml")) and not past and not here and (PROJECT / path).exists():
            yield path


def refused(text: str, *quoted: str) -> list[str]:
    """Return the lines of *text* that have a refused word outside of the *quoted* texts."""
    for quotation in quoted:
        text = text.replace(quotation, "")
    return [line.strip() for line in text.splitlines() if REFUSED.search(line)]


def test_words_are_plain() -> None:
    found = {
        path: lines
        for path in prose()
        if (lines := refused((PROJECT / path).read_text(), *QUOTED.get(path, ())))
    }
    assert found == {}


def test_a_refused_word_is_found() -> None:
    text = (
        "it tells\nfile.tell()\nthere is no file\n'x' is no file\nsaying\ntest_what_is_no_file()\nsays 'say'"
    )
    assert refused(text, "'say'", "says") == [
        "it tells",
        "'x' is no file",
        "saying",
        "test_what_is_no_file()",
    ]


def test_every_quotation_is_there() -> None:
    unused = {
        (path, quotation)
        for path, quotations in QUOTED.items()
        for quotation in quotations
        if quotation not in (PROJECT / path).read_text()
    }
    assert unused == set()


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
