"""Review: the photos of a job that need a person, their leases to reviewers, and the answers."""
