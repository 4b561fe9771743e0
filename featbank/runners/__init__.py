"""Runners: what spreads the tasks of a step over processes."""
