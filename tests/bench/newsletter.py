"""The message every benchmark sends: about 34 KB of HTML with 20 links, and no two alike."""

from __future__ import annotations

_PARAGRAPH = (
    '<tr><td style="padding:0 24px 18px;font:16px/1.5 Georgia,serif;color:#333333">{text} '
    '<a href="https://shop.example/item/{n}?from=news&amp;box={n}" style="color:#1f5f8b">Read about it</a></td></tr>'
    "\r\n"
)
_TEXT = "The orchard is quiet at this time of the year, and the cellar is full of what it gave. " * 17
LINKS = 20


def newsletter(greeting: str) -> bytes:
    """A complete message with CRLF line ends; `greeting` makes it unlike any other."""
    rows = "".join(_PARAGRAPH.format(text=_TEXT, n=n) for n in range(LINKS))
    html = (
        '<!doctype html>\r\n<html><head><meta charset="utf-8"><title>News</title></head>\r\n<body>\r\n'
        f"<p>Dear {greeting},</p>\r\n<table>\r\n{rows}</table>\r\n</body></html>\r\n"
    )
    head = (
        "From: The Shop <news@shop.example>\r\nTo: Reader <reader@example.org>\r\nSubject: News for "
        f"{greeting}\r\nMessage-ID: <{greeting}@shop.example>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return (head + _short_lines(html)).encode()


def _short_lines(html: str) -> str:
    """No line over 998 octets (RFC 5321 4.5.3.1.6)."""
    return html.replace(". The", ".\r\nThe")
