"""The parameters of MAIL and RCPT: SIZE (RFC 1870), BODY (6152), SMTPUTF8 (6531), AUTH (4954) and delivery
status notifications (3461). Pure: text in, a frozen value out, or the Reply that refuses it.

Values are kept as the client encoded them; they are checked here so that whoever decodes them later meets
neither broken xtext nor control characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from relay.replies import PARAMETER_SYNTAX, UNKNOWN_PARAMETER, Reply, bad_parameter

MAX_ENVID = 100
MAX_ORCPT = 500

_PARAMETER = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9-]*)(?:=(?P<value>[^\x00-\x20=\x7f]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[2-6][0-9A-F]|\+7[0-9A-E])+")
"""RFC 3461 4, narrowed to what decodes to printable ASCII, which is all that ENVID and ORCPT may mean."""
_UNITEXT = re.compile(
    r"(?:[!-*,-<>-\[\]-~\u00a0-\U0010ffff]|\+[2-6][0-9A-F]|\+7[0-9A-E]|\\x\{[0-9A-F]{2,6}\})+"
)
"""RFC 6533 3: the `utf-8` address type, in its ASCII and its UTF-8 form."""
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+\-/?^_`{|}~]+")
_SIZE = re.compile(r"[0-9]{1,20}")
_BODIES = frozenset({"7BIT", "8BITMIME"})
_RETURNS = frozenset({"FULL", "HDRS"})
_NOTIFY_WORDS = frozenset({"SUCCESS", "FAILURE", "DELAY"})


class ParameterError(ValueError):
    """Carries the reply that tells the client why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class MailParameters:
    size: int = 0
    """As declared; 0 when not."""
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptParameters:
    notify: tuple[str, ...] = ()
    orcpt: str | None = None


_NO_MAIL_PARAMETERS = MailParameters()
_NO_RCPT_PARAMETERS = RcptParameters()


def mail_parameters(text: str) -> MailParameters:
    """Raises ParameterError."""
    if not text:
        return _NO_MAIL_PARAMETERS
    given = _split(text, frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"}))
    if "SMTPUTF8" in given and given["SMTPUTF8"] is not None:
        raise ParameterError(bad_parameter("SMTPUTF8"))
    body = _word(given, "BODY", _BODIES)
    _sasl_identity(given)
    return MailParameters(
        size=_size(given),
        eight_bit=body == "8BITMIME",
        smtputf8="SMTPUTF8" in given,
        ret=_word(given, "RET", _RETURNS),
        envid=_envid(given),
    )


def rcpt_parameters(text: str, *, smtputf8: bool) -> RcptParameters:
    """Raises ParameterError."""
    if not text:
        return _NO_RCPT_PARAMETERS
    given = _split(text, frozenset({"NOTIFY", "ORCPT"}))
    return RcptParameters(notify=_notify(given), orcpt=_orcpt(given, smtputf8=smtputf8))


def _split(text: str, known: frozenset[str]) -> dict[str, str | None]:
    given: dict[str, str | None] = {}
    for name, value in _pairs(text):
        if name not in known:
            raise ParameterError(UNKNOWN_PARAMETER)
        if name in given:
            raise ParameterError(bad_parameter(name))
        given[name] = value
    return given


def _pairs(text: str) -> Iterator[tuple[str, str | None]]:
    for word in text.split(" "):
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise ParameterError(PARAMETER_SYNTAX)
        yield match["name"].upper(), match["value"]


def _size(given: dict[str, str | None]) -> int:
    if "SIZE" not in given:
        return 0
    value = given["SIZE"]
    if value is None or not _SIZE.fullmatch(value):
        raise ParameterError(bad_parameter("SIZE"))
    return int(value)


def _word(given: dict[str, str | None], name: str, allowed: frozenset[str]) -> str | None:
    if name not in given:
        return None
    value = (given[name] or "").upper()
    if value not in allowed:
        raise ParameterError(bad_parameter(name))
    return value


def _envid(given: dict[str, str | None]) -> str | None:
    if "ENVID" not in given:
        return None
    value = given["ENVID"]
    if value is None or len(value) > MAX_ENVID or not _XTEXT.fullmatch(value):
        raise ParameterError(bad_parameter("ENVID"))
    return value


def _sasl_identity(given: dict[str, str | None]) -> None:
    """RFC 4954 5 has us take AUTH= where we offer AUTH. Nobody here trusts it, so it is read and dropped."""
    value = given.get("AUTH", "<>")
    if value is None or (value != "<>" and not _XTEXT.fullmatch(value)):
        raise ParameterError(bad_parameter("AUTH"))


def _notify(given: dict[str, str | None]) -> tuple[str, ...]:
    if "NOTIFY" not in given:
        return ()
    words = tuple((given["NOTIFY"] or "").upper().split(","))
    if words == ("NEVER",):
        return words
    if len(set(words)) != len(words) or not _NOTIFY_WORDS.issuperset(words):
        raise ParameterError(bad_parameter("NOTIFY"))
    return words


def _orcpt(given: dict[str, str | None], *, smtputf8: bool) -> str | None:
    if "ORCPT" not in given:
        return None
    value = given["ORCPT"] or ""
    kind, semicolon, address = value.partition(";")
    text = _UNITEXT if kind.lower() == "utf-8" else _XTEXT
    well_formed = semicolon and _ADDRESS_TYPE.fullmatch(kind) and text.fullmatch(address)
    if len(value) > MAX_ORCPT or not well_formed or not (smtputf8 or value.isascii()):
        raise ParameterError(bad_parameter("ORCPT"))
    return value
