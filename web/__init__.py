"""The web page and the HTTP interface: try a model, watch jobs, review doubtful rows."""
