"""A report in one format each: the terminal, Markdown, CSV and YAML."""
