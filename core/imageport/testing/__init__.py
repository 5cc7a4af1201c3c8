"""Tools for tests of plugins, and of programs that use Imageport. Nothing that imports run needs them.

The classes whose names end in ``Conformance`` are suites of tests to inherit, one for each role of a plugin. The other
tools run one plugin, one pipeline or one command in the process of the test. They need pytest, which is not installed
with Imageport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport.lazy import lazy_names

if TYPE_CHECKING:
    from imageport.testing.benches import Bench, BenchCopy, bench
    from imageport.testing.certifying import Candidate, Clause, Verdict, candidate_called, certify, supplier
    from imageport.testing.command import Finished, RunImageport
    from imageport.testing.command_suite import CommandConformance
    from imageport.testing.contexts import make_context, make_transport
    from imageport.testing.http_server import HttpServer
    from imageport.testing.memory_store import MemoryCopy, MemoryStore, MemoryStoreConfig
    from imageport.testing.method_suite import MethodConformance
    from imageport.testing.observer_suite import ObserverConformance
    from imageport.testing.pipelines import run_pipeline
    from imageport.testing.plugin_suite import PluginConformance
    from imageport.testing.step_suite import StepConformance
    from imageport.testing.store_bench import ServerProcess, StoreServer
    from imageport.testing.store_suite import ReadOnlyStoreConformance, StoreConformance
    from imageport.testing.streams import Stream

__all__ = [
    "Bench",
    "BenchCopy",
    "Candidate",
    "Clause",
    "CommandConformance",
    "Finished",
    "HttpServer",
    "MemoryCopy",
    "MemoryStore",
    "MemoryStoreConfig",
    "MethodConformance",
    "ObserverConformance",
    "PluginConformance",
    "ReadOnlyStoreConformance",
    "RunImageport",
    "ServerProcess",
    "StepConformance",
    "StoreConformance",
    "StoreServer",
    "Stream",
    "Verdict",
    "bench",
    "candidate_called",
    "certify",
    "make_context",
    "make_transport",
    "run_pipeline",
    "supplier",
]

if not TYPE_CHECKING:  # with it, type checkers would not find misspelt names
    __getattr__ = lazy_names(
        __name__,
        {
            "benches": ("Bench", "BenchCopy", "bench"),
            "certifying": ("Candidate", "Clause", "Verdict", "candidate_called", "certify", "supplier"),
            "command": ("Finished", "RunImageport"),
            "command_suite": ("CommandConformance",),
            "contexts": ("make_context", "make_transport"),
            "http_server": ("HttpServer",),
            "memory_store": ("MemoryCopy", "MemoryStore", "MemoryStoreConfig"),
            "method_suite": ("MethodConformance",),
            "observer_suite": ("ObserverConformance",),
            "pipelines": ("run_pipeline",),
            "plugin_suite": ("PluginConformance",),
            "store_bench": ("ServerProcess", "StoreServer"),
            "step_suite": ("StepConformance",),
            "streams": ("Stream",),
            "store_suite": ("ReadOnlyStoreConformance", "StoreConformance"),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
