"""Reports, made from results only."""
