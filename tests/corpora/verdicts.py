"""Judge an import: hold what was stored against the reference tools, or against the disk that is known to be inside."""

from __future__ import annotations

import re
from enum import Enum

from tests.corpora.outcomes import Outcome
from tests.corpora.reference import Expectation
from tests.corpora.variants import Variant

#: Words of libraries and of Python that no message should pass on.
_LEAKS = re.compile(r"Error\b.*\(|Traceback|py7zr|zlib|lzhlib|struct\.error|internal error|\bErrno\b")


class Verdict(Enum):
    """What one import was, compared with what it should have been."""

    RIGHT = "right"
    REFUSED = "refused rightly"
    STRICTER = "refused, and read by the reference"
    WRONG = "WRONG"


def judge(outcome: Outcome, expectation: Expectation) -> tuple[Verdict, str]:
    """Judge the import of a file of which only the reference tools know what is inside."""
    if broken := _broken(outcome):
        return Verdict.WRONG, broken
    if outcome.digest is not None:
        if outcome.digest == expectation.digest:
            return Verdict.RIGHT, ""
        found = expectation.reason if expectation.digest is None else "other bytes"
        return Verdict.WRONG, f"stored; the reference: {found}"
    if expectation.digest is None:
        return Verdict.REFUSED, ""
    if outcome.code == "unsupported-format" or not expectation.strict:
        return Verdict.STRICTER, outcome.message
    return Verdict.WRONG, f"refused ({outcome.message}); the reference reads it ({expectation.reason})"


def judge_variant(outcome: Outcome, variant: Variant, truth: str) -> tuple[Verdict, str]:
    """Judge the import of an intact *variant* of the disk with the SHA-256 *truth*."""
    if broken := _broken(outcome):
        return Verdict.WRONG, broken
    if not variant.supported:
        if outcome.exit_code == 5:
            return Verdict.REFUSED, ""
        return Verdict.WRONG, f"exit code {outcome.exit_code} for what cannot be read: {outcome.message}"
    if outcome.digest == truth:
        return Verdict.RIGHT, ""
    return Verdict.WRONG, f"exit code {outcome.exit_code}: {outcome.message or 'other bytes were stored'}"


def judge_damaged(outcome: Outcome, expectation: Expectation | None, truth: str) -> tuple[Verdict, str]:
    """Judge the import of a damaged file: it is refused, or the damage did not reach the disk.

    Where the bytes of the disk itself were changed and no format has a sum of them, the reference reads what was
    stored. *expectation* is needed, and may only be None, when the stored bytes are those of the disk or there are
    none.
    """
    if broken := _broken(outcome):
        return Verdict.WRONG, broken
    if outcome.digest is None:
        if outcome.exit_code == 5 or outcome.code == "limit-exceeded":
            return Verdict.REFUSED, ""
        return Verdict.WRONG, f"damaged data has exit code {outcome.exit_code}: {outcome.message}"
    if outcome.digest == truth:
        return Verdict.RIGHT, ""
    if expectation is not None and outcome.digest == expectation.digest:
        return Verdict.RIGHT, ""
    reason = expectation.reason if expectation else "unknown"
    return Verdict.WRONG, f"other bytes were stored; the reference: {reason}"


def _broken(outcome: Outcome) -> str:
    """Return what is wrong with an outcome whatever the file is."""
    if outcome.left:
        return f"left behind: {', '.join(outcome.left)}"
    if outcome.digest is None and not outcome.refused:
        return f"exit code {outcome.exit_code}: {outcome.message}"
    if _LEAKS.search(outcome.message):
        return f"the message has words of a library: {outcome.message}"
    return ""
