"""When cycles run: ``hangtag beat``, slots that are claimed once, and the worker that trains."""
