"""Settings: their sources, and the messages for wrong ones."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.commands.setting_options import OF_A_JOB, OF_A_REPLAY
from flows.job.connector import Findings
from flows.settings import Settings, SettingsError, all_settings, load_settings


def test_flags_come_before_variables_before_the_file_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "freshrank.toml"
    file.write_text('top = 5\ngroup = "file"\ninput_topic = "file"\n')
    monkeypatch.setenv("FRESHRANK_GROUP", "variable")
    monkeypatch.setenv("FRESHRANK_INPUT_TOPIC", "variable")
    settings = load_settings(file, input_topic="flag")
    assert (settings.input_topic, settings.group, settings.top, settings.repeats) == ("flag", "variable", 5, "allow")
    assert load_settings().group == "variable"
    assert load_settings().top == 10, "the file was for one call"


def test_tables_come_from_the_file_or_from_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "freshrank.toml"
    file.write_text('[kafka]\n"security.protocol" = "SASL_SSL"\n[rewards]\nreturn = -1.0\npurchase = 3.0\n')
    settings = load_settings(file)
    assert settings.client()["security.protocol"] == "SASL_SSL"
    assert settings.rewards == {"return": -1.0, "purchase": 3.0}
    monkeypatch.setenv("FRESHRANK_KAFKA", '{"sasl.username": "me"}')
    assert load_settings().client()["sasl.username"] == "me"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("top = 0", "setting top: Input should be greater than or equal to 1; got 0"),
        ('colour = "red"', "setting colour: there is no such setting. There are: model, top"),
        ("dedup_windw = 5", "setting dedup_windw: there is no such setting. The nearest is dedup_window."),
        ("strangers = true", "setting strangers: it is called fallback now."),
        ("top =", "expected a TOML file of settings"),
        ('model = "nope"', "there is no model 'nope'"),
        ('repeats = "sometimes"', "got 'sometimes'"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "freshrank.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert told in str(error.value)


def test_unknown_variable_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for harmless in ("FRESHRANK_CONFIG", "FRESHRANK_DATA", "FRESHRANK_TEST_OUTAGE", "FRESHRANK_SERVE_PORT"):
        monkeypatch.setenv(harmless, "none.toml")
    load_settings()
    for variable, said in (
        (
            "FRESHRANK_METRICS_PROT",
            "variable FRESHRANK_METRICS_PROT: there is no such setting. The nearest is metrics_port",
        ),
        ("FRESHRANK_STRANGERS", "variable FRESHRANK_STRANGERS: it is called fallback now"),
    ):
        monkeypatch.setenv(variable, "1")
        with pytest.raises(SettingsError, match=said):
            load_settings()
        monkeypatch.delenv(variable)


def test_every_setting_is_described_once() -> None:
    for each in all_settings():
        assert each.text.endswith((".", "`")), each.name
        assert max(len(sentence.split()) for sentence in each.text.split("`{")[0].split(". ")) <= 25, each.name
        assert each.default is not None or each.example or each.choices, f"{each.name} has neither default nor example"
        assert each.is_tuned <= each.decides_lists, each.name


def test_old_name_of_an_option_is_refused_with_the_new_one() -> None:
    for command in ("run", "replay"):
        found = CliRunner().invoke(app, [command, "--strangers", "true"])
        assert str(found.exception) == "--strangers: it is called fallback now. Write --fallback."


def test_check_takes_the_settings_of_the_job_as_options(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []

    def inspect(settings: Settings) -> Findings:
        seen.append(settings)
        return Findings([], [])

    monkeypatch.setattr("flows.job.connections.inspect_job", inspect)
    options = [
        "--model",
        "history",
        "--input-topic",
        "clicks",
        "--no-create-topics",
        "--start",
        "latest",
        "--batch",
        "9",
    ]
    found = CliRunner().invoke(app, ["check", *options])
    assert found.exit_code == 0, found.output
    [settings] = seen
    assert (settings.model, settings.input_topic, settings.create_topics) == ("history", "clicks", False)
    assert (settings.start, settings.batch, settings.output_topic) == ("latest", 9, "lists")


def test_replay_takes_what_decides_its_lists_and_run_every_scalar_setting() -> None:
    assert {"emit", "hold_back", "recovery"} <= set(OF_A_REPLAY)
    assert not {"bootstrap", "group", "kafka_password", "rewards"} & set(OF_A_REPLAY)
    assert {"bootstrap", "metrics_port", "seed", "emit"} <= set(OF_A_JOB)
    assert "kafka_password" not in OF_A_JOB


def test_secrets_come_from_variables_or_files_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHRANK_KAFKA_PASSWORD", "hunter2")
    settings = load_settings()
    assert settings.client()["sasl.password"] == "hunter2"
    assert "hunter2" not in repr(settings)
    monkeypatch.delenv("FRESHRANK_KAFKA_PASSWORD")
    secret = tmp_path / "password"
    secret.write_text("from-a-file\n")
    assert load_settings(kafka_password_file=secret).client()["sasl.password"] == "from-a-file"
    for file, said in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(SettingsError, match=rf"kafka_password_file: expected a file that holds .*{said}"):
            load_settings(kafka_password_file=file).client()
    secret.write_bytes(b"caf\xe9")
    with pytest.raises(SettingsError, match=r"password: it is not UTF-8") as error:
        load_settings(kafka_password_file=secret).client()
    assert "caf" not in str(error.value)
    monkeypatch.setenv("FRESHRANK_KAFKA", '{"sasl.password": "hunter2"')
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "hunter2" not in str(error.value)
    with pytest.raises(SettingsError) as error:
        load_settings(kafka={"sasl.password": ["hunter2"]})
    assert "hunter2" not in str(error.value)
