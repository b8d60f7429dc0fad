"""What a training came to, as one page to look at."""

from trainer.report.page.body import report_page

__all__ = ["report_page"]
