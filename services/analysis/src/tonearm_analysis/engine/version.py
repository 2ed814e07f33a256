"""The engine's version: any change of any result raises it."""

ENGINE_VERSION = "1.6.1"
