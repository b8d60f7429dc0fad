"""HTML pages: renderer, style sheet, charts and photo tiles. Knows ``models`` only; each room brings its values."""
