"""Other toolkits: what their recipes need to write and read stores."""
