"""The messages that mutations begin with: hand-made ones of every shape, and real mail where there is some."""

from __future__ import annotations

from support.mail import corpus, crlf, message, multipart, part

LIMIT = 100_000
"""Octets of a real message; what is larger would only be slow."""

HTML = (
    "<html><head><title>News</title><style>p{color:red}</style></head>\r\n<body class=x>\r\n<p>Good day, {{name}}</p>\r\n"
    "<a href=\"http://x.example/?a=1&amp;b=2\">one</a> <a href='http://x.example/2'>two</a>\r\n"
    "<!--[if mso]><a href='http://x.example/2'>two</a><![endif]-->\r\n<a href=http://x.example/3 >grün</a>"
    "<a data-candor-no-track href='https://x.example/4'>four</a> <map><area href='http://x.example/5'></map>\r\n"
    '<a href="{{tracking_preferences_url}}">page</a> <a href="https+notrack://x.example/6">six</a>{{open_pixel}}\r\n'
    "</body></html>\r\n"
)
PLAIN = "See http://x.example/1, and <http://x.example/2>.\r\n> http://x.example/3\r\n{{tracking_preferences_url}}\r\n"


def seeds() -> list[bytes]:
    return [*hand_made(), *real()]


def hand_made() -> list[bytes]:
    found = []
    for encoding in ("8bit", "quoted-printable", "quoted-printable-binary", "base64"):
        html = part(HTML, encoding=encoding.removesuffix("-binary"))
        plain = part(PLAIN, kind="text/plain", encoding=encoding.removesuffix("-binary"))
        alternative = multipart(plain, html)
        found += [
            message(HTML, encoding=encoding, header="X-Candor-Tag: a\r\nX-Candor-Campaign: b\r\n c\r\n"),
            message(PLAIN, subtype="plain; format=flowed; delsp=yes", encoding=encoding),
            alternative,
            multipart(html, part("R0lGODlhAQABAA==", kind="image/gif", encoding="base64"), subtype="related"),
            multipart(alternative, html, subtype="mixed", boundary="b"),
            multipart(
                b"Content-Type: message/rfc822\r\n\r\n" + alternative, html, subtype="mixed", boundary="b"
            ),
            multipart(html, subtype="signed", boundary="s"),
            multipart(html, part("BEGIN:VCALENDAR", kind="text/calendar"), subtype="mixed", boundary="c"),
        ]
    found += [
        message(HTML.replace("ü", "日本"), charset=c, encoding="base64")
        for c in ("iso-2022-jp", "utf-16", "shift_jis")
    ]
    found += [message(HTML, charset=c, encoding="quoted-printable") for c in ("gb18030", "iso-8859-1")]
    return found


def real() -> list[bytes]:
    messages = [crlf(file.read_bytes()) for file in corpus("eml")]
    encodings = ("8bit", "quoted-printable", "base64")
    for number, file in enumerate(corpus("html")):
        messages.append(message(crlf(file.read_bytes()), encoding=encodings[number % 3]))
    return [one for one in messages if len(one) < LIMIT]
