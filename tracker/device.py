"""What a user agent tells of client, device class and system, by the ua-parser library; the text itself is
never kept, nor a name that stands in it and in no list of ours."""

from __future__ import annotations

from ua_parser import parse

from tracker.clients import CLIENTS, SYSTEMS, known
from tracker.events import Device

_MOST = 512
_PROXIES = ("GmailImageProxy", "YahooMailProxy")
"""They fetch for a person, and what they say of system and device is made up."""
_TABLETS = ("iPad", "Kindle", "Galaxy Tab")


def device_of(user_agent: str) -> Device:
    """Client family, device class and operating system; `""` for each that is not told, `other` for what our lists
    do not name."""
    if not user_agent:
        return Device()
    found = parse(user_agent[:_MOST])
    client = known(found.user_agent.family if found.user_agent else "", CLIENTS)
    if client in _PROXIES:
        return Device(client=client)
    system = found.os.family if found.os else ""
    family = found.device.family if found.device else ""
    return Device(client=client, kind=_kind(system, family, user_agent), system=known(system, SYSTEMS))


def _kind(system: str, family: str, user_agent: str) -> str:
    if any(name in family for name in _TABLETS) or (system == "Android" and "Mobile" not in user_agent):
        return "tablet"
    if system in ("iOS", "Android", "Windows Phone"):
        return "mobile"
    if system in ("Windows", "Mac OS X", "Linux", "Ubuntu", "Chrome OS", "Fedora", "Debian"):
        return "desktop"
    return ""
