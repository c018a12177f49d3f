"""Reports as remote hosts write them: builders, and one sample in the manner of each well-known writer."""

from __future__ import annotations

from dataclasses import dataclass

from relay.bounces import Action, Kind

JOE = "joe@people.example"
ORIGINAL = "From: news@shop.example\nTo: joe@people.example\nSubject: Apples\n\nApples are here.\n"


def crlf(text: str) -> bytes:
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def report(*parts: tuple[str, str], kind: str = "delivery-status", header: str = "") -> bytes:
    """A multipart/report of these (content type, content)."""
    made = "".join(f"--=_b\nContent-Type: {type_}\n\n{content}\n" for type_, content in parts)
    return crlf(
        f"From: Mail Delivery System <MAILER-DAEMON@mx.people.example>\nTo: you@bounces.example\n{header}"
        "Subject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"
        f'Content-Type: multipart/report; report-type={kind};\n\tboundary="=_b"\n\n{made}--=_b--\n'
    )


def status(*fields: str, reporter: str = "dns; mx.people.example") -> str:
    """A delivery-status part about one recipient."""
    return "\n".join((f"Reporting-MTA: {reporter}", "", *fields, ""))


def failure(
    code: str = "5.1.1",
    recipient: str = JOE,
    action: str = "failed",
    diagnostic: str = "smtp; 550 5.1.1 <joe@people.example>: no such user",
) -> bytes:
    """A plain, modern bounce."""
    fields = (f"Final-Recipient: rfc822; {recipient}", f"Action: {action}", f"Status: {code}")
    return report(
        ("text/plain", "It did not work out."),
        ("message/delivery-status", status(*fields, f"Diagnostic-Code: {diagnostic}")),
        ("message/rfc822", ORIGINAL),
    )


def complaint(return_path: str, type_: str = "abuse", *, redacted: bool = False) -> bytes:
    """What a feedback loop sends."""
    mail_from = "" if redacted else f"Original-Mail-From: <{return_path}>\n"
    fields = f"Feedback-Type: {type_}\nUser-Agent: FeedbackLoop/2.1\nVersion: 1\n{mail_from}"
    return report(
        ("text/plain", "A user did not want this."),
        (
            "message/feedback-report",
            f"{fields}Original-Rcpt-To: <{JOE}>\nReporting-MTA: dns; fbl.people.example\n",
        ),
        ("message/rfc822", f"Return-Path: <{return_path}>\n{ORIGINAL}"),
        kind="feedback-report",
    )


