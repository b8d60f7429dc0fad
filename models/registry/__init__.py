"""Models by name and version: which there are, which is the champion, and what became of each."""
