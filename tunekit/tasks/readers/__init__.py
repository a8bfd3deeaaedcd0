"""Where examples are read from: files by split and language, and the Hugging Face hub."""
