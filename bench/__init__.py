"""Measures that compare two ways in one run, side by side: `python -m bench`. See README.md."""
