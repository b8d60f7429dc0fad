"""Pages and sheets to look at: what became of a job, for people."""
