"""The page about the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reference_pages.writing import table

_STEP: Mapping[str, str] = {
    "label": "Name of the step in the pipeline.",
    "plugin": "Name of the plugin.",
    "distribution": "The package that supplies it, and its version.",
    "reads": "Whether its `transform` reads a `stream`, a `file`, or `either`, depending on the bytes.",
    "options": "Its options with their values, by name; secrets are hidden.",
}

#: The meaning of each key of `plan --json`, by the object that has it. A test compares them with real plans.
PLAN_KEYS: Mapping[str, Mapping[str, str]] = {
    "": {
        "pipeline": "Name of the pipeline.",
        "source": "The url, without credentials and query, or path of the image; null when none is given.",
        "method": "The import method, an object as in `steps`.",
        "steps": "The steps in their order.",
        "stores": "The stores, in the order of the pipeline.",
        "observers": "The observers, objects as in `steps`.",
        "all_stores_must_succeed": "Whether the image is published in all stores or in none.",
        "staging": "`file` when the bytes are written to the staging directory before the stores get them, else "
        "`stream`.",
        "staging_reason": "Why `staging` is so.",
        "trust": "`signed` when nothing is published without a trusted signature, else null.",
        "scratch": "The scratch data that the import will need.",
        "bottleneck": "The part that is expected to be the slowest, as measured just now.",
        "refusal": "Why an import would be refused by its stores now; null when it would begin.",
        "deadlines": "The tree of deadlines in seconds; null means without a deadline, and `minimum_rate` is in bytes "
        "a second.",
        "limits": "The limits of the site, by the names in the [site file](site-file.md#limits).",
    },
    "method": _STEP,
    "steps[]": _STEP,
    "observers[]": _STEP,
    "stores[]": {
        **_STEP,
        "capabilities": "What the store declares about itself.",
        "findings": "What the store has found out about itself and its server; empty when it examines nothing.",
        "refused": "Why the store cannot take the image, as far as that is known before the image is fetched, or null.",
    },
    "stores[].capabilities": {
        "formats": "Disk formats that it accepts; null for all.",
        "needs_size": "Whether it has to know the size before the first byte.",
        "wants_file": "Whether it reads the image from a file.",
        "alignment": "The size of an image is a multiple of so many bytes.",
        "largest": "Most bytes of an image; null for no limit.",
        "unwritten_is_zero": "Whether ranges that were never written read as zeros.",
        "keeps_holes": "Whether a copy takes no space for zeros.",
        "seekable": "Whether a copy can be read from any offset.",
    },
    "stores[].findings[]": {
        "severity": "`ok`, `warning`, or `error`: the store cannot take part in an import.",
        "message": "What was found.",
        "hint": "What to do about it; may be empty.",
        "free": "Bytes that the store has room for; null when unknown.",
    },
    "stores[].refused": {"message": "The reason.", "hint": "What to do about it."},
    "scratch": {
        "directory": "The staging directory.",
        "needs": "Each file that will be written there, in order.",
        "at_most": "Bytes of all needs together; null when one is not known.",
        "free": "Bytes that may be written there now; null when unknown.",
        "fits": "Whether `at_most` is at most `free`; null when one of them is unknown.",
    },
    "scratch.needs[]": {
        "step": "Name of the step that needs the file; null for the import itself, for instance for its stores.",
        "what": "What the file holds.",
        "size": "Bytes on disk, without holes; null when not known.",
        "certain": "Whether the file is written in any case; false where it depends on the bytes.",
    },
    "bottleneck": {
        "digests": "Bytes a second that each digest takes, by name.",
        "processors": "Processors that the import may use.",
        "rate": "Bytes a second that all digests take together.",
    },
    "refusal": {
        "exit_code": "The exit code of such an import, and of `plan`; see [exit codes](exit-codes.md).",
        "store": "Id of the store; null when all stores together refuse it.",
        "message": "The reason.",
        "hint": "What to do about it.",
    },
}


def plan_page() -> Iterator[str]:
    """Describe the keys of the plan."""
    yield "# The plan"
    yield (
        "`imageport plan PIPELINE [SOURCE]` shows what an import would do, and fetches nothing. `--json` prints one "
        "object; the text shows the same facts."
    )
    for name, keys in PLAN_KEYS.items():
        yield f"## `{name}`" if name else "## Keys"
        yield table(("key", "meaning"), [(f"`{key}`", meaning) for key, meaning in keys.items()])
