"""The tree of errors of both packages.

    CandorError
    ├── ConfigError (ValueError)      the configuration is wrong: what, where, what is allowed
    ├── InvalidAddress (ValueError)   not an address anybody could have
    ├── InvalidValue (ValueError)     a value outside its words: names the key and what is allowed
    ├── TokenError (ValueError)       a token that does not verify
    ├── CannotListen                  an address cannot be had
    ├── KeyRingError                  the key file is missing, damaged, or not the one the store knows
    ├── JournalError                  a file of the outage journal that is none of ours
    └── StoreError
        ├── StoreUnavailable          cannot be asked now; later it may answer
        └── NotFound (LookupError)    nothing of that name or id

Results that are expected travel as values (`Decision`, `Outcome`, `Reply`); these are for borders and for
the unexpected. A message is written for the person who can mend the matter and holds no address unless that
person typed it.
"""


class CandorError(Exception):
    """The root: catch this at a border to show its text and nothing else."""


class ConfigError(CandorError, ValueError):
    """The configuration is wrong."""


class InvalidAddress(CandorError, ValueError):
    """The text is no mail address."""


class InvalidValue(CandorError, ValueError):
    """A value is not one of its words."""


class TokenError(CandorError, ValueError):
    """The token was cut, changed, or not made here."""


class UnknownKey(TokenError):
    """The token names a key that the ring lacks. `key_id`: which."""

    def __init__(self, message: str, key_id: bytes) -> None:
        super().__init__(message)
        self.key_id = key_id


class CannotListen(CandorError):
    """An address to listen on is somebody else's, or not of this machine."""


class KeyRingError(CandorError):
    """The key ring cannot be used."""


class JournalError(CandorError):
    """A file of the outage journal cannot be read by us."""


class StoreError(CandorError):
    """The store said no."""


class StoreUnavailable(StoreError):
    """The store did not answer in time."""


class NotFound(StoreError, LookupError):
    """There is no such thing in the store."""
