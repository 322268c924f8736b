"""The scheduler: decides when, starts the agent, tells the API."""
