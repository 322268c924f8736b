"""Where the paths of options lead: job files and quotes keep a shell from filling them in."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The directory in which the run started, and the home of its user."""

    start: Path
    home: Path = Path("/")

    def path(self, text: str) -> Path:
        """The path of that name: `~` is the home, and a relative one begins at the start."""
        if text == "~" or text.startswith("~/"):
            return self.home / text[2:]
        return self.start / text
