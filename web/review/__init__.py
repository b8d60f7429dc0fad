"""Review: a job's doubtful rows as questions, their leases to reviewers, and the answers."""
