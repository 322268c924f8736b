"""Make an application quiet for a moment."""
