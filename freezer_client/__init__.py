"""The one HTTP client of the API, for the scheduler and for a reporting agent."""
