"""Review: a job's doubtful rows as questions, who is asked which, and what becomes of the answers."""
