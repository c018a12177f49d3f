"""Anything that may happen to people, their mail and their consent, as the rules of a hypothesis state machine: each is
done through the real entry points and told to the model (`support.rules`), and the two are compared after each step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support.mail import multipart, part
from support.people import Copy
from support.rules import Delivery, Model, Person, Rules, Sending, Statement
from support.stores import dump
from support.virtual import House

from tracker.config.tables import ConsentTable
from tracker.consent import Consent, DoNotTrack
from tracker.errors import InvalidValue
from tracker.statements import Statement as Telling
from tracker.store.register import Effect, Source

SENDER = "news@shop.example"
PEOPLE = tuple(f"{name}@people.example" for name in ("anna", "berta", "carla", "dora"))
MIN_GROUP = 2
LEAST = timedelta(minutes=1)
"""After a message time goes on for so long, unless a reader is quicker than any reader could be."""
URLS = ("https://shop.example/apples", "https://shop.example/pears")
BODY = (
    f'<html><body><p><a href="{URLS[0]}">apples</a> <a href="{URLS[1]}">pears</a></p>'
    '<p><a href="{{tracking_preferences_url}}">May we see whether you read this?</a></p></body></html>'
)
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
MACHINE = "curl/8.0"

people = st.sampled_from(PEOPLE)
ages = st.sampled_from([None, timedelta(), timedelta(hours=1), timedelta(days=2), timedelta(days=400)])
words = st.sampled_from(["granted", "granted", "granted", "denied", "withdrawn", "unknown"])
choices = st.sampled_from(["true", "false", "unset"])
POLICIES = ("track", "anonymous", "aggregate", "hygiene", "deny")
policies = st.sampled_from(POLICIES)
campaigns = st.sampled_from(["spring", "summer", ""])
lapses = st.sampled_from(
    [
        -timedelta(minutes=20),
        timedelta(seconds=3),
        timedelta(hours=5),
        timedelta(days=20),
        timedelta(days=500),
    ]
)
"""Of the clock, which somebody may set back."""
clients = st.sampled_from(
    [(name, False) for name in ("shop", "shop", "crm", "crm", "quiet", "mute")]
    + [("court", True), ("court", True), ("shop", True)]
)
"""Who hands the mail in, and whether it is to pass over consent: only the court may."""
places = st.integers(min_value=0, max_value=30)
hits = st.tuples(
    places,
    st.sampled_from(["open", "apples", "pears"]),
    st.sampled_from([False, False, False, True]),
    st.sampled_from(["GET", "GET", "GET", "GET", "HEAD"]),
)
_ROW = {"address": people, "consent": st.none() | words, "apart": st.none() | choices, "age": ages}
lines = st.lists(st.fixed_dictionaries({**_ROW, "proof": st.booleans()}), min_size=1, max_size=5)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What lies in somebody's inbox."""

    to: str
    copy: Copy
    sent: Delivery


