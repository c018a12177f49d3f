"""Who writes and to whom: a house with three brands and a staff, and the mail systems that its readers use. Pure."""

from __future__ import annotations

from dataclasses import dataclass

HOUSE = "nordhaven.example"
BOUNCES = "bounces.nordhaven.example"
STAFF_SENDER = f"office@{HOUSE}"
SALES = f"sales@{HOUSE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """Who a newsletter is from."""

    key: str
    name: str
    domain: str
    colour: str
    currency: str
    goal: str
    """What people who follow its links may come to do."""
    lowest: int
    highest: int
    """What that is worth to it, in whole units of its currency."""

    @property
    def sender(self) -> str:
        return f"news@{self.domain}"

    @property
    def desk(self) -> str:
        """Who writes about orders."""
        return f"orders@{self.domain}"


LARCH = Brand(
    key="larch",
    name="Larch & Linen",
    domain="larchandlinen.example",
    colour="#2f5d50",
    currency="EUR",
    goal="order",
    lowest=24,
    highest=310,
)
NORTHLIGHT = Brand(
    key="northlight",
    name="Northlight Travel",
    domain="northlight.example",
    colour="#1f4b7a",
    currency="GBP",
    goal="booking",
    lowest=180,
    highest=2400,
)
KETTLE = Brand(
    key="kettle",
    name="Kettle & Crumb",
    domain="kettleandcrumb.example",
    colour="#7a3e1f",
    currency="EUR",
    goal="order",
    lowest=9,
    highest=68,
)
BRANDS = (LARCH, NORTHLIGHT, KETTLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSystem:
    """Where readers have their mailboxes, and its ways."""

    domain: str
    share: int
    """How many of a hundred customers are there."""
    busy: float = 0.0
    """How often it asks for patience."""
    greylists: bool = False
    """Whoever writes to somebody for the first time is to come again."""
    scans: bool = False
    """Its gateway follows every link before anybody sees the mail."""
    refuses: str = ""
    """The sender whose mail it takes for advertising."""
    closes: bool = False
    """It is being repaired since half an hour before the month ends."""


SYSTEMS = (
    MailSystem(domain="brightpost.example", share=38, busy=0.015),
    MailSystem(domain="inboxly.example", share=16, busy=0.004),
    MailSystem(domain="postfach.example", share=14, closes=True),
    MailSystem(domain="lettre.example", share=10),
    MailSystem(domain="casella.example", share=8),
    MailSystem(domain="orchard-hotels.example", share=5, scans=True),
    MailSystem(domain="delta-foods.example", share=4, greylists=True, scans=True),
    MailSystem(domain="oldtown-mail.example", share=3, busy=0.06),
    MailSystem(domain="brasserie-lune.example", share=2, greylists=True, refuses=NORTHLIGHT.sender),
)
BY_DOMAIN = {one.domain: one for one in (*SYSTEMS, MailSystem(domain=HOUSE, share=0))}
DEPARTMENTS = {"Sales": 18, "Logistics": 21, "Engineering": 12, "Customer care": 14, "Finance": 4}
"""People in each. Finance is smaller than any group in which somebody may be counted without a name."""
CUSTOMERS, NEWCOMERS = 320, 14
"""Who is known when the month begins, and who joins in it."""
COUNTRIES = {"GB": 27, "DE": 24, "FR": 15, "IT": 10, "US": 9, "CH": 6, "AT": 5, "": 4}
CUSTOMER_GROUPS = {"retail": 78, "wholesale": 15, "press": 7}
