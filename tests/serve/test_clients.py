"""The clients in docs/serving.md do what the page says."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.kafka_fixtures import AnyBroker, NewTopic
from tests.support.serving import RunningServer, Topics, running_server

pytestmark = pytest.mark.kafka

PAGE = (Path(__file__).parent.parent.parent / "docs" / "serving.md").read_text()


@pytest.fixture
def topics(broker: AnyBroker, new_topic: NewTopic) -> Topics:
    topics = Topics(broker, new_topic)
    topics.write_list("u/1", ["a", "b"])
    return topics


def code(language: str, server: RunningServer) -> str:
    """The first example of a language, at the test's address."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1].replace("http://127.0.0.1:8080", server.url)


def expect(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not on the PATH")
    return path


def test_python_client(topics: Topics) -> None:
    with running_server(topics.job) as server:
        server.wait_ready()
        names: dict[str, Any] = {}
        exec(code("python", server), names)
        shown = names["show"]("u/1", 1)
        assert [each["item"] for each in shown["items"]] == ["a"]
        assert names["clicked"]("u/1", "a", shown["source"])["accepted"] == 1
        names["site"].close()


def test_javascript_client(topics: Topics, tmp_path: Path) -> None:
    node = expect("node")
    with running_server(topics.job) as server:
        server.wait_ready()
        script = tmp_path / "client.mjs"
        script.write_text(
            code("javascript", server)
            + 'const list = await show("u/1", 1); const sent = await clicked("u/1", "a", list.source);\n'
            + "console.log(JSON.stringify([list.items[0].item, sent.accepted]));\n"
        )
        done = subprocess.run([node, str(script)], capture_output=True, text=True, check=True, timeout=120)
        assert orjson.loads(done.stdout) == ["a", 1]


def test_go_client(topics: Topics, tmp_path: Path) -> None:
    go = expect("go")
    with running_server(topics.job) as server:
        server.wait_ready()
        program = tmp_path / "main.go"
        program.write_text(
            'package main\n\nimport (\n"encoding/json"\n"fmt"\n"net/http"\n"net/url"\n)\n\n'
            + code("go", server)
            + '\nfunc main() {\n\tlist, err := show("u/1", 1)\n\tfmt.Println(list.Items[0].Item, list.Kind, err)\n}\n'
        )
        done = subprocess.run([go, "run", str(program)], capture_output=True, text=True, check=True, timeout=900)
        assert done.stdout.split() == ["a", "own", "<nil>"]