VACATION = crlf(
    f"From: Joe <{JOE}>\nTo: you@bounces.example\nSubject: Away: Apples\nAuto-Submitted: auto-replied (vacation)\n"
    "\nI am away until Monday. Mail was not delivered to my deputy, 550 5.1.1 is what she got.\n"
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    name: str
    data: bytes
    action: Action | None = Action.FAILED
    status: str = ""
    code: int = 0
    host: str = ""
    kind: Kind = Kind.DELIVERY

    def __str__(self) -> str:
        return self.name


SAMPLES = (
    Sample(
        name="postfix",
        data=report(
            ("text/plain; charset=us-ascii", "This is the mail system at host mx.people.example.\n\nSorry.\n"),
            (
                "message/delivery-status",
                "Reporting-MTA: dns; mx.people.example\nX-Postfix-Queue-ID: 3F2A\nX-Postfix-Sender: rfc822; x@y.example\n"
                "Arrival-Date: Fri,  1 May 2026 12:00:00 +0000 (UTC)\n\nFinal-Recipient: rfc822; joe@people.example\n"
                "Original-Recipient: rfc822;joe@people.example\nAction: failed\nStatus: 5.1.1\n"
                "Remote-MTA: dns; in.people.example\nDiagnostic-Code: smtp; 550 5.1.1 <joe@people.example>: Recipient\n"
                "    address rejected: User unknown in virtual mailbox table\n",
            ),
            ("message/rfc822", ORIGINAL),
            header="Auto-Submitted: auto-replied\n",
        ),
        status="5.1.1",
        code=550,
        host="in.people.example",
    ),
    Sample(
        name="postfix that gave up waiting",
        data=failure("4.4.1", diagnostic="X-Postfix; connect to in.people.example[192.0.2.1]:25: Connection timed out"),
        status="4.4.1",
        host="mx.people.example",
    ),
    Sample(
        name="postfix that is still trying",
        data=failure("4.4.1", action="delayed", diagnostic="X-Postfix; connect to in.people.example: Connection refused"),
        action=Action.DELAYED,
        status="4.4.1",
        host="mx.people.example",
    ),
    Sample(
        name="exim today, vague in its status",
        data=report(
            ("text/plain", "This message was created automatically by mail delivery software.\n"),
            (
                "message/delivery-status",
                "Reporting-MTA: dns; exim.example\n\nAction: failed\nFinal-Recipient: rfc822;joe@people.example\n"
                "Status: 5.0.0\nRemote-MTA: dns; in.people.example\n"
                "Diagnostic-Code: smtp; 550-5.1.1 The account does not exist.\n 550 5.1.1 Check the spelling.\n",
            ),
            header="X-Failed-Recipients: joe@people.example\nAuto-Submitted: auto-replied\n",
        ),
        status="5.1.1",
        code=550,
        host="in.people.example",
    ),
    Sample(
        name="exim of old",
        data=crlf(
            "X-Failed-Recipients: joe@people.example\nAuto-Submitted: auto-replied\n"
            "From: Mail Delivery System <Mailer-Daemon@exim.example>\nTo: you@bounces.example\n"
            "Subject: Mail delivery failed: returning message to sender\n\n"
            "A message that you sent could not be delivered to one or more of its recipients.\n\n"
            "  joe@people.example\n    SMTP error from remote mail server after RCPT TO:<joe@people.example>:\n"
            "    host in.people.example [192.0.2.25]: 550 5.2.1 mailbox disabled\n\n"
            "------ This is a copy of your message, including all the headers. ------\n\nSubject: 550 5.7.1\n"
        ),
        status="5.2.1",
        code=550,
        host="exim.example",
    ),
    Sample(
        name="exim of old without a reason",
        data=crlf("X-Failed-Recipients: joe@people.example\nFrom: Mailer-Daemon@exim.example\n\nIt did not work.\n"),
        host="exim.example",
    ),
    Sample(
        name="qmail",
        data=crlf(
            "From: MAILER-DAEMON@qmail.example\nTo: you@bounces.example\nSubject: failure notice\n\n"
            "Hi. This is the qmail-send program at qmail.example.\nI'm afraid I wasn't able to deliver your message.\n"
            "This is a permanent error; I've given up.\n\n<joe@people.example>:\n192.0.2.25 does not like recipient.\n"
            "Remote host said: 550 5.1.1 unknown user\nGiving up on 192.0.2.25.\n\n"
            "--- Below this line is a copy of the message.\n\nReturn-Path: <you@bounces.example>\n"
        ),
        status="5.1.1",
        code=550,
        host="qmail.example",
    ),
    Sample(
        name="a daemon that says its bounces are automatic",
        data=crlf(
            "From: MAILER-DAEMON@mx.people.example\nAuto-Submitted: auto-replied\nSubject: Returned mail\n\n"
            "Your message could not be delivered to:\n\n    <joe@people.example>: 550 5.1.1 unknown\n"
        ),
        status="5.1.1",
        code=550,
        host="mx.people.example",
    ),
    Sample(
        name="qmail's own mailbox",
        data=crlf(
            "From: MAILER-DAEMON@qmail.example\n\nHi. This is the qmail-send program at qmail.example.\n\n"
            "<joe@people.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n"
        ),
        status="5.1.1",
        host="qmail.example",
    ),
    Sample(
        name="exchange of old",
        data=crlf(
            "From: System Administrator <postmaster@exchange.example>\nSubject: Undeliverable: Apples\n"
            'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="=_e"\n\n--=_e\nContent-Type: text/plain\n\n'
            "Your message did not reach some or all of the intended recipients.\n\n      Subject: Apples\n\n"
            "The following recipient(s) could not be reached:\n\n      joe@people.example on 5/1/2026 12:00 PM\n"
            "            The e-mail account does not exist at the organization.\n"
            "            <exchange.example #5.1.1>\n\n--=_e--\n"
        ),
        status="5.1.1",
        host="exchange.example",
    ),
    Sample(
        name="exchange",
        data=report(
            ("text/html", "<p>Delivery has failed to these recipients</p>"),
            (
                "message/delivery-status",
                "Reporting-MTA: dns;EX1.people.example\nReceived-From-MTA: dns;relay.example\n\n"
                "Final-recipient: RFC822;joe@people.example\nAction: failed\nStatus: 5.1.1\n"
                "Diagnostic-Code: smtp;550 5.1.1 RESOLVER.ADR.RecipNotFound; not found\nX-Display-Name: Joe\n",
            ),
        ),
        status="5.1.1",
        code=550,
        host="EX1.people.example",
    ),
    Sample(
        name="microsoft 365",
        data=report(
            ("text/plain", "Your message to joe@people.example couldn't be delivered.\n"),
            (
                "message/delivery-status",
                "Reporting-MTA: dns;AM0PR01.eurprd01.prod.outlook.example\n\nFinal-Recipient: rfc822;Joe@People.example\n"
                "Action: failed\nStatus: 5.1.10\n"
                "Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address\n"
                " lookup\n",
            ),
            header="X-MS-Exchange-Message-Is-Ndr:\nAuto-Submitted: auto-replied\n",
        ),
        status="5.1.10",
        code=550,
        host="AM0PR01.eurprd01.prod.outlook.example",
    ),
    Sample(
        name="gmail",
        data=report(
            ("text/plain", "** Address not found **\n"),
            (
                "message/delivery-status",
                "Reporting-MTA: dns; googlemail.example\nArrival-Date: Fri, 01 May 2026 05:00:00 -0700 (PDT)\n"
                "X-Original-Message-ID: <1@shop.example>\n\nFinal-Recipient: rfc822; joe@people.example\n"
                "Action: failed\nStatus: 5.1.1\nRemote-MTA: dns; in.people.example. (192.0.2.7, the server for it.)\n"
                "Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.\n"
                " 550 5.1.1 More at https://support.example/ 98si - gsmtp\nLast-Attempt-Date: Fri, 01 May 2026 05:00:01\n",
            ),
            header="X-Failed-Recipients: joe@people.example\nAuto-Submitted: auto-replied\n",
        ),
        status="5.1.1",
        code=550,
        host="in.people.example.",
    ),
    Sample(
        name="yahoo",
        data=report(
            ("text/plain", "Sorry, we were unable to deliver your message to the following address.\n"),
            (
                "message/delivery-status",
                "Reporting-MTA: dns; out.yahoo.example\n\nFinal-Recipient: rfc822; joe@people.example\n"
                "Action: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 554 30 Sorry, your message to\n"
                " joe@people.example cannot be delivered. This mailbox is disabled (554.30).\n",
            ),
        ),
        status="5.0.0",
        code=554,
        host="out.yahoo.example",
    ),
    Sample(
        name="a full mailbox",
        data=failure("5.2.2", diagnostic="smtp; 552 5.2.2 Over quota"),
        status="5.2.2",
        code=552,
        host="mx.people.example",
    ),
    Sample(
        name="passed on to a host without reports",
        data=failure("2.0.0", action="relayed (to non-DSN host)", diagnostic="smtp; 250 2.0.0 Ok"),
        action=Action.RELAYED,
        status="2.0.0",
        code=250,
        host="mx.people.example",
    ),
    Sample(
        name="delivered",
        data=failure("2.1.5", action="delivered", diagnostic="smtp; 250 2.1.5 Ok"),
        action=Action.DELIVERED,
        status="2.1.5",
        code=250,
        host="mx.people.example",
    ),
    Sample(
        name="an action nobody knows, after its status",
        data=failure("5.1.1", action="perished"),
        status="5.1.1",
        code=550,
        host="mx.people.example",
    ),
    Sample(
        name="internationalized, its part in base64",
        data=report(
            (
                "message/global-delivery-status\nContent-Transfer-Encoding: base64",
                "UmVwb3J0aW5nLU1UQTogZG5zOyBteC5wZW9wbGUuZXhhbXBsZQoKRmluYWwtUmVjaXBpZW50\n"
                "OiB1dGYtODsgam9lQHBlb3BsZS5leGFtcGxlCkFjdGlvbjogZmFpbGVkClN0YXR1czogNS4x\nLjEK",
            ),
        ),
        status="5.1.1",
        host="mx.people.example",
    ),
    Sample(name="a vacation", data=VACATION, kind=Kind.AUTOMATIC, action=None),
    Sample(
        name="a vacation from a mail system",
        data=crlf("From: postmaster@people.example\nX-Autoreply: yes\n\nJoe was not delivered to 550 5.1.1 here.\n"),
        kind=Kind.AUTOMATIC,
        action=None,
    ),
    Sample(
        name="a person who quotes a bounce",
        data=crlf("From: joe@people.example\n\nYou wrote: could not be delivered to joe, 550 5.1.1 no such user\n"),
        kind=Kind.OTHER,
        action=None,
    ),
    Sample(
        name="a mail system that has no refusal to tell of",
        data=crlf("From: postmaster@people.example\n\nYour mail could not be delivered to joe yet, 451 4.3.0.\n"),
        kind=Kind.OTHER,
        action=None,
    ),
    Sample(
        name="a read receipt",
        data=report(
            ("text/plain", "It was read."),
            ("message/disposition-notification", "Final-Recipient: rfc822;joe@people.example\nDisposition: displayed\n"),
            kind="disposition-notification",
        ),
        kind=Kind.OTHER,
        action=None,
    ),
)  # fmt: skip
