"""What a cycle came to, as one page to look at."""

from trainer.retrain.report.report import write_report

__all__ = ["write_report"]
