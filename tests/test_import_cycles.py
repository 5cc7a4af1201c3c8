"""No module of the project imports itself through others; imports for types and inside functions count."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp


def test_the_imports_of_all_modules_have_no_cycle() -> None:
    graph = grimp.build_graph("imageport", "imageport_builtin", "imageport_glance", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        raise AssertionError(f"a cycle of imports: {' -> '.join(error.args[1])}") from None
