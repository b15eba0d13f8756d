"""From a scenario to results: plan, steps, store, engines."""
