"""Owns a settings service for a session, after SerenityOS's ConfigServer: `python -m demos.config`.
Must not know the other demos."""
