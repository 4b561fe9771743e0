"""Runners: spread the tasks of a step over processes, jobs of Slurm or actors of Ray."""
