"""Several datasets mixed by weights or a temperature: whose turn it is, and what is given."""
