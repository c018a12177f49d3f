"""The mail of the month as its senders write it: what it says and the headers that tell the relay what it is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from relay.demonstration.company import BRANDS, HOUSE, STAFF_SENDER, Brand

_BY_SENDER = {sender: brand for brand in BRANDS for sender in (brand.sender, brand.desk)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail. `links` are words and path, the first the most inviting."""

    sender: str
    subject: str
    heading: str
    text: Sequence[str]
    links: Sequence[tuple[str, str]] = ()
    campaign: str = ""
    variant: str = ""
    tags: Sequence[str] = ()
    message_class: str = ""
    appeal: float = 1.0
    """How much it invites to be opened; 1 is usual."""
    number: int = field(default=0)

    @property
    def brand(self) -> Brand | None:
        """Whose it is; None for the house's own."""
        return _BY_SENDER.get(self.sender)


def written(letter: Letter, at: datetime, to: str) -> bytes:
    """The message, with CRLF. Its lines are short and plain, as most programs that write newsletters make them."""
    message = EmailMessage(policy=SMTP)
    brand = letter.brand
    name = brand.name if brand else "Nordhaven office"
    message["From"] = f"{name} <{letter.sender}>"
    message["To"] = to
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{letter.number}.{at:%Y%m%d%H%M%S}@{brand.domain if brand else HOUSE}>"
    if letter.campaign and brand:
        message["List-Unsubscribe"] = f"<https://{brand.domain}/leave?list={brand.key}>"
    for header, value in (
        ("Campaign", letter.campaign),
        ("Variant", letter.variant),
        ("Class", letter.message_class),
        *(("Tag", tag) for tag in letter.tags),
    ):
        if value:
            message[f"X-Candor-{header}"] = value
    message.set_content(_plain(letter), cte="7bit")
    message.add_alternative(_html(letter), subtype="html", cte="7bit")
    return message.as_bytes()


def _address(letter: Letter, path: str) -> str:
    host = letter.brand.domain if letter.brand else f"intranet.{HOUSE}"
    return path if path.startswith("https://") else f"https://{host}/{path}"


def _plain(letter: Letter) -> str:
    links = [f"{words}: {_address(letter, path)}" for words, path in letter.links]
    return (
        "\n\n".join((letter.heading, *letter.text, *links, "Your choice: {{tracking_preferences_url}}"))
        + "\n"
    )


def _html(letter: Letter) -> str:
    colour = letter.brand.colour if letter.brand else "#33415c"
    name = letter.brand.name if letter.brand else "Nordhaven"
    first, *others = letter.links or [("", "")]
    button = (
        f'<p><a href="{escape(_address(letter, first[1]))}"\n style="background:{colour};color:#ffffff;padding:12px 22px;'
        "display:inline-block;margin:8px 0;"
        f'border-radius:4px;text-decoration:none">{escape(first[0])}</a></p>\n'
        if first[0]
        else ""
    )
    rest = "".join(
        f'<li><a href="{escape(_address(letter, path))}"\n style="color:{colour}">{escape(words)}</a></li>\n'
        for words, path in others
    )
    paragraphs = "".join(f"<p>{escape(one)}</p>\n" for one in letter.text)
    leave = (
        f'<a href="https://{letter.brand.domain}/leave?list={letter.brand.key}">No more of this</a> &middot; '
        if letter.campaign and letter.brand
        else ""
    )
    return (
        '<!doctype html>\n<html><body style="margin:0;background:#f4f2ee;font-family:Georgia,serif">\n'
        f'<div style="max-width:600px;margin:0 auto;background:#ffffff;color:#222222;padding:24px">\n'
        f'<p style="color:{colour};letter-spacing:1px">{escape(name)}</p>\n<h1>{escape(letter.heading)}</h1>\n'
        f"{paragraphs}{button}"
        + (f"<ul>\n{rest}</ul>\n" if rest else "")
        + f'<p style="font-size:12px;color:#666666">'
        f'{leave}\n<a href="{{{{tracking_preferences_url}}}}">What we may see of your reading</a></p>\n'
        "</div>\n</body></html>\n"
    )


def staff_letter(number: int, subject: str, text: Sequence[str], links: Sequence[tuple[str, str]]) -> Letter:
    """Mail of the office to everybody who works here."""
    return Letter(
        sender=STAFF_SENDER,
        subject=subject,
        heading=subject,
        text=text,
        links=links,
        campaign="staff letter",
        tags=("internal",),
        message_class="requested",
        appeal=1.15,
        number=number,
    )
