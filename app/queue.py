"""The only Celery in the service package: messages by task name, carrying an id and nothing else.

A message is a notification; the row is the truth. So a message may be lost or doubled without harm.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import ChannelError, OperationalError
from kombu.messaging import Producer
from redis.exceptions import RedisError

from app.settings import Settings

DATASETS_QUEUE = "datasets"
TRAINING_QUEUE = "training"
IMPORT_TASK = "tdmr.import_dataset"
TRAIN_TASK = "tdmr.run_job"


class BrokerAway(Exception):
    """The broker does not answer, or with an error: Redis is full, loading, read-only, or asks for a password."""


def make_celery(settings: Settings) -> Celery:
    """The Celery application both sides share; the worker adds its tasks and how it consumes."""
    celery = Celery("tdmr", broker=settings.broker, set_as_current=False)
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_queues=[Queue(DATASETS_QUEUE), Queue(TRAINING_QUEUE)],
        task_create_missing_queues=False,
        task_routes={IMPORT_TASK: {"queue": DATASETS_QUEUE}, TRAIN_TASK: {"queue": TRAINING_QUEUE}},
        # The database recovers, so a publisher need not wait long: the API answers, the reconciler re-sends.
        broker_connection_timeout=2,
        broker_transport_options=_transport_options(settings),
    )
    return celery


def send(celery: Celery, task: str, object_id: str, producer: Producer | None = None) -> None:
    """Nudge a worker. Call it after the commit.

    Args:
        producer: from `open_producer`; without one, one of the pool is set up for this message, which costs as much as
            sending.

    Raises:
        BrokerAway: the row is safe, so callers log it and go on.
    """
    with _errors_mean_away():
        celery.send_task(task, args=[object_id], retry=False, producer=producer)


def open_producer(celery: Celery) -> Producer:
    """For one thread, until something goes wrong; then release its connection. Raises as `send`."""
    connection = celery.connection_for_write()
    try:
        with _errors_mean_away():
            producer: Producer = celery.amqp.Producer(connection, auto_declare=False)
        return producer
    except Exception:
        connection.release()
        raise


def waiting_messages(celery: Celery, queue: str) -> int:
    """How many messages wait in a queue. Raises `BrokerAway`."""
    with _errors_mean_away(), celery.connection_for_write() as connection, connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except ChannelError:  # Redis keeps no empty list, so the queue is not there
            return 0


def probe(celery: Celery) -> None:
    """Declare the queues, as each worker does before it takes messages: a Redis that is full or read-only answers, but
    serves nobody. Raises `BrokerAway`."""
    with _errors_mean_away(), celery.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        with connection.channel() as channel:
            for declared in celery.amqp.queues.values():
                declared(channel).declare()


@contextmanager
def _errors_mean_away() -> Iterator[None]:
    try:
        yield
    except (OperationalError, RedisError, OSError) as error:
        raise BrokerAway(str(error)) from error


def _transport_options(settings: Settings) -> dict[str, object]:
    if not settings.broker.startswith("filesystem://"):
        # no retries: a publisher gives up at once, and a consumer reconnects by its own rules. No list of messages that
        # are not acknowledged: it would be written after each message is taken, which a full Redis refuses
        return {"socket_timeout": 5, "socket_connect_timeout": 2, "max_retries": 0, "ack_emulation": False}
    messages, control = settings.broker_folder / "messages", settings.broker_folder / "control"
    for folder in (messages, control):
        folder.mkdir(parents=True, exist_ok=True)
    return {"data_folder_in": str(messages), "data_folder_out": str(messages), "control_folder": str(control)}
