"""Types of layers below that the results of ``imageport.app`` have."""

from __future__ import annotations

from imageport.catalog import TaskRow, Upgrade
from imageport.importing.lease_keeper import Interruption
from imageport.importing.report import Report, SourceReport, StageReport, StoreReport

__all__ = ["Interruption", "Report", "SourceReport", "StageReport", "StoreReport", "TaskRow", "Upgrade"]
