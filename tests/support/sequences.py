"""Hits of deliveries whose maker is known: what machines of each kind do, and what people do.

Times are seconds since upstream took the mail. `o` is the pixel, `1`, `2`, … a link, `p` a look at the preference page,
`P` a choice made there. The label is a hit's maker: `person` (their mail service's proxy included) or `machine`.
"""

from __future__ import annotations

from dataclasses import dataclass

_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
AGENTS = {
    "chrome": f"{_WINDOWS} Chrome/126.0.0.0 Safari/537.36",
    "edge": f"{_WINDOWS} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
    "firefox": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "safari": f"{_MAC} Version/17.5 Safari/605.1.15",
    "iphone": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1",
    "android": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.71 "
    "Mobile Safari/537.36",
    "thunderbird": "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Thunderbird/128.6.0",
    "outlook": "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0)",
    "applemail": _MAC,
    "electron": f"{_WINDOWS} Chrome/124.0.6367.243 Electron/30.1.2 Safari/537.36",
    "gmail": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "yahoo": "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    "mpp": "Mozilla/5.0",
    "gmail-prefetch": f"{_WINDOWS} Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0",
    "ms-office": "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
    "discovery": "Microsoft Office Existence Discovery",
    "none": "",
    "python": "python-requests/2.32",
    "headless": f"{_WINDOWS} HeadlessChrome/126.0.0.0 Safari/537.36",
    "unreduced": f"{_WINDOWS} Chrome/118.0.5993.88 Safari/537.36",
    "barracuda": "Mozilla/5.0 (compatible; BarracudaCentral)",
}
"""What each calls itself."""
HOME, OFFICE, PHONE, HOTEL, CLOUD, CLOUD_2, CLOUD_3, GOOGLE, APPLE = (
    "198.18.1.7",
    "198.18.2.7",
    "198.18.3.7",
    "198.18.4.7",
    "198.19.1.1",
    "198.19.2.1",
    "198.19.3.1",
    "66.249.93.1",
    "172.225.6.1",
)


@dataclass(frozen=True)
class Made:
    """One hit and who made it."""

    at: float
    what: str
    agent: str
    address: str
    label: str


def _made(label: str, agent: str, address: str, hits: str) -> list[Made]:
    """From `o@60 1@64.5`."""
    found = []
    for one in hits.split():
        what, _, at = one.partition("@")
        found.append(Made(float(at), what, agent, address, label))
    return found


def person(agent: str, hits: str, address: str = HOME) -> list[Made]:
    return _made("person", agent, address, hits)


def machine(agent: str, hits: str, address: str = CLOUD) -> list[Made]:
    return _made("machine", agent, address, hits)


