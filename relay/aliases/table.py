"""The headers and marks of other services, one row each: where from, what they did there, what they do here.

The documentation and `candor lint` are made of this table. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay.aliases.effects import (
    AS_EVER,
    HTML_ONLY,
    NO_CLICKS,
    NO_OPENS,
    NOTHING,
    TEXT_ONLY,
    Effect,
    alidm,
    allowed,
    campaign,
    choice,
    configuration_set,
    msys,
    pairs,
    pixel_first,
    smtpapi,
    switch,
    tag,
    tags,
    unheard_of,
    variable,
    variables,
)


class Grade(StrEnum):
    """How well a row is known."""

    DOCUMENTED = "documented"
    SEEN = "seen in code"
    UNCONFIRMED = "unconfirmed"


SERVICES = {
    "mailgun": "Mailgun",
    "postmark": "Postmark",
    "ses": "Amazon SES",
    "sendgrid": "SendGrid",
    "sparkpost": "SparkPost, Momentum",
    "mandrill": "Mandrill",
    "mailjet": "Mailjet",
    "smtpeter": "SMTPeter",
    "greenarrow": "GreenArrow",
    "postal": "Postal",
    "cuttlefish": "Cuttlefish",
    "brevo": "Brevo",
    "aliyun": "Aliyun DirectMail",
}
"""Their names in the configuration, and for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A header of another service, or with a `*` at its end a family of them."""

    service: str
    header: str
    there: str
    here: str
    effect: Effect | None = None
    """None where it means nothing here: it is taken out and that is all."""
    grade: Grade = Grade.DOCUMENTED
    last_wins: bool = False
    """Of several only the last counts; else each of them does."""


_TRACKS = "recorded openings and clicks, or not"
_OPENS, _CLICKS = "recorded openings, or not", "recorded clicks, or not"
_LESS = "off asks for less, on is what is done anyway where consent allows"
_HTML = f"{_LESS}; `htmlonly` leaves the links of the text part alone"
_TAG, _TAGS = "a tag of the message", "tags of the message"
_NAMES = "named the message for its reports"
_KEPT = "kept with the message, and shown with its events"


def _row(header: str, there: str, here: str, effect: Effect | None, **more: object) -> Alias:
    return Alias(service="", header=header, there=there, here=here, effect=effect, **more)  # type: ignore[arg-type]


def _idle(header: str, there: str, here: str = "nothing") -> Alias:
    return _row(header, there, here, None)


_ROWS: dict[str, tuple[Alias, ...]] = {
    "mailgun": (
        _row("X-Mailgun-Track", _TRACKS, _HTML, choice({"htmlonly": HTML_ONLY}, NOTHING)),
        _row("X-Mailgun-Track-Clicks", _CLICKS, _HTML, choice({"htmlonly": HTML_ONLY}, NO_CLICKS)),
        _row("X-Mailgun-Track-Opens", _OPENS, _LESS, switch(NO_OPENS)),
        _row(
            "X-Mailgun-Track-Pixel-Location-Top",
            "put the pixel at the top of the body",
            "the same, where the HTML has a `<body>`",
            pixel_first,
        ),
        _row("X-Mailgun-Tag", _NAMES, _TAG, tag),
        _row(
            "X-Mailgun-Variables",
            "came back with the events, and stood in the delivered mail",
            f"{_KEPT}; not in the delivered mail",
            variables,
        ),
        _idle("X-Mailgun-Recipient-Variables", "filled in templates per recipient"),
        _idle("X-Mailgun-Suppress-Headers", "took headers out of the delivered mail"),
        _idle("X-Mailgun-Dkim", "signed the mail, or not", "nothing: `[dkim]` says what is signed"),
        _idle("X-Mailgun-Secondary-Dkim", "signed the mail a second time", "nothing: see `[dkim]`"),
        _idle("X-Mailgun-Secondary-Dkim-Public", "signed the mail a second time", "nothing: see `[dkim]`"),
        _idle(
            "X-Mailgun-Drop-Message", "accepted the mail and threw it away", "nothing: the mail is delivered"
        ),
        _idle("X-Mailgun-Require-TLS", "delivered over TLS alone", "nothing: `[upstream] tls` says it"),
        _idle("X-Mailgun-Skip-Verification", "did not verify certificates", "nothing: see `[upstream]`"),
        _idle("X-Mailgun-Sending-Ip", "chose the sending address"),
        _idle("X-Mailgun-Sending-Ip-Pool", "chose the sending addresses"),
        _idle("X-Mailgun-Deliver-By", "delivered at a time", "nothing: the mail goes at once"),
        _idle("X-Mailgun-Delivery-Time-Optimize-Period", "chose the time", "nothing: the mail goes at once"),
        _idle("X-Mailgun-Time-Zone-Localize", "chose the time", "nothing: the mail goes at once"),
        _idle("X-Mailgun-Archive-To", "sent a copy to an archive"),
    ),
    "postmark": (
        _row("X-PM-TrackOpens", _OPENS, _LESS, switch(NO_OPENS)),
        _row(
            "X-PM-TrackLinks",
            "recorded clicks on links of the HTML, of the text, of both or none",
            f"{_LESS}; `HtmlOnly` and `TextOnly` leave the links of the other part alone",
            choice(
                {"none": NO_CLICKS, "htmlandtext": AS_EVER, "htmlonly": HTML_ONLY, "textonly": TEXT_ONLY},
                NO_CLICKS,
            ),
        ),
        _row("X-PM-Tag", _NAMES, _TAG, tag),
        _row("X-PM-Metadata-*", "came back with the events", _KEPT, variable()),
        _row(
            "X-PM-Message-Stream",
            "chose the stream",
            f"{_KEPT}, as `message-stream`",
            variable("message-stream"),
            grade=Grade.UNCONFIRMED,
        ),
        _idle("X-PM-KeepID", "kept the Message-ID", "nothing: it always stays"),
    ),
    "ses": (
        _row(
            "X-SES-CONFIGURATION-SET",
            "chose what was recorded",
            "the policy that `[compat] ses_configuration_sets` gives this name, if that is less",
            configuration_set,
        ),
        _row("X-SES-MESSAGE-TAGS", "came back with the events", _KEPT, pairs),
        _idle("X-SES-SOURCE-ARN", "chose the identity"),
        _idle("X-SES-FROM-ARN", "chose the identity"),
        _idle("X-SES-RETURN-PATH-ARN", "chose the identity"),
        _idle("X-SES-LIST-MANAGEMENT-OPTIONS", "kept lists of subscribers, and wrote unsubscribe links"),
    ),
    "sendgrid": (
        _row(
            "X-SMTPAPI",
            "JSON: switches for clicks and openings, category, unique_args, and lists of recipients",
            f"the switches: {_LESS}; `category`: tags; `unique_args`: {_KEPT}; all else, addresses among it, is not read",
            smtpapi,
        ),
    ),
    "sparkpost": (
        _row(
            "X-MSYS-API",
            "JSON: switches for clicks and openings, campaign_id, tags, metadata",
            f"the switches: {_LESS}; the campaign; tags; `metadata`: {_KEPT}",
            msys,
        ),
    ),
    "mandrill": (
        _row(
            "X-MC-Track",
            "a list of what was recorded",
            "the same: what is not in the list is not recorded; what is, where consent allows",
            allowed,
        ),
        _row("X-MC-Tags", _NAMES, _TAGS, tags),
        _row(
            "X-MC-Metadata",
            "came back with the events",
            f"{_KEPT}, unless it is about one recipient (`_rcpt`)",
            variables,
        ),
        _idle("X-MC-GoogleAnalytics", "added campaign parameters to links"),
        _idle("X-MC-GoogleAnalyticsCampaign", "added campaign parameters to links"),
        _idle("X-MC-Autotext", "made a text part"),
        _idle("X-MC-AutoHtml", "made an HTML part"),
        _idle("X-MC-InlineCSS", "rewrote the HTML"),
        _idle("X-MC-Template", "chose a template"),
        _idle("X-MC-MergeVars", "filled in templates"),
        _idle("X-MC-MergeLanguage", "filled in templates"),
        _idle("X-MC-URLStripQS", "put links together in reports"),
        _idle("X-MC-PreserveRecipients", "showed the other recipients", "nothing: headers stay as they are"),
        _idle("X-MC-TrackingDomain", "chose the tracking host", "nothing: `[tracker]` says it"),
        _idle("X-MC-SigningDomain", "chose the key", "nothing: `[dkim]` says it"),
        _idle("X-MC-ReturnPathDomain", "chose the envelope sender", "nothing: `[bounces]` says it"),
        _idle("X-MC-Subaccount", "chose the account"),
        _idle("X-MC-ViewContentLink", "showed the mail in the account"),
        _idle("X-MC-BccAddress", "sent a copy to an archive"),
        _idle("X-MC-Important", "sent it before others"),
        _idle("X-MC-IpPool", "chose the sending addresses"),
        _idle("X-MC-SendAt", "delivered at a time", "nothing: the mail goes at once"),
    ),
    "mailjet": (
        _row("X-Mailjet-TrackOpen", _OPENS, _LESS, switch(NO_OPENS)),
        _row("X-Mailjet-TrackClick", _CLICKS, _LESS, switch(NO_CLICKS)),
        _row("X-Mailjet-Campaign", _NAMES, "the campaign", campaign),
        _row("X-MJ-CustomID", "came back with the events", f"{_KEPT}, as `CustomID`", variable("CustomID")),
        _row("X-MJ-EventPayload", "came back with the events", f"{_KEPT}, as `Payload`", variable("Payload")),
        _idle("X-Mailjet-DeduplicateCampaign", "sent a campaign once to each"),
        _idle("X-Mailjet-Prio", "sent it before others"),
        _idle("X-Mailjet-Segmentation", "chose the segment"),
        _idle("X-MJ-MonitoringCategory", "raised alarms"),
        _idle("X-MJ-TemplateID", "chose a template"),
        _idle("X-MJ-TemplateLanguage", "filled in templates"),
        _idle("X-MJ-TemplateErrorReporting", "reported errors of templates"),
        _idle("X-MJ-TemplateErrorDeliver", "delivered in spite of errors"),
        _idle("X-MJ-Vars", "filled in templates"),
    ),
    "smtpeter": (
        _row("X-SMTPeter-TrackClicks", _CLICKS, _LESS, switch(NO_CLICKS)),
        _row("X-SMTPeter-TrackOpens", _OPENS, _LESS, switch(NO_OPENS)),
        _idle(
            "X-SMTPeter-PreventScam",
            "left links alone that show their address",
            "nothing: that is always so, unless `[rewrite] wrap_visible_urls` is set",
        ),
        _idle("X-SMTPeter-TrackBounces", "reported bounces", "nothing: `[bounces]` says it"),
        _row("X-SMTPeter-Tags", _NAMES, _TAGS, tags),
        _idle("X-SMTPeter-InlineCSS", "rewrote the HTML"),
        _idle("X-SMTPeter-Images", "hosted images"),
    ),
    "greenarrow": (
        _row(
            "X-GreenArrow-MailClass",
            "chose what was recorded, by the account's settings",
            f"{_KEPT}, as `MailClass`",
            variable("MailClass"),
        ),
        _row("X-GreenArrow-InstanceID", _NAMES, "the campaign", campaign),
        _row(
            "X-GreenArrow-Click-Tracking-ID",
            "came back with the events",
            f"{_KEPT}, as `Click-Tracking-ID`",
            variable("Click-Tracking-ID"),
        ),
    ),
    "postal": (
        _row("X-Postal-Tag", _NAMES, f"{_TAG}; the last one counts", tag, grade=Grade.SEEN, last_wins=True),
    ),
    "cuttlefish": (
        _row("X-Cuttlefish-Metadata-*", "was shown with the mail", _KEPT, variable(), grade=Grade.SEEN),
    ),
    "brevo": (
        _row("X-Mailin-Tag", _NAMES, _TAG, tag),
        _row("X-Mailin-Custom", "came back with the events", f"{_KEPT}, as `custom`", variable("custom")),
        _row(
            "X-Mailin-Track",
            "nothing, though it is often written",
            _LESS,
            switch(NOTHING),
            grade=Grade.UNCONFIRMED,
        ),
        _row(
            "X-Mailin-Track-Opens",
            "nothing, though it is often written",
            _LESS,
            switch(NO_OPENS),
            grade=Grade.UNCONFIRMED,
        ),
        _row(
            "X-Mailin-Track-Clicks",
            "nothing, though it is often written",
            _LESS,
            switch(NO_CLICKS),
            grade=Grade.UNCONFIRMED,
        ),
        _row(
            "X-Mailin-Track-Links",
            "nothing, though it is often written",
            _LESS,
            switch(NO_CLICKS),
            grade=Grade.UNCONFIRMED,
        ),
    ),
    "aliyun": (
        _row(
            "X-AliDM-Trace",
            "base64 of JSON: switches for openings and clicks, and a tag",
            f"the switches: {_LESS}; the tag",
            alidm,
        ),
    ),
}

ALIASES: tuple[Alias, ...] = tuple(
    Alias(
        service=service,
        header=row.header,
        there=row.there,
        here=row.here,
        effect=row.effect,
        grade=row.grade,
        last_wins=row.last_wins,
    )
    for service, rows in _ROWS.items()
    for row in rows
)

PREFIXES = {
    "x-mailgun-": "mailgun",
    "x-pm-": "postmark",
    "x-ses-": "ses",
    "x-msys-": "sparkpost",
    "x-mc-": "mandrill",
    "x-mailjet-": "mailjet",
    "x-mj-": "mailjet",
    "x-smtpeter-": "smtpeter",
    "x-greenarrow-": "greenarrow",
    "x-postal-": "postal",
    "x-cuttlefish-": "cuttlefish",
    "x-mailin-": "brevo",
    "x-alidm-": "aliyun",
}
"""Where a header begins like this, is not in the table, and has `track` in its name, it is a misspelt wish. Others are
left alone: delivered mail carries what services wrote there for themselves."""


def misspelt(service: str, name: str) -> Alias:
    return Alias(
        service=service,
        header=name,
        there="nothing that is known",
        here="taken for a misspelt wish: the message is not tracked",
        effect=unheard_of,
        grade=Grade.UNCONFIRMED,
    )
