"""Look-ups between a real broker's output topic and HTTP."""

from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.serve.settings import load_serve_settings
from tests.support.kafka_fixtures import AnyBroker, NewTopic, until
from tests.support.serving import Topics, running_server, wait_for_lists

pytestmark = pytest.mark.kafka


def test_list_on_the_topic_is_the_answer(topics: Topics) -> None:
    topics.write_list("u1", ["a", "b", "c"])
    with running_server(topics.job) as server:
        server.wait_ready()
        found = server.list_of("u1")
        assert found == {
            "user": "u1",
            "kind": "own",
            "items": [{"item": "a", "score": 1.0}, {"item": "b", "score": 0.9}, {"item": "c", "score": 0.8}],
            "source": f"{topics.events}/0/7",
            "model": "m",
            "event_time": 100.0,
            "age": 0.0,
        }
        assert server.items_of("u1", n=2) == ["a", "b"]
        assert server.items_of("u1", exclude="a,c") == ["b"]
        assert server.items_of("u1", n=0) == []


def test_newer_list_replaces_the_older_and_a_tombstone_removes_it(topics: Topics) -> None:
    with running_server(topics.job) as server:
        topics.write_list("u1", ["a"])
        until(lambda: server.items_of("u1") == ["a"])
        topics.write_list("u1", ["b"])
        until(lambda: server.items_of("u1") == ["b"])
        topics.write(topics.lists, "u1", None)
        until(lambda: server.list_of("u1")["kind"] == "none")


def test_user_without_a_list_gets_the_fallback_list(topics: Topics) -> None:
    topics.write_list("", ["x", "y"])
    with running_server(topics.job) as server:
        server.wait_ready()
        found = server.list_of("nobody")
        assert (found["kind"], [each["item"] for each in found["items"]]) == ("fallback", ["x", "y"])


def test_old_list_is_merged_and_then_replaced_by_the_fallback_list(topics: Topics) -> None:
    topics.write_list("old", ["a", "b"], event_time=100.0)
    topics.write_list("older", ["a", "b"], event_time=10.0)
    topics.write_list("new", ["a", "b"], event_time=390.0)
    topics.write_list("", ["x", "a"], event_time=400.0, stale_after=350.0, merge_after=200.0)
    with running_server(topics.job) as server:
        server.wait_ready()
        assert [server.list_of(user)["kind"] for user in ("new", "old", "older")] == ["own", "merged", "fallback"]
        assert server.items_of("old") == ["a", "x"]
        assert server.list_of("old")["age"] == 300.0


def test_ids_with_slashes_quotes_and_any_script_are_found(topics: Topics) -> None:
    ids = ["a/b", "a/list", 'q"uote', "it's", "пример", "a%2Fb", "<script>alert(1)</script>", "../../etc", "a b?c#d"]
    for each in ids:
        topics.write_list(each, [f"of {each}"])
    with running_server(topics.job) as server:
        server.wait_ready()
        from urllib.parse import quote

        for each in ids:
            answer = server.http.get(f"/v1/users/{quote(each, safe='')}/list")
            assert answer.json()["items"][0]["item"] == f"of {each}"
            assert answer.headers["content-type"] == "application/json"


def test_restart_reads_only_what_is_new(topics: Topics, tmp_path: Path) -> None:
    store = str(tmp_path / "lists.sqlite")
    for number in range(100):
        topics.write_list(f"u{number}", ["a"])
    with running_server(topics.job, store=store) as server:
        server.wait_ready()
        assert server.service.reader.follower.read == 100
    topics.write_list("u1", ["b"])
    with running_server(topics.job, store=store) as server:
        server.wait_ready()
        assert server.items_of("u99") == ["a"]
        assert server.items_of("u1") == ["b"]
        assert server.service.reader.follower.read == 1


def test_damaged_file_is_made_anew_from_the_topic(topics: Topics, tmp_path: Path) -> None:
    store = tmp_path / "lists.sqlite"
    topics.write_list("u1", ["a"])
    store.write_bytes(b"this is no database" * 1_000)
    with running_server(topics.job, store=str(store)) as server:
        server.wait_ready()
        assert server.items_of("u1") == ["a"]


def test_file_of_another_topic_is_not_believed(
    topics: Topics, broker: AnyBroker, new_topic: NewTopic, tmp_path: Path
) -> None:
    store = str(tmp_path / "lists.sqlite")
    topics.write_list("u1", ["a"])
    with running_server(topics.job, store=store) as server:
        server.wait_ready()
    other = Topics(broker, new_topic)
    other.write_list("u2", ["b"])
    with running_server(other.job, store=store) as server:
        server.wait_ready()
        assert server.items_of("u2") == ["b"]
        assert server.list_of("u1")["kind"] == "none"


def test_message_that_is_no_list_is_counted_and_passed_over(topics: Topics) -> None:
    topics.write(topics.lists, "u1", b"\xff\xfe")
    topics.write(topics.lists, "u1", b'{"user": "u1"}')
    topics.write_list("u2", ["a"])
    with running_server(topics.job) as server:
        server.wait_ready()
        wait_for_lists(server, 1)
        assert server.items_of("u2") == ["a"]
        assert server.service.reader.unreadable == 2


@pytest.mark.parametrize(
    ("query", "said"),
    [("n=x", "n"), ("n=-1", "n"), ("n=5000", "n"), ("what=1", "no such parameter"), ("fresh=perhaps", "fresh")],
)
def test_wrong_parameter_is_refused_by_name(topics: Topics, query: str, said: str) -> None:
    with running_server(topics.job) as server:
        answer = server.http.get(f"/v1/users/u1/list?{query}")
        assert answer.status_code == 400
        assert said in answer.json()["error"]


def test_body_excludes_ids_with_commas(topics: Topics) -> None:
    topics.write_list("u1", ["a,b", "c"])
    with running_server(topics.job) as server:
        server.wait_ready()
        answer = server.http.post("/v1/users/u1/list", json={"exclude": ["a,b"]})
        assert [each["item"] for each in answer.json()["items"]] == ["c"]
        assert server.http.post("/v1/users/u1/list", content=b"[").status_code == 400


@pytest.mark.parametrize("user", ["%ff", "%00", "a" * 1_025])
def test_id_that_can_be_no_id_is_refused(topics: Topics, user: str) -> None:
    with running_server(topics.job) as server:
        answer = server.http.get(f"/v1/users/{user}/list")
        assert answer.status_code == 400
        assert "expected an id" in answer.json()["error"]


def test_server_that_only_syncs_keeps_the_store_and_answers_nothing_else(topics: Topics, tmp_path: Path) -> None:
    topics.write_list("u1", ["a"])
    store = str(tmp_path / "lists.sqlite")
    with running_server(topics.job, store=store, sync_only=True) as server:
        server.wait_ready()
        assert server.http.get("/v1/users/u1/list").status_code == 404
        assert server.http.get("/metrics").status_code == 200
    with running_server(topics.job, store=store) as server:
        assert server.items_of("u1") == ["a"]


def test_other_machines_are_served_only_with_tokens_or_on_purpose() -> None:
    with pytest.raises(UsageError, match="tokens"):
        load_serve_settings({"host": "0.0.0.0"})
    assert load_serve_settings({"host": "0.0.0.0", "allow_anonymous": True}).host == "0.0.0.0"
    with pytest.raises(UsageError, match="there is no such setting"):
        load_serve_settings({"prot": 1})
