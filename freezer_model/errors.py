"""The root of every error of ours, and the one error of the vocabulary itself.

FreezerError
  InvalidDocument     a document breaks a rule; names the field and the reason
  (ApiError, AgentError, SchedulerError, ClientError: each in its own package)
"""


class FreezerError(Exception):
    """Anything that Freezer itself reports. The text is a sentence for an operator."""


class InvalidDocument(FreezerError):
    """A document breaks a rule of the vocabulary.

    `field` is the dotted path of the offending value ("job_schedule.schedule_interval"),
    `reason` says what is wrong with it and what would be right.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason
