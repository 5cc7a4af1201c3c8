"""A folder of tests is named after the folder that it tests, or is one of a few that test the whole."""

from pathlib import Path

PROJECT = Path(__file__).parents[1]

#: Tests of the whole, of scripts, and programs that compare Imageport with others.
OF_THE_WHOLE = {
    "bench", "boot", "ci", "contract", "corpora", "faults", "fuzz", "glance", "packages", "reported", "servers",
}  # fmt: skip


def test_every_folder_of_tests_is_named_after_what_it_tests() -> None:
    folders = {path.name for path in (PROJECT / "tests").iterdir() if any(path.rglob("*.py"))} - OF_THE_WHOLE
    sources = (PROJECT, PROJECT / "core/imageport", PROJECT / "builtin_plugins")
    assert sorted(name for name in folders if not any((source / name).is_dir() for source in sources)) == []
