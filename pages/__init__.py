"""HTML pages: renderer, style sheet, charts and photo tiles. Imports only ``models``."""
