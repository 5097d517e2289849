"""The OpenAPI document says what the server does."""

import pytest
from openapi_spec_validator import validate

from tests.support.kafka_fixtures import AnyBroker, NewTopic
from tests.support.serving import Topics, running_server

pytestmark = pytest.mark.kafka


def test_document_is_valid_and_names_every_route(broker: AnyBroker, new_topic: NewTopic) -> None:
    job = Topics(broker, new_topic).job.model_copy(update={"related": 1.0, "trending": 1.0})
    with running_server(job) as server:
        document = server.http.get("/openapi.json").json()
        validate(document)
        for path, operations in document["paths"].items():
            for method in operations:
                if "event-stream" in str(operations[method]):
                    continue  # never ends
                answer = server.http.request(method, path.replace("{user}", "u1").replace("{item}", "i1"))
                assert answer.status_code not in (404, 405, 500), (method, path)
        listed = document["paths"]["/v1/users/{user}/list"]["get"]["parameters"]
        assert [each["name"] for each in listed] == ["user", "n", "exclude", "tag", "fresh", "at"]


def test_answers_hide_what_went_wrong_inside(
    broker: AnyBroker, new_topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(Topics(broker, new_topic).job) as server:
        monkeypatch.setattr(server.service.lookup, "find", None)
        answer = server.http.get("/v1/users/u1/list")
        assert answer.status_code == 500
        assert "Traceback" not in answer.text
        assert "NoneType" not in answer.text
