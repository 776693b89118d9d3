"""The evaluation report as one HTML page that opens offline."""

from jobs.report_html.page import render_report

__all__ = ["render_report"]
