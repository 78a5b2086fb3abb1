"""A settings service for a session, after SerenityOS's ConfigServer: `python -m demos.config`."""
