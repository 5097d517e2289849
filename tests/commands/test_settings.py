"""Settings: where they come from, and what is said of a wrong one."""

from pathlib import Path

import pytest

from flows.settings import SettingsError, load_settings


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
