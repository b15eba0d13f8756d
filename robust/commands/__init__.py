"""The commands of `robust`: each module reads the options of a few, calls what does the work, and prints."""
