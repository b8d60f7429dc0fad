"""What a check found, as one page to look at."""

from trainer.check.page.body import check_page

__all__ = ["check_page"]
