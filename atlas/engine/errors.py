"""The situations a user of the engine can act on; each message is a sentence."""


class EngineError(Exception):
    """The engine can't do what was asked."""


class KeysUnusable(EngineError):
    """The file of keys can't be used."""


class StoreInUse(EngineError):
    """Another engine has the store open."""


class StoreUnusable(EngineError):
    """The file is not a store that this version can read."""


class StoreFailed(EngineError):
    """A change could not be written to disk."""


class SyncRefused(EngineError):
    """The app can't be synced."""


class AppUnreachable(EngineError):
    """No connection to the app could be made, so that nothing was sent."""


class ConfigurationRefused(EngineError):
    """A function asks for something that the engine doesn't do."""


class ExpressionInvalid(EngineError):
    """An expression is not CEL."""


class EventRefused(EngineError):
    """An event is malformed or too large."""


class NotJson(EngineError):
    """A text is not JSON that can be signed and stored."""
