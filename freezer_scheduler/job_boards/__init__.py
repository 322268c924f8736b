"""Where jobs come from and results go to: the API, or a directory."""
