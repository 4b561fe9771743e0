"""The page about two versions: one HTML file that needs nothing else."""

from __future__ import annotations

from featbank.comparison.findings import VersionsDifference
from featbank.report.differences import difference_tables, verdict
from featbank.report.rendering import environment


def render_differences(found: VersionsDifference) -> str:
    """Render how two versions differ; equal findings give equal bytes."""
    return (
        environment()
        .get_template("differences.html.j2")
        .render(found=found, verdict=verdict(found), tables=list(difference_tables(found)))
    )
