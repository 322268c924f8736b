"""What HTTP adds: errors, bodies, paging, middleware."""
