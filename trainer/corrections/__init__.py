"""What reviewers say of photos: the contract between review and retraining."""
