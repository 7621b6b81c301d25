"""What is measured, one file per subject. Every module here is loaded and its measures are run, in file order."""
