"""Review: the rows of a job that need a person, as questions; leases of questions to reviewers; and answers."""
