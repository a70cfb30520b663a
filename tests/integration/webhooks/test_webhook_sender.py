"""What becomes of a delivery: real receivers on loopback, a clock that is moved."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from app.db.engine import Store
from app.db.models import AuditEntry, Webhook, WebhookDelivery, utcnow
from app.db.queries import webhooks as queries
from app.domain.access import Caller
from app.domain.addresses import Destinations
from app.domain.webhooks import ALL
from app.outbound import Outbound
from app.services import deliveries, outbox, webhooks
from app.settings import Settings
from tests.receiving import GIGABYTE, Received, Receiver, answers, hangs, receiving, sends_a_gigabyte
from worker import webhooks as worker
from worker.lease import STORE_AWAY
from worker.webhooks import WebhookSender

CALLER = Caller("ann", "local")
LOOPBACK = Destinations.parse("127.0.0.0/8")


@dataclass
class Clock:
    now: datetime = field(default_factory=utcnow)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Outpost:
    """A store with webhooks, and the sender of one worker."""

    store: Store
    settings: Settings
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.sender = self.another_sender()

    def another_sender(self, **how: Any) -> WebhookSender:
        settings = self.settings.model_copy(update={"outbound_allow": "127.0.0.0/8"})
        how = {"clock": self.clock, "jitter": lambda: 0.0} | how
        return WebhookSender(settings, self.store, threading.Event(), **how)

    def webhook(self, url: str, tenant: str = "ann") -> Webhook:
        with self.store.write() as session:
            return webhooks.create(
                session,
                Caller(tenant, "local"),
                LOOPBACK,
                url=url,
                description="",
                event_types=ALL,
                enabled=True,
                most=100,
            )

    def event(self, webhook: Webhook, count: int = 1) -> list[str]:
        """Ids of new deliveries; to the sender all events are alike."""
        with self.store.write() as session:
            row = session.get_one(Webhook, webhook.id)
            ids = [outbox.tell_test(session, row) for _ in range(count)]
            for delivery_id in ids:
                session.get_one(WebhookDelivery, delivery_id).event_type = "job.succeeded"
                session.get_one(WebhookDelivery, delivery_id).next_attempt_at = self.clock.now
        return ids

    def send(self) -> int:
        """What is due now, to its end."""
        begun = 0
        while more := self.sender.send_due():
            assert self.sender.wait(120)
            begun += more
        return begun

    def read(self, delivery_id: str) -> WebhookDelivery:
        with self.store.read() as session:
            return session.get_one(WebhookDelivery, delivery_id)

    def look(self, webhook: Webhook) -> Webhook:
        with self.store.read() as session:
            return session.get_one(Webhook, webhook.id)


@pytest.fixture
def outpost(store: Store, settings: Settings) -> Outpost:
    return Outpost(store, settings)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def verified(secret: str, received: Received) -> dict[str, Any]:
    """What a receiver does with the stock library."""
    content: dict[str, Any] = Verifier(secret).verify(received.body, received.headers)
    return content


class TestSignature:
    def test_the_stock_library_verifies_a_delivery(self, outpost: Outpost, receiver: Receiver) -> None:
        webhook = outpost.webhook(receiver.url)
        (delivery_id,) = outpost.event(webhook)
        assert outpost.send() == 1
        (received,) = receiver.received
        event = verified(webhook.secret, received)
        assert event["id"] == received.headers["webhook-id"] == outpost.read(delivery_id).event_id
        assert received.headers["content-type"] == "application/json"
        with pytest.raises(WebhookVerificationError):
            verified(webhook.secret, Received(received.path, received.headers, received.body + b" "))
        with pytest.raises(WebhookVerificationError):
            verified("whsec_" + "A" * 43 + "=", received)

    def test_for_a_day_after_a_rotation_both_secrets_verify_it(self, outpost: Outpost, receiver: Receiver) -> None:
        webhook = outpost.webhook(receiver.url)
        with outpost.store.write() as session:
            rotated = webhooks.rotate_secret(session, CALLER, webhook.id)
        outpost.event(webhook)
        outpost.send()
        for secret in (webhook.secret, rotated.secret):
            assert verified(secret, receiver.received[0])
        outpost.clock.move(hours=24, minutes=10)  # the rotation was a moment after the clock was set
        outpost.event(webhook)
        outpost.send()
        assert len(receiver.received[1].headers["webhook-signature"].split()) == 1


class TestAttempts:
    def test_a_receiver_that_was_down_for_an_hour_gets_it_once(self, outpost: Outpost) -> None:
        with receiving() as gone:
            webhook = outpost.webhook(gone.url)
        (delivery_id,) = outpost.event(webhook)
        began, made = outpost.clock.now, []
        for _ in range(4):  # at once, then after 5 s, 5 min, 30 min: nobody listens
            assert outpost.send() == 1
            row = outpost.read(delivery_id)
            assert row.next_attempt_at is not None
            assert row.error == "The connection failed: Connection refused."
            made.append(round((outpost.clock.now - began).total_seconds()))
            outpost.clock.now = row.next_attempt_at - timedelta(seconds=1)
            assert outpost.send() == 0  # not before its time
            outpost.clock.move(seconds=1)
        assert made == [0, 5, 305, 2105]
        with receiving(port=gone.port) as back:  # the hour is over
            assert outpost.send() == 1
            outpost.clock.move(hours=100)
            assert outpost.send() == 0
            assert len(back.received) == 1
        row = outpost.read(delivery_id)
        assert (row.state, row.attempts, row.status) == ("succeeded", 5, 204)
        assert [attempt["status"] for attempt in row.log] == [None, None, None, None, 204]
        assert outpost.look(webhook).failing_since is None

    def test_one_that_answers_500_is_tried_seven_times_in_all(self, outpost: Outpost, receiver: Receiver) -> None:
        receiver.behaviour = answers(500, b"database is down")
        webhook = outpost.webhook(receiver.url)
        (delivery_id,) = outpost.event(webhook)
        began, made = outpost.clock.now, []
        while (due := outpost.read(delivery_id).next_attempt_at) is not None:
            outpost.clock.now = due
            outpost.send()
            made.append(round((due - began).total_seconds()))
        assert made == [0, 5, 305, 2105, 9305, 27305, 63305]
        row = outpost.read(delivery_id)
        assert (row.state, row.attempts, row.status) == ("failed", 7, 500)
        assert (row.error, row.answer) == ("The receiver answered 500.", "database is down")
        assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
        assert len({request.body for request in receiver.received}) == 1

    @pytest.mark.parametrize("location", ["http://169.254.169.254/latest/", "http://127.0.0.1:{port}/elsewhere"])
    def test_a_redirect_is_a_failure_and_is_not_followed(
        self, outpost: Outpost, receiver: Receiver, location: str
    ) -> None:
        receiver.behaviour = answers(307, Location=location.format(port=receiver.port))
        (delivery_id,) = outpost.event(outpost.webhook(receiver.url))
        outpost.send()
        row = outpost.read(delivery_id)
        assert (row.state, row.status) == ("pending", 307)
        assert row.error is not None and "redirects are not followed" in row.error
        assert [request.path for request in receiver.received] == ["/hooks"]

    def test_of_a_gigabyte_a_kibibyte_is_kept(self, outpost: Outpost, receiver: Receiver) -> None:
        receiver.behaviour = sends_a_gigabyte
        (delivery_id,) = outpost.event(outpost.webhook(receiver.url))
        outpost.send()
        row = outpost.read(delivery_id)
        assert (row.state, row.answer) == ("succeeded", "x" * 1024)
        assert receiver.sent_bytes < GIGABYTE / 10

    def test_an_answer_that_is_no_text_is_kept_as_far_as_it_can_be(self, outpost: Outpost, receiver: Receiver) -> None:
        receiver.behaviour = answers(500, b"\x00\xff\xfe ok")
        (delivery_id,) = outpost.event(outpost.webhook(receiver.url))
        outpost.send()
        assert outpost.read(delivery_id).answer == "\ufffd\ufffd\ufffd ok"

    def test_one_that_hangs_fails_and_holds_up_nobody_else(self, outpost: Outpost, receiver: Receiver) -> None:
        with receiving(hangs) as hanging:
            stuck = outpost.event(outpost.webhook(hanging.url), count=20)
            other = outpost.event(outpost.webhook(receiver.url), count=20)
            assert outpost.sender.send_due() > 0
            while len(receiver.received) < 20:  # all of them, while the other hangs
                outpost.sender.send_due()
                threading.Event().wait(0.05)
            assert len(hanging.received) <= worker.AT_ONCE_TO_HOST
            assert {outpost.read(delivery_id).attempts for delivery_id in stuck} == {0}
            # 10 s later it is left
            while not any(outpost.read(delivery_id).attempts for delivery_id in stuck):
                threading.Event().wait(0.1)
            errors = {outpost.read(delivery_id).error for delivery_id in stuck} - {None}
            assert errors == {"Nothing was received for 10 s."}
        assert outpost.sender.wait(120)
        assert {outpost.read(delivery_id).state for delivery_id in other} == {"succeeded"}

    def test_a_tenant_takes_no_more_than_its_share(self, outpost: Outpost, receiver: Receiver) -> None:
        with receiving(hangs) as one, receiving(hangs) as two, receiving(hangs) as three:
            for hanging in (one, two, three):
                outpost.event(outpost.webhook(hanging.url), count=10)
            outpost.event(outpost.webhook(receiver.url, tenant="bob"))
            begun = outpost.sender.send_due()
            assert begun == worker.AT_ONCE_OF_TENANT + 1
            while not receiver.received:
                threading.Event().wait(0.02)
        assert outpost.sender.wait(120)

    def test_a_webhook_that_is_disabled_gets_nothing_of_what_waits(self, outpost: Outpost, receiver: Receiver) -> None:
        webhook = outpost.webhook(receiver.url)
        (delivery_id,) = outpost.event(webhook)
        with outpost.store.write() as session:
            webhooks.update(session, CALLER, LOOPBACK, webhook.id, {"enabled": False})
        assert outpost.send() == 0
        row = outpost.read(delivery_id)
        assert (row.state, row.error) == ("failed", "The webhook is disabled.")
        assert receiver.received == []

    def test_redelivery_sends_the_same_event_with_all_its_attempts(self, outpost: Outpost, receiver: Receiver) -> None:
        receiver.behaviour = answers(410)
        webhook = outpost.webhook(receiver.url)
        (delivery_id,) = outpost.event(webhook)
        outpost.send()
        receiver.behaviour = answers(503)
        with outpost.store.write() as session:
            webhooks.update(session, CALLER, LOOPBACK, webhook.id, {"enabled": True})
            webhooks.redeliver(session, CALLER, webhook.id, delivery_id)
        outpost.clock.now = utcnow()
        outpost.send()
        row = outpost.read(delivery_id)
        assert (row.state, row.attempts, row.status, len(row.log)) == ("pending", 1, 503, 2)
        receiver.behaviour = answers(204)
        for _ in range(2):  # one that waits need not wait; one that was received is sent again
            with outpost.store.write() as session:
                webhooks.redeliver(session, CALLER, webhook.id, delivery_id)
            outpost.clock.now = utcnow()
            outpost.send()
            assert outpost.read(delivery_id).state == "succeeded"
        assert len({(request.headers["webhook-id"], request.body) for request in receiver.received}) == 1
        assert len(receiver.received) == 4


class TestDisabling:
    def test_five_days_of_failures_disable_it_with_a_reason(self, outpost: Outpost, receiver: Receiver) -> None:
        receiver.behaviour = answers(500)
        webhook = outpost.webhook(receiver.url)
        began = outpost.clock.now
        while outpost.clock.now - began < timedelta(days=5):
            assert outpost.look(webhook).enabled
            outpost.event(webhook)
            outpost.send()
            outpost.clock.move(hours=12)
        outpost.event(webhook)
        outpost.send()
        found = outpost.look(webhook)
        assert not found.enabled
        assert found.disabled_reason is not None
        assert "has failed; the last one: The receiver answered 500." in found.disabled_reason
        with outpost.store.read() as session:
            (entry,) = session.scalars(select(AuditEntry).where(AuditEntry.action == "disable_webhook"))
            assert (entry.actor, entry.tenant, entry.object_id) == ("service", "ann", webhook.id)
        with outpost.store.write() as session:
            changed = webhooks.update(session, CALLER, LOOPBACK, webhook.id, {"enabled": True})
            assert (changed.enabled, changed.disabled_reason, changed.failing_since) == (True, None, None)

    def test_one_success_in_between_starts_the_days_anew(self, outpost: Outpost, receiver: Receiver) -> None:
        webhook = outpost.webhook(receiver.url)
        for status in (500, 204, 500):
            receiver.behaviour = answers(status)
            outpost.event(webhook)
            outpost.send()
            outpost.clock.move(days=4)
        found = outpost.look(webhook)
        assert found.enabled
        assert found.failing_since is not None and found.failing_since > outpost.clock.now - timedelta(days=5)

    def test_410_disables_it_at_once(self, outpost: Outpost, receiver: Receiver) -> None:
        receiver.behaviour = answers(410)
        webhook = outpost.webhook(receiver.url)
        (delivery_id,) = outpost.event(webhook)
        outpost.send()
        assert outpost.look(webhook).disabled_reason == "Its receiver answered 410 Gone."
        assert outpost.read(delivery_id).state == "failed"


class TestDestinations:
    @pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "::1"])
    def test_a_name_that_leads_inside_fails_with_the_reason(
        self, outpost: Outpost, receiver: Receiver, address: str
    ) -> None:
        outside = Outbound(Destinations(), lambda host, port: [ip_address(address)])
        outpost.sender = outpost.another_sender(outbound=outside)
        (delivery_id,) = outpost.event(outpost.webhook(f"http://rebound.example:{receiver.port}/"))
        outpost.send()
        row = outpost.read(delivery_id)
        assert row.state == "pending"
        assert row.error is not None
        assert row.error.startswith(f"rebound.example ({address}) is not a public address")
        assert receiver.received == []

    def test_a_name_that_changes_gains_nothing(self, outpost: Outpost, receiver: Receiver) -> None:
        answers_of = [ip_address("127.0.0.1"), ip_address("169.254.169.254")]
        asked = Counter[str]()

        def rebinding(host: str, port: int) -> list[Any]:
            asked[host] += 1
            return [answers_of[(asked[host] - 1) % 2]]

        outpost.sender = outpost.another_sender(outbound=Outbound(LOOPBACK, rebinding))
        webhook = outpost.webhook(f"http://rebound.example:{receiver.port}/")
        (first,) = outpost.event(webhook)
        outpost.send()
        assert asked["rebound.example"] == 1  # checked and connected with one answer
        assert outpost.read(first).state == "succeeded"
        (second,) = outpost.event(webhook)
        outpost.send()
        assert "a cloud's metadata service" in str(outpost.read(second).error)
        assert len(receiver.received) == 1


class TestManyWorkers:
    def test_send_each_delivery_once(self, outpost: Outpost, receiver: Receiver) -> None:
        ids = outpost.event(outpost.webhook(receiver.url), count=24)
        senders = [outpost.another_sender() for _ in range(4)]

        def work(sender: WebhookSender) -> None:
            while any(outpost.read(delivery_id).state == "pending" for delivery_id in ids):
                with contextlib.suppress(*STORE_AWAY):  # as its own loop does
                    sender.send_due()
                sender.wait(120)

        threads = [threading.Thread(target=work, args=(sender,)) for sender in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(receiver.received) == 24
        assert len({request.headers["webhook-id"] for request in receiver.received}) == 24

    def test_what_a_lost_worker_has_claimed_is_sent_by_another(self, outpost: Outpost, receiver: Receiver) -> None:
        (delivery_id,) = outpost.event(outpost.webhook(receiver.url))
        with outpost.store.write() as session:
            (lost,) = deliveries.claim(session, outpost.clock.now, deliveries.Slots(9, 9, 9))
        assert outpost.send() == 0
        outpost.clock.now += deliveries.CLAIM
        assert outpost.send() == 1
        assert outpost.read(delivery_id).state == "succeeded"
        late = deliveries.Outcome(outpost.clock.now, 1.0, error="it was slow")
        with outpost.store.write() as session:
            deliveries.record(session, lost, late, outpost.clock.now, 0.0)
        row = outpost.read(delivery_id)
        assert (row.state, row.attempts) == ("succeeded", 1)

    def test_of_a_webhook_that_was_deleted_meanwhile_nothing_is_left(
        self, outpost: Outpost, receiver: Receiver
    ) -> None:
        webhook = outpost.webhook(receiver.url)
        outpost.event(webhook)
        with outpost.store.write() as session:
            (attempt,) = deliveries.claim(session, outpost.clock.now, deliveries.Slots(9, 9, 9))
        with outpost.store.write() as session:
            webhooks.delete(session, CALLER, webhook.id)
        failed = deliveries.Outcome(outpost.clock.now, 1.0, error="no")
        with outpost.store.write() as session:
            deliveries.record(session, attempt, failed, outpost.clock.now, 0.0)
            assert session.scalars(select(WebhookDelivery)).all() == []


class TestPrune:
    def test_deletes_what_is_over_and_old(self, outpost: Outpost, receiver: Receiver) -> None:
        webhook = outpost.webhook(receiver.url)
        (over,) = outpost.event(webhook)
        outpost.send()
        (waits,) = outpost.event(webhook)
        outpost.clock.move(days=29)
        outpost.sender.prune()
        assert outpost.read(over)
        outpost.clock.move(days=2)
        outpost.sender.prune()
        with outpost.store.read() as session:
            assert list(session.scalars(select(WebhookDelivery.id))) == [waits]

    def test_takes_several_turns_where_there_is_much(
        self, outpost: Outpost, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "PRUNED_AT_ONCE", 2)
        outpost.event(outpost.webhook(receiver.url), count=5)
        outpost.send()
        outpost.clock.now = datetime.now(UTC) + timedelta(days=31)
        outpost.sender.prune()
        with outpost.store.read() as session:
            assert session.scalars(select(WebhookDelivery)).all() == []
