"""The web page and the HTTP API: try a model, watch jobs, review unsure rows."""