class Rulebook(RuleBasedStateMachine):
    """Anything that may happen, in any order."""

    house: ClassVar[House]
    folder: ClassVar[Path]
    compared: ClassVar[int] = 0
    """How often the store was found to hold what the model holds."""
    events_seen: ClassVar[int] = 0
    """Of how many events at most."""

    def __init__(self) -> None:
        super().__init__()
        self.house.forget()
        self.model = Model(SENDER, MIN_GROUP)
        self.ids: dict[bytes, int] = {}
        """Deliveries' ids in the store, and our numbers for them."""
        self.letters: list[Letter] = []
        self.measured: list[Letter] = []
        """Those that carry something to hit."""
        self.now = self.house.clock.tick

    @initialize(
        unknown=st.just("track") | policies,
        said=st.tuples(*[st.tuples(st.none() | words, st.none() | choices)] * len(PEOPLE)),
    )
    def begin(self, unknown: str, said: tuple[tuple[Any, Any], ...]) -> None:
        self.policy(Rules(unknown=unknown))
        for name, (word, apart) in zip(PEOPLE, said, strict=True):
            self.tell(name, word, apart, None, None, False, Source.API)
        self.send(list(PEOPLE), "spring", "", None, ("shop", False), False)

    # --- the operator ---

    @rule(turns=st.lists(st.tuples(policies, st.none() | policies, st.booleans()), min_size=1, max_size=3))
    def decide_otherwise(self, turns: list[tuple[str, str | None, bool]]) -> None:
        """Once or several times, and after each the day's mail is looked at."""
        for unknown, staff, unset in turns:
            self.now(timedelta(days=1))
            self.policy(Rules(unknown=unknown, staff=staff, unset_is_true=unset))
            self.look(*PEOPLE)

    def policy(self, rules: Rules) -> None:
        self.model.rules = rules
        own = [{"groups": ["staff"], "unknown": rules.staff}] if rules.staff else []
        table = {"unknown": rules.unknown, "do_not_track_unset": rules.unset_is_true, "rule": own}
        self.house.rule(ConsentTable.model_validate(table))

    @rule(
        name=people,
        word=st.none() | words,
        apart=st.none() | choices,
        group=st.sampled_from([None, "staff", "sales"]),
        age=ages,
        proof=st.sampled_from([True, True, False]),
        source=st.sampled_from([Source.CLI, Source.API, Source.LOOKUP]),
    )
    def tell(
        self, name: str, word: Any, apart: Any, group: Any, age: timedelta | None, proof: bool, source: Source
    ) -> None:
        now = self.now()
        as_of = now - age if age is not None else None
        telling = Telling(
            address=name.upper(),
            consent=word and Consent(word),
            do_not_track=apart and DoNotTrack(apart),
            group=group,
            as_of=as_of,
            evidence={"form": "sign-up"} if proof else {},
        )
        register = self.house.domain.register
        (recorded,) = self.house.run(register.record([telling], source=source, actor="test", now=now))
        said = Statement(person=name, consent=word, apart=apart, group=group, as_of=as_of, evidence=proof)
        assert self.model.say(said, str(source), now) == (recorded.effect is not Effect.NOT_EFFECTIVE), (
            recorded
        )

    @rule(rows=lines, with_apart=st.booleans())
    def import_a_list(self, rows: list[dict[str, Any]], with_apart: bool) -> None:
        now = self.now()
        table, refused = [], 0
        for row in rows:
            as_of = now - row["age"] if row["age"] is not None else None
            cells = {
                "email": row["address"],
                "tracking_consent": row["consent"] or "",
                "as_of": as_of.isoformat() if as_of else "",
                "evidence": "a list" if row["proof"] else "",
            }
            apart = None
            if with_apart:
                cells["do_not_track"] = row["apart"] or ""
                apart = row["apart"] or "false"  # an empty cell under a header is a no
            table.append(cells)
            said = Statement(
                person=row["address"],
                consent=row["consent"],
                apart=apart,
                by_silence=not row["apart"],
                as_of=as_of,
                evidence=row["proof"],
            )
            refused += not self.model.say(said, "import", now)
        columns = [
            "email",
            "tracking_consent",
            "as_of",
            "evidence",
            *(["do_not_track"] if with_apart else []),
        ]
        assert len(self.house.import_(self.folder / "people.csv", table, columns)) == refused

    @rule(right=st.sampled_from(["anonymize", "anonymize", "erase"]), name=people)
    def exercise(self, right: str, name: str) -> None:
        """A right of theirs."""
        now, domain = self.now(), self.house.domain
        if right == "erase":
            self.house.run(domain.erasure.erase(name, actor="test", now=now))
            self.model.erase(name, now)
            self.look(name)
            return
        try:
            self.house.run(domain.rights.anonymize(name, source=Source.CLI, actor="test", now=now))
        except InvalidValue:
            assert not self.model.anonymize(name, now)
        else:
            assert self.model.anonymize(name, now)
        self.look(name)

    def purge(self) -> None:
        today = self.now().date()
        due = self.house.run(self.house.domain.purge.due(today))
        assert self.house.run(self.house.domain.purge.run(today)) == due
        self.model.purge(today)
        self.model.mailings = {row.name for row in self.house.rows("mailings")["mailings"]}

    # --- time ---

    @rule(by=lapses, purged=st.booleans())
    def time_passes(self, by: timedelta, purged: bool) -> None:
        self.now(by)
        for letter in self.measured[-len(PEOPLE) :]:  # machines look in from time to time
            self._hit(letter, "open", machine=True)
        if purged:
            self.purge()

    @precondition(lambda self: self.letters)
    @rule(which=places, days=st.sampled_from([-1, 0, 1]))
    def its_day_comes_round(self, which: int, days: int) -> None:
        """About three years after a letter, and the night after."""
        at = self.letters[which % len(self.letters)].sent.at
        there = at.replace(year=at.year + 3, day=min(at.day, 28)) + timedelta(days=days)
        if there > self.house.clock():
            self.now(there - self.house.clock())
            self.purge()

    # --- mail ---

    @rule(
        to=st.lists(people, min_size=1, max_size=len(PEOPLE), unique=True),
        campaign=campaigns,
        switches=st.sampled_from(["", "", "", "Opens", "Clicks"]),
        declared=st.sampled_from([None, None, None, "granted", "denied", "withdrawn"]),
        client=clients,
        at_once=st.booleans(),
    )
    def send(
        self,
        to: list[str],
        campaign: str,
        switches: str,
        declared: str | None,
        client: tuple[str, bool],
        at_once: bool,
    ) -> None:
        (user, override), now = client, self.now()
        header = f"From: The Shop <{SENDER}>\r\nSubject: Fruit\r\n"
        header += f"X-Candor-Campaign: {campaign}\r\n" if campaign else ""
        header += f"X-Candor-Track-{switches}: no\r\n" if switches else ""
        header += f"X-Tracking-Consent: {declared}\r\n" if declared else ""
        header += "X-Candor-Override: yes\r\n" if override else ""
        data = multipart(part(BODY), header=header)
        reply, message_id = self.house.post(data, to, sender="bounces@shop.example", user=user)
        if override and user != "court":
            assert reply.code == 550
            return
        assert reply.code == 250, reply
        mail = Sending(
            to=to,
            mailing=campaign or f"{SENDER} {now:%Y-%m-%d}",
            opens=switches != "Opens",
            clicks=switches != "Clicks",
            override=override,
            declared=declared,
            trusted=user == "crm",
            ceiling={"quiet": "anonymous", "mute": "none"}.get(user, "full"),
        )
        sent = self.model.send(mail, now)
        rows = sorted(
            (
                row
                for row in self.house.rows("deliveries")["deliveries"]
                if bytes(row.message_id) == message_id
            ),
            key=lambda row: row.position,
        )
        self.ids.update({bytes(row.id): one.number for row, one in zip(rows, sent, strict=True)})
        letters = [
            Letter(to=name, copy=self.house.shelf.got[name], sent=one)
            for name, one in zip(to, sent, strict=True)
        ]
        for letter in letters:
            expected = (letter.sent.sent.opens, 2 * letter.sent.sent.clicks)
            assert (len(letter.copy.pixels), len(letter.copy.links)) == expected, letter.sent
        self.letters += letters
        self.measured += [one for one in letters if one.copy.is_tracked]
        if not at_once:
            self.now(LEAST)

    # --- readers ---

    @precondition(lambda self: self.measured)
    @rule(hits=st.lists(hits, min_size=4, max_size=12))
    def read(self, hits: list[tuple[int, str, bool, str]]) -> None:
        """Mail that carries something to hit, however old, whatever became of its reader."""
        for which, what, machine, method in hits:
            self._hit(self.measured[-1 - which % len(self.measured)], what, machine, method)

    def look(self, *names: str) -> None:
        """They open what they got last, and follow a link in it: what holds now must show at once."""
        for name in names:
            for letter in [one for one in self.measured if one.to == name][-2:]:
                self._hit(letter, "open")
                self._hit(letter, "apples")

    def _hit(self, letter: Letter, what: str, machine: bool = False, method: str = "GET") -> None:
        now = self.now()
        urls = {"open": letter.copy.pixels, "apples": letter.copy.links, "pears": letter.copy.links[1:]}[what]
        if not urls:
            return
        answer = self.house.ask(urls[0], method, headers={"User-Agent": MACHINE if machine else PERSON})
        link = {"open": 0, "apples": 1, "pears": 2}[what]
        assert answer.location == (URLS[link - 1].encode() if link else None), answer
        if method == "GET":
            self.model.hit(letter.sent, "clicked" if link else "opened", link, now, machine=machine)

    @precondition(lambda self: self.letters)
    @rule(which=places, choice=st.sampled_from(["allow", "anonymous", "decline"]))
    def choose(self, which: int, choice: str) -> None:
        """On their own page, which a look at does not change."""
        letter, now = self.letters[-1 - which % len(self.letters)], self.now()
        record = self.model.deliveries.get(letter.sent.number)
        seen = self.house.ask(letter.copy.page)
        answer = self.house.choose(letter.copy, choice)
        assert seen.head.split()[1] == answer.head.split()[1] == (b"404" if record is None else b"200")
        if record is None or record.person is None:
            return
        held = self.model.person(record.person).consent.word
        refusal = "withdrawn" if held in ("granted", "withdrawn") else "denied"
        said = Statement(
            person=record.person,
            consent=refusal if choice == "decline" else "granted",
            apart={"allow": "false", "anonymous": "true", "decline": None}[choice],
            evidence=True,
        )
        self.model.say(said, "preference-page", now)
        self.look(record.person)

    # --- what must hold after each step ---

    @invariant()
    def the_record_is_what_the_rules_say(self) -> None:
        held = self.house.rows("events", "deliveries", "contacts", "counts", "mailings", "carried_totals")
        events = Counter(
            (self.ids[bytes(row.delivery_id)], row.kind, row.link or 0, _utc(row.at))
            for row in held["events"]
        )
        assert events == Counter((one.delivery, one.kind, one.link, one.at) for one in self.model.events)
        names = {bytes(row.id): row.name for row in held["mailings"]}
        counts = {
            (names[bytes(row.mailing_id)], row.scope, row.grp, row.kind, row.position, row.day): row.n
            for row in held["counts"]
        }
        assert counts == dict(self.model.counts)
        carried: Counter[str] = Counter()
        for row in held["carried_totals"]:
            carried[row.kind] += row.n if row.measure == "hits" else 0
        assert +carried == +self.model.carried
        deliveries = {
            self.ids[bytes(row.id)]: (row.recipient, row.mode, row.override) for row in held["deliveries"]
        }
        assert deliveries == {
            one.number: (one.person, one.mode, one.sent.override) for one in self.model.deliveries.values()
        }
        self._people(held["contacts"])
        type(self).compared += 1
        type(self).events_seen = max(self.events_seen, len(self.model.events))

    def _people(self, contacts: list[Any]) -> None:
        known = {row.address: row for row in contacts if row.address is not None}
        for name, person in self.model.people.items():
            assert (name in known) == (person.known and person.erased is None), name
            if name in known:
                row = known[name]
                found = (row.tracking_consent, row.do_not_track, row.last_open_day)
                assert found == (person.consent.word, person.apart.word, person.last_open), name
        assert len(contacts) - len(known) == sum(one.erased is not None for one in self.model.people.values())

    def teardown(self) -> None:
        """The ledger is whole and says what holds; who was erased is nowhere."""
        domain = self.house.domain
        assert self.house.run(domain.proof.verify()).broken is None
        gone = [name for name, person in self.model.people.items() if person.erased is not None]
        everything = repr(self.house.run(dump(domain.database))) if gone else ""
        assert not [name for name in gone if name in everything]
        for name, person in self.model.people.items():
            assert _overridden(self.house, name, person) == person.overridden


def _overridden(house: House, name: str, person: Person) -> int:
    """Rows of the ledger that say that this person's consent was passed over."""
    if not person.known or person.erased is not None:
        return 0
    rows = house.run(house.domain.proof.history(name))["rows"]
    return sum(row["said"] is not None and row["said"]["attribute"] == "override" for row in rows)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
