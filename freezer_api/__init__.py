"""The API: keeps documents and answers questions. It never runs anything."""
