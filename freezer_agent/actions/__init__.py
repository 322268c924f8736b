"""One class per thing that a user can ask of the agent."""
