from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    *sorted(REPOSITORY.glob("*.md")),
    *sorted(REPOSITORY.glob("docs/**/*.md")),
    *sorted(REPOSITORY.glob("contrib/*/*.md")),
]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of *page*, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    return broken


def test_every_link_leads_somewhere() -> None:
    assert len(PAGES) > 20
    assert {str(page): found for page in PAGES if (found := broken_links(page))} == {}


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [REPOSITORY / "docs" / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in seen or not page.is_file() or page.suffix != ".md":
            continue
        seen.add(page)
        targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
        waiting += [page.parent / target for target in targets if "://" not in target]
    folders = ("tutorial", "how-to", "reference", "explanation", "decisions")
    pages = {page for folder in folders for page in (REPOSITORY / "docs" / folder).rglob("*.md")}
    assert {page.name for page in pages - seen} == set()


def test_the_explanation_names_every_module_of_the_core() -> None:
    core = REPOSITORY / "core" / "imageport"
    files = [path for path in core.rglob("*.py") if not {"catalog", "cli"} & {*path.parts}]
    modules = {path.stem for path in files if not path.stem.startswith("_")}
    text = (REPOSITORY / "docs/explanation/architecture.md").read_text()
    assert {name for name in modules if f"`{name}`" not in text} == set()
