"""Configuration: YAML files -> one validated, immutable :class:`~proxy.config.model.Settings`, with positions."""
