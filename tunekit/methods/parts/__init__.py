"""What several methods are built of: heads, templates, label words, rows, prompt encoders, parallel text."""
