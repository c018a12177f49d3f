"""What a user agent tells, coarse on purpose, and for any text at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.clients import CLIENTS, SYSTEMS
from tracker.device import device_of
from tracker.events import Device

BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
WEBVIEW = "Mobile Safari UI/WKWebView"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
SEEN = [
    # user agent, client, kind, system
    ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "desktop", "Linux"),
    ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "desktop", "Ubuntu"),
    ("Mozilla/5.0 (X11; Fedora; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "desktop", "Fedora"),
    ("Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Thunderbird/128.6.0", "Thunderbird", "desktop", "Windows"),
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36", "Chrome", "desktop", "Windows"),
    ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.4266; Pro)", "Outlook", "desktop", "Windows"),
    (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT}", "Apple Mail", "desktop", "Mac OS X"),
    (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Safari/537.36", "Chrome", "desktop", "Chrome OS"),
    (f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT}", WEBVIEW, "mobile", "iOS"),
    (f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {WEBKIT}", WEBVIEW, "tablet", "iOS"),
    (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {BLINK} Mobile Safari/537.36", "Chrome Mobile", "mobile", "Android"),
    (f"Mozilla/5.0 (Linux; Android 13; SM-X700) {BLINK} Safari/537.36", "Chrome", "tablet", "Android"),
    (GMAIL, "GmailImageProxy", "", ""),
    ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "YahooMailProxy", "", ""),
    ("Mozilla/5.0", "", "", ""),
    ("curl/8.5.0", "curl", "", ""),
    ("Jane Doe jane@example.org/12 CFNetwork/1490.0.4 Darwin/23.2.0", "other", "mobile", "iOS"),
    ("Mozilla/5.0 jane.doe-bot/1.0", "other", "", ""),
    ("HbbTV/1.2.1 (; JaneDoe; x; x; 2014; x)", "other", "", "other"),
    ("", "", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("agent", "client", "kind", "system"), SEEN)
def test_a_user_agent_tells_client_device_and_system(agent: str, client: str, kind: str, system: str) -> None:
    assert device_of(agent) == Device(client=client, kind=kind, system=system)


@given(
    agent=st.one_of(st.text(max_size=700), st.lists(st.sampled_from([row[0] for row in SEEN])).map(" ".join))
)
def test_any_text_tells_something_short_or_nothing(agent: str) -> None:
    device = device_of(agent)
    assert device.kind in ("desktop", "mobile", "tablet", "")
    assert device.client in {*CLIENTS, "other", ""}
    assert device.system in {*SYSTEMS, "other", ""}


def test_only_the_beginning_of_a_long_user_agent_is_read() -> None:
    assert device_of("x" * 512 + " Firefox/140.0") == Device()
    assert device_of("x" * 400 + " Firefox/140.0").client == "Firefox"
