"""The one HTTP client of the API, for the scheduler and for a reporting agent."""

from freezer_client.api import Freezer, SessionReply, connect
from freezer_client.credentials import Credentials

__all__ = ["Credentials", "Freezer", "SessionReply", "connect"]
