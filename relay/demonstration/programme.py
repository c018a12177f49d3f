"""What is sent when: the month's newsletters, tests of two versions, staff letters. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.demonstration.company import KETTLE, LARCH, NORTHLIGHT, Brand
from relay.demonstration.newsletters import Letter, staff_letter

DAYS = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One sending. `readers` is a brand's key, or `""` for staff; of several versions each goes to its part."""

    at: datetime
    letters: tuple[Letter, ...]
    readers: str


_ISSUES: dict[str, tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]] = {
    "larch": (
        ("Linen that gets better with age", "Six washes in, our summer linen is at its softest.",
         (("See the linen", "linen?from=letter"), ("How to wash it", "journal/washing"), ("All fabrics", "fabrics"))),
        ("The blanket list", "Wool from one valley, woven in one mill, in five colours.",
         (("See the blankets", "blankets"), ("The mill", "journal/mill"), ("Price list", "prices.pdf"))),
        ("What our carpenters keep for themselves", "Offcuts of larch make the best boards.",
         (("See the boards", "boards"), ("Oil and care", "journal/oil"), ("Shops", "shops"))),
        ("Dark mornings, warm floors", "Rugs are back, and so is the undyed one.",
         (("See the rugs", "rugs"), ("Measure your room", "journal/measure"), ("Price list", "prices.pdf"))),
        ("New this week", "Candles, hooks, and the long table.",
         (("See what is new", "new"), ("The long table", "tables/long"), ("Shops", "shops"))),
    ),
    "northlight": (
        ("Night trains that still run", "Four of them leave before you have had dinner.",
         (("Find a train", "trains"), ("Packing list", "guides/packing"), ("Offers", "offers"))),
        ("Islands without a bridge", "You arrive by boat, or not at all.",
         (("See the islands", "islands"), ("Ferries", "guides/ferries"), ("Offers", "offers"))),
        ("Where autumn takes its time", "Ten walks that end at a good table.",
         (("See the walks", "walks"), ("Guides", "guides"), ("Offers", "offers"))),
        ("The north in winter", "Short days, long saunas.",
         (("See the cabins", "cabins"), ("When to go", "guides/winter"), ("Offers", "offers"))),
    ),
    "kettle": (
        ("First flush, second cup", "Darjeeling has landed, and we have opinions.",
         (("Taste it", "teas/darjeeling"), ("Brewing times", "guides/brewing"), ("All teas", "teas"))),
        ("Bread weather", "One dough, three loaves, no kneading.",
         (("The recipe", "recipes/bread"), ("Flour", "flour"), ("All recipes", "recipes"))),
        ("A tin for the office", "Two hundred bags and no excuses.",
         (("See the tins", "tins"), ("For companies", "companies"), ("Price list", "prices.pdf"))),
        ("Sunday scones", "They take twenty minutes, and are gone in ten.",
         (("The recipe", "recipes/scones"), ("Jams", "jams"), ("All recipes", "recipes"))),
    ),
}  # fmt: skip
_FRIDAYS = (
    ("Friday letter: the new warehouse", "Gate 4 opens on Monday. Here is where everything went."),
    ("Friday letter: figures of the quarter", "Travel is up, linen is steady, and tea surprised everybody."),
    ("Friday letter: who is new", "Seven people, three desks, one dog."),
    ("Friday letter: the year's last market", "Who stands behind which counter, and who brings the urn."),
)
_DRILL = ("Please read: changed fire drill routes", "The meeting point has moved. Two minutes, please.")
_TRAINING = (
    "Security training is due",
    "Everybody, by the end of the month. It takes a quarter of an hour.",
)
_BODY = (
    "We wrote this one with the window open. If it reads like that, all the better.",
    "Reply if you like: a person answers.",
)


def programme(begins: datetime, ends: datetime) -> list[Issue]:
    """Every issue from the first day (00:00 UTC) until now, in order."""
    issues = [
        *_weekly(LARCH, begins, weekday=1, hour=8, minute=30),
        *_weekly(NORTHLIGHT, begins, weekday=3, hour=16, minute=45),
        *_weekly(KETTLE, begins, weekday=5, hour=9, minute=10),
        *_staff(begins),
        *_tests(begins),
        *_just_now(ends),
    ]
    return sorted((one for one in issues if one.at <= ends), key=lambda one: one.at)