READERS = {
    "opens once": person("firefox", "o@900"),
    "opens and follows a link": person("chrome", "o@120 1@135"),
    "opens again and again over days": person("thunderbird", "o@300 o@4000 o@90000 1@90020 o@400000"),
    "follows a link without loading pictures": person("outlook", "1@240"),
    "sits waiting for the mail": person("chrome", "o@6 1@11"),
    "is quick with a notification": person("iphone", "o@4 1@7", PHONE),
    "follows two links": person("edge", "o@600 1@612 2@655"),
    "follows two links quickly": person("chrome", "o@60 1@70 2@72"),
    "opens two tabs in a second": person("firefox", "o@60 1@70 2@71.2"),
    "follows three links at a walking pace": person("safari", "o@100 1@108 2@116 3@124"),
    "follows three links in twelve seconds": person("chrome", "o@100 1@108 2@114 3@120"),
    "reads a newsletter for half an hour": person("firefox", "o@100 1@160 2@400 3@700 4@900 1@1500 5@1600"),
    "double-clicks": person("edge", "o@50 1@60 1@60.2"),
    "clicks the same link five times in despair": person("chrome", "o@50 1@60 1@62 1@64 1@66 1@68"),
    "goes between two links": person("firefox", "1@60 2@64 1@67 2@69"),
    "reads in Gmail": person("gmail", "o@700", GOOGLE) + person("chrome", "1@720"),
    "reads in Yahoo": person("yahoo", "o@1700", "74.6.1.1") + person("chrome", "1@1720"),
    "reads in Gmail at once": person("gmail", "o@5", GOOGLE) + person("android", "1@9", PHONE),
    "uses a mail program built on Electron": person("electron", "o@100 1@110"),
    "reads in Apple Mail without protection": person("applemail", "o@100") + person("safari", "1@110"),
    "has an old Outlook": person("outlook", "o@3600") + person("edge", "1@3610"),
    "looks on the phone, then at the desk": person("iphone", "o@60", PHONE) + person("firefox", "o@95 1@110"),
    "has phone and desk open together": person("android", "o@60 1@75", PHONE) + person("chrome", "o@62 2@90"),
    "reads on the train, network after network": person("android", "o@60", PHONE)
    + person("android", "o@260", HOTEL)
    + person("android", "1@420", "198.18.9.1"),
    "asks for privacy and clicks in Safari": machine("mpp", "o@40", APPLE)
    + person("safari", "1@5000 2@5030", APPLE),
    "has Apple's relay change addresses": person("safari", "o@100", "172.225.6.1")
    + person("safari", "1@130", "104.28.9.1")
    + person("safari", "2@170", "146.75.1.1"),
    "looks at the preferences and goes": person("firefox", "o@100 p@120"),
    "follows a link, and hours later declines": person("firefox", "o@100 1@110 p@9000 P@9030"),
    "follows a link and declines at once": person("chrome", "o@100 1@110 p@125 P@140"),
    "changes their mind on the page, then reads on": person("chrome", "o@100 p@105 P@115 1@130"),
    "looks at the preferences and much later at a link": person("safari", "o@100 p@110 1@200"),
    "shares an office's address": person("chrome", "o@100 1@120", OFFICE),
    "shares an office's address, in another program": person("firefox", "o@101 1@119", OFFICE),
    "shares an office's address, a third": person("edge", "o@99 2@121", OFFICE),
    "forwards to a colleague": person("outlook", "o@100") + person("edge", "o@160", OFFICE),
    "opens on a phone that says much": person("android", "o@30 1@41 2@50", PHONE),
    "comes back a year later": person("firefox", "1@31536000"),
    "opens through a hotel's network": person("safari", "o@500 1@530", HOTEL),
    "opens in the evening on the tablet": person("iphone", "o@30000 1@30030")
    + person("chrome", "o@40000", OFFICE),
    "opens while the company's scanner was there before": machine("chrome", "1@1 2@1.4 3@2.5 o@3.1")
    + person("outlook", "o@600")
    + person("edge", "2@615"),
    "follows a link that is looked into first": machine("none", "1@599.2") + person("edge", "1@600 2@640"),
    "follows a link that a sandbox looks into": person("chrome", "o@300 1@330")
    + machine("headless", "1@330.6"),
    "opens what Gmail fetched before": machine("gmail-prefetch", "o@10", GOOGLE)
    + person("gmail", "o@800", GOOGLE),
    "opens what Office looked at": machine("ms-office", "o@40") + person("outlook", "o@90"),
    "opens an hour after the burst": machine("chrome", "1@30 2@31 3@32 4@33")
    + person("firefox", "o@3600 1@3610"),
}
MACHINES = {
    "Apple's protection": machine("mpp", "o@15", APPLE),
    "Apple's protection, again": machine("mpp", "o@15 o@7000", APPLE),
    "Gmail prefetching": machine("gmail-prefetch", "o@3", GOOGLE),
    "Office preview": machine("ms-office", "o@100"),
    "Office looking for links": machine("discovery", "1@100 2@100.5"),
    "a scanner at the gateway": machine("chrome", "o@0.3 1@0.4 2@0.5"),
    "a scanner before the mail is taken": machine("chrome", "o@-2 1@-1.8 2@-1.5"),
    "a scanner with one link": machine("safari", "1@1.1"),
    "a scanner that goes on": machine("chrome", "1@1.2 2@2.6 o@3.4"),
    "a Gmail proxy asked before anybody was there": machine("gmail", "o@0.5", GOOGLE),
    "a sandbox, later": machine("chrome", "o@60 1@61 2@62 3@63 4@64"),
    "a slow sandbox": machine("firefox", "1@200 2@204 3@208 4@212 5@216"),
    "a sandbox whose pixel comes first": machine("edge", "o@95 1@100 2@101 3@103"),
    "a sandbox whose pixel comes last": machine("edge", "1@100 2@101 3@103 o@107"),
    "a sandbox that changes its name": machine("chrome", "1@50")
    + machine("firefox", "2@51")
    + machine("iphone", "3@52 o@53"),
    "a sandbox with two tries for each": machine("chrome", "1@50 1@50.4 2@52 2@52.4 3@54 3@54.4"),
    "a crawler over hours and then at once": machine("python", "1@5000")
    + machine("chrome", "1@9000 2@9002 3@9003"),
    "a cloud of scanners": machine("chrome", "1@40")
    + machine("chrome", "1@55", CLOUD_2)
    + machine("chrome", "1@70", CLOUD_3),
    "a cloud that loads the pixel": machine("firefox", "o@300")
    + machine("safari", "o@340", CLOUD_2)
    + machine("edge", "1@390", CLOUD_3),
    "a scanner that follows everything, preferences too": machine("chrome", "o@88 p@90 1@91"),
    "a scanner that ends with the preferences": machine("firefox", "1@90 p@92"),
    "a scanner that follows two links and the preferences slowly": machine("firefox", "1@90 2@110 p@130"),
    "a scanner without a name": machine("none", "o@70 1@80"),
    "a program": machine("python", "1@700 2@705"),
    "a headless browser": machine("headless", "o@700 1@705"),
    "a browser that says too much": machine("unreduced", "o@700 1@705"),
    "one that says who it is": machine("barracuda", "1@30 2@31"),
    "Apple's name on a link": machine("mpp", "1@30"),
    "Gmail's name on a link": machine("gmail", "1@30", GOOGLE),
    "two links in the same instant": machine("chrome", "1@30 2@30.01"),
    "a sandbox with many links": machine("chrome", " ".join(f"{n}@{40 + n / 5}" for n in range(1, 30))),
    "a whole gateway's day": machine("chrome", "o@0.2 1@0.3 2@0.4 3@0.5")
    + machine("unreduced", "1@3600 2@3601 3@3602")
    + machine("none", "1@7200"),
    "one that behaves like a person": machine("chrome", "1@45"),  # nobody could know
}
SEQUENCES = READERS | MACHINES
