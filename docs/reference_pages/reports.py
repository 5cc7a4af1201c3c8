"""The page about the report and the events."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import get_args, get_type_hints

from imageport import errors, events
from imageport.importing import report
from reference_pages.writing import plain_type, prose, table

#: What the fields of the report mean; a field that is missing here, or here alone, is an error.
REPORT_FIELDS: Mapping[str, Mapping[str, str]] = {
    "Report": {
        "status": "Whether the image was imported.",
        "task_id": "The import in the catalog; null when it was refused before it began.",
        "image": "The image record as it is now, with the field names of the Glance v2 API.",
        "plan": "The pipeline, its steps and stores, and how the data travelled (`staging`) and why.",
        "stores": "What became of the copy in each store, by store id.",
        "source": "What was read.",
        "digests": "Digests of the stored bytes, by name.",
        "seconds": "Duration of the import.",
        "stages": "What each step did, in order.",
        "waited_for": "Seconds that the stream waited for each digest, the inspection (`inspection`) and each store; "
        "a digest that a check makes anyway is part of its step.",
        "error": "What went wrong, or null.",
        "rolled_back": "Whether everything was undone after a failure; null when there was nothing to undo.",
        "orphans": "Addresses of copies that could not be removed; `imageport gc` tries again.",
    },
    "StoreReport": {
        "status": "`published`, `failed`, `discarded` (written, then taken back) or `skipped`.",
        "location": "Address of the published copy.",
        "bytes_written": "Bytes of the image that the store took, holes included.",
        "seconds": "How long the store was at work.",
        "error": "Why it failed.",
    },
    "StageReport": {
        "step": "Name of the step in the pipeline.",
        "hook": "The hook that was called: `stage` or `transform`.",
        "seconds": "Time of this step alone, without those above it.",
        "bytes_in": "Bytes it read.",
        "bytes_out": "Bytes it passed on.",
    },
    "SourceReport": {
        "uri": "Where the image came from; of a url, without credentials and query.",
        "url": "Address that the bytes came from, after redirects and failures; null without a download.",
        "failed": "Sources that failed, each with `url` and `error`, in the order in which they failed.",
        "resumed": "Bytes taken over from an import that was killed.",
        "bytes_read": "Bytes as published, before unpacking.",
        "digests": "Digests of the bytes as the source offered them, by name, as far as they are known.",
        "checks": "Verifications that were made, each with `name` and `verdict` (`passed` or `failed`); some have the "
        "`digest` of the bytes and the trusted `signer` who vouches for them.",
    },
}
ERROR_FIELDS = {
    "code": "The kind of error; see [exit codes](exit-codes.md).",
    "step": "Name of the step that failed, or null.",
    "store": "Id of the store that failed, or null.",
    "message": "What happened.",
    "hint": "What to do about it.",
    "problems": "Every mistake of a pipeline or site file, with `file`, `line`, `column`, `key` and `message`.",
}


def report_page() -> Iterator[str]:
    """Describe the report and the events."""
    yield "# The report and the events"
    yield (
        "`imageport run --json` prints each event as a line of JSON. The last line is the report: "
        '`{"type": "report", ...}`. Nothing else goes to standard output.'
    )
    for kind in (report.Report, report.StoreReport, report.SourceReport, report.StageReport):
        names = {field.name for field in dataclasses.fields(kind)}
        fields = REPORT_FIELDS[kind.__name__]
        if names != set(fields):
            raise SystemExit(
                f"the fields of {kind.__name__} and their descriptions differ: {names ^ set(fields)}"
            )
        yield f"## {kind.__name__}"
        yield prose(kind)
        types = get_type_hints(kind)
        yield table(
            ("field", "type", "meaning"),
            [(f"`{name}`", plain_type(types[name]), fields[name]) for name in fields],
        )
    yield "## The error"
    if set(ERROR_FIELDS) != set(report.error_dict(errors.ImageportError("x"))):
        raise SystemExit("the fields of the error and their descriptions differ")
    yield table(("field", "meaning"), [(f"`{name}`", meaning) for name, meaning in ERROR_FIELDS.items()])
    yield "## Events"
    yield (
        "Observers receive objects of the classes below, which are in `imageport.events`; `at` is in seconds since "
        "the epoch. In JSON, `kind` is called `type`, `at` is a time in ISO 8601, and fields without a value are left "
        "out. Steps and stores send `progress`, `check` and `source`, each under its own name. All other events are "
        "sent by Imageport alone."
    )
    for event_class in get_args(events.Event):
        yield f"### {event_class.__name__}"
        yield prose(event_class)
        types = get_type_hints(event_class)
        rows = [
            (f"`{field.name}`", plain_type(types[field.name])) for field in dataclasses.fields(event_class)
        ]
        yield table(("field", "type"), rows)