def _weekly(brand: Brand, begins: datetime, *, weekday: int, hour: int, minute: int) -> Iterator[Issue]:
    for number, at in enumerate(_days(begins, weekday, hour, minute)):
        subject, text, links = _ISSUES[brand.key][number % len(_ISSUES[brand.key])]
        yield Issue(at=at, readers=brand.key, letters=(_issue(brand, number, subject, text, links),))


def _issue(
    brand: Brand, number: int, subject: str, text: str, links: tuple[tuple[str, str], ...], **more: object
) -> Letter:
    values: dict[str, object] = {
        "sender": brand.sender,
        "subject": subject,
        "heading": subject,
        "text": (text, *_BODY),
        "links": links,
        "campaign": f"{brand.key} weekly",
        "tags": ("newsletter", brand.key),
        "message_class": "requested",
        "number": number,
    }
    return Letter(**{**values, **more})  # type: ignore[arg-type]


def _staff(begins: datetime) -> Iterator[Issue]:
    links = (
        ("Read it on the intranet", "letter"),
        ("Ask a question", "questions"),
        ("The canteen's week", "canteen"),
    )
    fridays = zip(_days(begins, 4, 11, 5), _FRIDAYS, strict=False)
    others = (
        (begins + timedelta(days=9, hours=13, minutes=20), _DRILL),
        (begins + timedelta(days=24, hours=9, minutes=40), _TRAINING),
    )
    for number, (at, (subject, text)) in enumerate((*fridays, *others)):
        yield Issue(at=at, readers="", letters=(staff_letter(number, subject, (text, *_BODY), links),))


def _tests(begins: datetime) -> Iterator[Issue]:
    """Two tests of two versions: in one the second is clearly better, in the other there is nothing between them."""
    autumn = tuple(
        _issue(LARCH, 100, subject, "Everything woven is a fifth cheaper until Sunday.",
               (("To the sale", "sale?autumn"), ("Price list", "prices.pdf"), ("Shops", "shops")),
               campaign="autumn sale", variant=variant, tags=("sale", "larch"), message_class="marketing", appeal=appeal)
        for variant, subject, appeal in (
            ("A", "Autumn sale", 0.62),
            ("B", "A fifth off everything woven, until Sunday", 1.45),
        )
    )  # fmt: skip
    early = tuple(
        _issue(NORTHLIGHT, 101, subject, "Book before the end of the month and choose the cabin.",
               (("Book early", "early"), ("All cabins", "cabins"), ("Terms", "terms")),
               campaign="early booking", variant=variant, tags=("offer", "northlight"), message_class="marketing")
        for variant, subject in (("A", "Book early, choose first"), ("B", "The best cabins go first"))
    )  # fmt: skip
    yield Issue(at=begins + timedelta(days=12, hours=7, minutes=15), readers=LARCH.key, letters=autumn)
    yield Issue(at=begins + timedelta(days=20, hours=17, minutes=5), readers=NORTHLIGHT.key, letters=early)


def _just_now(ends: datetime) -> Iterator[Issue]:
    """Of the last hours, so that something is under way whenever one looks."""
    subject, text, links = _ISSUES[LARCH.key][4]
    extra = _issue(LARCH, 102, f"{subject}: the long table", text, links)
    yield Issue(at=ends - timedelta(hours=3, minutes=20), readers=LARCH.key, letters=(extra,))
    subject, text, links = _ISSUES[KETTLE.key][3]
    extra = _issue(KETTLE, 103, subject, text, links, campaign="kettle extra")
    yield Issue(at=ends - timedelta(minutes=25), readers=KETTLE.key, letters=(extra,))


def _days(begins: datetime, weekday: int, hour: int, minute: int) -> Iterator[datetime]:
    for day in range(DAYS):
        at = begins + timedelta(days=day, hours=hour, minutes=minute)
        if at.weekday() == weekday:
            yield at
