"""MLflow is told besides: a registry is the truth, a tracking server is where others look."""
