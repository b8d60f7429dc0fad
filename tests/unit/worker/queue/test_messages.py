import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.queue.messages import CHUNK_TASK, FINISH, FINISH_TASK, QUEUES, job_call, parse_message, read_call
from worker.queue.redis_state import RedisState
from worker.request import Priority

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def encoded(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


ENVELOPES = st.fixed_dictionaries(
    {},
    optional={"body": JSON | st.text().map(encoded) | JSON.map(encoded), "headers": JSON | st.just({"task": "a"})},
)


def body_of(arguments: list) -> str:
    return encoded([arguments, {}, {"callbacks": None}])


def message_of(task: str, arguments: list, **changed: object) -> str:
    envelope = {"body": body_of(arguments), "headers": {"task": task}}
    return json.dumps({**envelope, "content-type": "application/json", "content-encoding": "utf-8", **changed})


@given(st.binary())
@example(b"\xff\xfe")
@example(b"[" * 2_000)
def test_no_bytes_bring_it_down(text: bytes) -> None:
    assert parse_message(text) is None


@given(ENVELOPES | JSON)
def test_no_json_brings_it_down(envelope: object) -> None:
    message = parse_message(json.dumps(envelope))
    assert message is None or isinstance(message[0], str)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (message_of(CHUNK_TASK, ["spring", 17]), ("spring", 17)),
        (message_of(FINISH_TASK, ["spring"]), ("spring", FINISH)),
        (message_of("other", ["spring", 17]), None),
        (message_of(CHUNK_TASK, []), None),
        *((message_of(CHUNK_TASK, ["spring", chunk]), None) for chunk in (-1, True, 1.0, "17", None, 1 << 40)),
        *((message_of(task, [job, 17]), None) for task in (CHUNK_TASK, FINISH_TASK) for job in ("../x", "", 17, None)),
        (message_of(FINISH_TASK, ["../x"]), None),
    ],
)
def test_the_task_and_its_arguments_are_read(text: str, message: tuple[str, int] | None) -> None:
    assert parse_message(text) == message
    assert parse_message(text.encode()) == message


@given(ENVELOPES | JSON)
def test_of_a_message_only_its_task_and_arguments_are_handed_on(envelope: object) -> None:
    call = read_call(json.dumps(envelope))
    assert call is None or read_call(call.envelope("hangtag.2.normal")) == call


@pytest.mark.parametrize("priority", Priority)
def test_what_is_sent_is_read(state: RedisState, priority: Priority) -> None:
    state.send(QUEUES[priority], job_call("spring", 17))
    state.send(QUEUES[priority], job_call("spring", FINISH))
    waiting = [parse_message(text) for text in state.queued(QUEUES[priority])]
    assert waiting == [("spring", FINISH), ("spring", 17)]
    assert not [text for other in Priority if other != priority for text in state.queued(QUEUES[other])]


def test_the_names_of_queues_are_in_the_order_of_urgency() -> None:
    assert sorted(QUEUES.values()) == [QUEUES[priority] for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW)]
