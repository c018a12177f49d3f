"""Person or machine, from one hit: a table of what mail services send, and rules that answer for any text at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.config.machines import shipped
from tracker.events import EventKind, Verdict, VerdictKind
from tracker.verdict import MACHINES, RULES, TOO_SOON, Hit, classify, read_lists

OPEN, CLICK = EventKind.OPENED, EventKind.CLICKED
LATER = 600.0
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"{WINDOWS} Chrome/126.0.0.0 Safari/537.36"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
GMAIL_PREFETCH = f"{WINDOWS} Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"

PEOPLE = {
    "Firefox": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Thunderbird": "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Thunderbird/128.6.0",
    "Chrome": CHROME,
    "Edge": f"{CHROME} Edg/126.0.0.0",
    "Chrome before versions were reduced": f"{WINDOWS} Chrome/112.0.5615.138 Safari/537.36",
    "Chrome on Android, never reduced alike": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/126.0.6478.71 Mobile Safari/537.36",
    "a mail program built on Electron": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.6367.243 Electron/30.1.2 Safari/537.36",
    "Safari": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1",
    "Apple Mail without protection": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko)",
    "Outlook": "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0)",
    "a person whose phone is a Cubot": "Mozilla/5.0 (Linux; Android 13; CUBOT P80 Build/TP1A) Mobile Safari/537.36",
}
MACHINE_AGENTS = [
    # user agent, kind, verdict, reason
    ("", OPEN, "scanner", "no-user-agent"),
    (" \t", CLICK, "scanner", "no-user-agent"),
    ("Mozilla/5.0", OPEN, "prefetch", "apple-mpp"),
    ("Mozilla/5.0", CLICK, "scanner", "bare-mozilla"),
    (GMAIL, OPEN, "proxy", "image-proxy"),
    (GMAIL, CLICK, "scanner", "image-proxy-click"),
    ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", OPEN, "proxy", "image-proxy"),
    (GMAIL_PREFETCH, OPEN, "prefetch", "gmail-prefetch"),
    ("Microsoft Office Existence Discovery", OPEN, "prefetch", "office-preview"),
    ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", OPEN, "prefetch", "office-preview"),
    ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", CLICK, "prefetch", "office-preview"),
    ("curl/8.5.0", CLICK, "scanner", "program"),
    ("Wget/1.21", CLICK, "scanner", "program"),
    ("python-requests/2.32", CLICK, "scanner", "program"),
    ("Go-http-client/2.0", OPEN, "scanner", "program"),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", CLICK, "scanner", "program"),
    ("Mozilla/5.0 (compatible; bingbot/2.0)", CLICK, "scanner", "program"),
    (f"{WINDOWS} HeadlessChrome/126.0.0.0 Safari/537.36", CLICK, "scanner", "program"),
    (f"{WINDOWS} Chrome/126.0.6478.71 Safari/537.36", CLICK, "scanner", "unreduced-chrome"),
    (f"{WINDOWS} Chrome/113.0.5672.92 Safari/537.36", OPEN, "scanner", "unreduced-chrome"),
    (f"{WINDOWS} Chrome/1000.0.1.0 Safari/537.36", OPEN, "scanner", "unreduced-chrome"),
    (f"{WINDOWS} Chrome/126.0.0.01 Safari/537.36", OPEN, "scanner", "unreduced-chrome"),
    ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", CLICK, "scanner", "link-preview"),
    ("Mozilla/5.0 (compatible; BarracudaCentral)", CLICK, "scanner", "security-software"),
    ("Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 PhantomJS/2.1.1", CLICK, "scanner", "program"),
]  # fmt: skip


LISTS = shipped()


def judged(one: Hit) -> Verdict:
    return classify(one, LISTS)


def hit(kind: EventKind, user_agent: str, since: float | None = LATER) -> Hit:
    return Hit(kind=kind, user_agent=user_agent, since_accepted=since)


@pytest.mark.parametrize("kind", [OPEN, CLICK])
@pytest.mark.parametrize("who", PEOPLE)
def test_a_mail_program_in_its_time_is_a_person(who: str, kind: EventKind) -> None:
    verdict = judged(hit(kind, PEOPLE[who]))
    assert (verdict.kind, verdict.reasons, verdict.rules) == (VerdictKind.PERSON, (), RULES)


@pytest.mark.parametrize(("agent", "kind", "expected", "reason"), MACHINE_AGENTS)
def test_a_machine_is_known_by_what_it_calls_itself(
    agent: str, kind: EventKind, expected: str, reason: str
) -> None:
    verdict = judged(hit(kind, agent))
    assert (verdict.kind, verdict.reasons) == (expected, (reason,))


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (None, VerdictKind.SCANNER),  # upstream has not even taken the mail
        (-5.0, VerdictKind.SCANNER),
        (0.0, VerdictKind.SCANNER),
        (TOO_SOON - 0.001, VerdictKind.SCANNER),
        (TOO_SOON, VerdictKind.PERSON),
        (3 * 365 * 86400.0, VerdictKind.PERSON),
    ],
)
def test_nobody_reads_a_mail_in_the_moment_it_arrives(since: float | None, expected: VerdictKind) -> None:
    verdict = judged(hit(OPEN, CHROME, since))
    assert verdict.kind is expected
    assert verdict.reasons == (() if expected is VerdictKind.PERSON else ("too-soon",))


def test_a_proxy_that_comes_too_soon_fetched_for_nobody_yet() -> None:
    verdict = judged(hit(OPEN, GMAIL, 0.5))
    assert (verdict.kind, verdict.reasons) == (VerdictKind.PREFETCH, ("image-proxy", "too-soon"))


def test_a_machine_stays_what_it_is_however_soon_it_comes() -> None:
    for agent, kind, expected, reason in MACHINE_AGENTS:
        if expected != "proxy":
            verdict = judged(hit(kind, agent, 0.0))
            assert (verdict.kind, verdict.reasons) == (expected, (reason,))


HITS = st.builds(
    Hit,
    kind=st.sampled_from(EventKind),
    user_agent=st.one_of(
        st.text(max_size=80),
        st.lists(
            st.sampled_from(
                [*PEOPLE.values(), *(row[0] for row in MACHINE_AGENTS), " ", "(", "Chrome/999.9.9.9"]
            ),
            max_size=4,
        ).map("".join),
    ),
    since_accepted=st.none() | st.floats(allow_nan=True, allow_infinity=True),
)


@given(one=HITS)
def test_every_hit_has_one_verdict_that_says_why(one: Hit) -> None:
    verdict = judged(one)
    assert verdict == judged(one)
    assert verdict.rules == RULES
    assert bool(verdict.reasons) == (verdict.kind is not VerdictKind.PERSON)
    assert all(" " not in reason for reason in verdict.reasons)  # they are kept with blanks between them


@given(one=HITS)
def test_nothing_that_came_too_soon_is_taken_for_a_person(one: Hit) -> None:
    if one.since_accepted is None or one.since_accepted < TOO_SOON:
        assert judged(one).kind in MACHINES


@given(
    times=st.integers(1, 2000), part=st.sampled_from(["(Windows NT ", "(X11;)", "Chrome/", "1.", ")", " bot"])
)
def test_a_long_user_agent_is_judged_all_the_same(times: int, part: str) -> None:
    assert judged(hit(OPEN, f"Mozilla/5.0 {part * times}")).kind in VerdictKind


# --- the lists ---

NETWORKS = {
    "network": [
        {"reason": "gateway", "verdict": "scanner", "networks": ["192.0.2.0/24", "2001:db8::/32"]},
        {"reason": "fetcher", "verdict": "proxy", "kinds": ["opened"], "networks": ["192.0.0.0/16"]},
        {"reason": "relay", "networks": ["198.51.100.0/24", "203.0.113.0/24"]},
    ]
}


@pytest.mark.parametrize(
    ("address", "kind", "expected", "reasons"),
    [
        ("192.0.2.9", OPEN, "scanner", ("gateway",)),
        ("::ffff:192.0.2.9", OPEN, "scanner", ("gateway",)),
        ("2001:db8:1::9", CLICK, "scanner", ("gateway",)),
        ("192.0.3.9", OPEN, "proxy", ("fetcher",)),
        ("192.0.3.9", CLICK, "person", ()),
        ("198.51.100.1", OPEN, "person", ()),
        ("10.0.0.1", OPEN, "person", ()),
        ("", OPEN, "person", ()),
        ("no address", OPEN, "person", ()),
    ],
)
def test_a_network_of_the_list_decides_where_the_user_agent_does_not(
    address: str, kind: EventKind, expected: str, reasons: tuple[str, ...]
) -> None:
    lists = read_lists({}, NETWORKS)
    one = Hit(kind=kind, user_agent=CHROME, since_accepted=LATER, address=address)
    found = classify(one, lists)
    assert (found.kind, found.reasons) == (expected, reasons)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.1.2.3", "10.1.2.250", True),
        ("10.1.2.3", "10.1.3.3", False),
        ("2a01:4f8:1:2::3", "2a01:4f8:1:ffff::1", True),
        ("2a01:4f8:1:2::3", "2a01:4f8:2:2::3", False),
        ("198.51.100.7", "203.0.113.7", True),  # one service
        ("10.1.2.3", "::ffff:10.1.2.9", True),
    ],
)
def test_what_one_network_is(one: str, other: str, same: bool) -> None:
    lists = read_lists({}, NETWORKS)
    assert (lists.place(one)[0] == lists.place(other)[0]) is same


WRONG = [
    ({"agent": [{"reason": "x", "opened": "scanner"}]}, {}, "[[agent]] 1: needs one of exact"),
    ({"agent": [{"opened": "scanner", "exact": "x"}]}, {}, "[[agent]] 1: reason is missing"),
    ({"agent": [{"reason": "x", "opened": "robot", "exact": "x"}]}, {}, "robot"),
    ({"agent": [{"reason": "two words", "opened": "scanner", "exact": "x"}]}, {}, "one word"),
    ({"agent": [{"reason": "x", "opened": "scanner", "pattern": "("}]}, {}, "regular expression"),
    ({"agent": [{"reason": "x", "opened": "scanner", "contains": "x"}]}, {}, "list of texts"),
    ({"agent": [{"reason": "x", "opened": "scanner", "exact": "x", "colour": 1}]}, {}, "no such key: colour"),
    ({"robots": []}, {}, "nothing but [[agent]]"),
    ({"agent": [7]}, {}, "[[agent]] 1"),
    ({}, {"network": [{"reason": "x", "networks": ["10.0.0.1/8"]}]}, "[[network]] 1"),
    ({}, {"network": [{"reason": "x", "verdict": "scanner"}]}, "networks is missing"),
    ({}, {"network": [{"reason": "x", "networks": [], "kinds": ["eaten"]}]}, "eaten"),
]


@pytest.mark.parametrize(("agents", "networks", "said"), WRONG)
def test_a_list_that_is_wrong_is_refused_by_entry(
    agents: dict[str, object], networks: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError) as caught:
        read_lists(agents, networks)
    assert said in str(caught.value)
