"""For test suites: pytest plugin, strategies, conformance checks."""
