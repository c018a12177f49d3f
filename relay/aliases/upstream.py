"""How a service that mail is sent on through is told to record nothing of it, so that no link is wrapped twice. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping


def _json(value: object) -> str:
    return json.dumps(value, separators=(", ", ": "))


_OFF = {"settings": {"enable": 0}}
NO_TRACKING: Mapping[str, tuple[tuple[str, str], ...]] = {
    "mailgun": (("X-Mailgun-Track", "no"),),
    "postmark": (("X-PM-TrackOpens", "false"), ("X-PM-TrackLinks", "None")),
    "sendgrid": (("X-SMTPAPI", _json({"filters": {"clicktrack": _OFF, "opentrack": _OFF}})),),
    "sparkpost": (("X-MSYS-API", _json({"options": {"open_tracking": False, "click_tracking": False}})),),
    "mandrill": (("X-MC-Track", "none"),),
    "mailjet": (("X-Mailjet-TrackOpen", "0"), ("X-Mailjet-TrackClick", "0")),
    "smtpeter": (("X-SMTPeter-TrackOpens", "false"), ("X-SMTPeter-TrackClicks", "false")),
    "aliyun": (
        ("X-AliDM-Trace", base64.b64encode(_json({"OpenTrace": "0", "LinkTrace": "0"}).encode()).decode()),
    ),
}
"""Header fields by service. Amazon SES has none of its own: it records what a configuration set says."""


def fields(service: str, configuration_set: str = "") -> tuple[tuple[str, str], ...]:
    if service == "ses" and configuration_set:
        return (("X-SES-CONFIGURATION-SET", configuration_set),)
    return NO_TRACKING.get(service, ())


def no_tracking(service: str, configuration_set: str = "") -> bytes:
    """The lines as they stand in front of a copy, each with its CRLF and of at most 998 octets."""
    return "".join(f"{name}: {value}\r\n" for name, value in fields(service, configuration_set)).encode(
        "ascii"
    )


def names(service: str) -> frozenset[str]:
    """In lower case, those that are put in."""
    return frozenset(name.lower() for name, _ in fields(service, "x"))
