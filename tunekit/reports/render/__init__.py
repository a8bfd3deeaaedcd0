"""A report in one format each: the terminal, Markdown, LaTeX, CSV, Parquet and YAML."""
