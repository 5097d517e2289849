"""Dialects of files: the same events are read from each, or an error names the option that is needed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.errors import LogError, UsageError
from flows.files.inputs import open_logs
from flows.files.open_log import Log, open_log
from flows.formats.file_format import FileOptions
from flows.messages import Interaction, ItemEvent, Rejected

TIMES = [1_600_000_000, 1_600_000_060, 1_600_000_125]
ROWS = [("ann", "tea, green", TIMES[0], 4.5), ("bob", "jam", TIMES[1], 3.0), ("cäm", "pie", TIMES[2], 2.5)]


def taken(log: Log) -> list[tuple[str, str, float, float]]:
    found = decoded(log)
    assert not [each for each in found if isinstance(each, Rejected)], found
    return [(e.user, e.item, e.timestamp, e.value) for e in found if isinstance(e, Interaction)]


def decoded(log: Log) -> list[object]:
    part = log.source.build_part("test", "log", None)
    found: list[object] = []
    while True:
        try:
            found += [log.decoder(raw, 0.0) for raw in part.next_batch()]
        except StopIteration:
            return found


def table(
    delimiter: str = ",",
    header: str = "user,item,timestamp,value",
    newline: str = "\n",
    number: Callable[[float], str] = str,
    time: Callable[[int], str] = str,
    quote: bool = True,
) -> str:
    def cell(text: str) -> str:
        return f'"{text}"' if quote and delimiter in text else text

    lines = [header.replace(",", delimiter)] if header else []
    lines += [delimiter.join([cell(u), cell(i), time(t), cell(number(v))]) for u, i, t, v in ROWS]
    return newline.join(lines) + newline


def comma(number: float) -> str:
    return str(number).replace(".", ",")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (table().encode(), "CSV, comma, header"),
        (table(";").encode(), "CSV, semicolon, header"),
        (table("\t").encode(), "CSV, tab, header"),
        (table("|").encode(), "CSV, pipe, header"),
        (table("::", quote=False).encode(), "CSV, '::', header"),
        (table("\x01").encode(), "CSV, Ctrl-A, header"),
        (table(";", number=comma).encode(), "CSV, semicolon, header, decimal comma"),
        (table(",", number=comma).encode(), "CSV, comma, header, decimal comma"),
        (table(newline="\r\n").encode(), "CSV, comma, header"),
        (table(newline="\r").encode(), "CSV, comma, header"),
        (table().encode("utf-8-sig"), "CSV, comma, header"),
        (table("\t").encode("utf-16"), "CSV, UTF-16, tab, header"),
        (table(";").encode("utf-16-le"), "CSV, UTF-16-LE, semicolon, header"),
        (table(newline="\r\n").encode("utf-16-be"), "CSV, UTF-16-BE, comma, header"),
        (table(header="userId,movie_id,Time,Rating").encode(), "user = userId, item = movie_id, timestamp = Time"),
        (table(time=lambda t: f"{t}000").encode(), "times in milliseconds"),
        (table(time=lambda t: f"{t}000000").encode(), "times in microseconds"),
        (table(time=lambda t: f"{t}000000000").encode(), "times in nanoseconds"),
    ],
)
def test_csv_in_every_dialect(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "sales.txt"
    path.write_bytes(data)
    log = open_log(path)
    assert taken(log) == ROWS
    assert said in log.source.said[0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "::"])
def test_csv_without_a_header_asks_for_the_columns(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "u.data"
    path.write_text(table(delimiter, header="", quote=delimiter != "::"))
    with pytest.raises(LogError, match=r"--columns user,item,timestamp,value; if the first row is a header"):
        open_log(path)
    log = open_log(path, file_options=[("*", FileOptions(columns=["user", "item", "timestamp", "value"]))])
    assert taken(log) == ROWS
    assert "no header, columns user,item,timestamp,value" in log.source.said[0]


def test_options_of_a_file_override_detection(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes("x^1^1600000000\nÿ^2^1600000001\n".encode("latin-1"))
    options = FileOptions(delimiter="^", header=False, columns=["user", "item", "timestamp"], encoding="latin-1")
    assert [user for user, *_ in taken(open_log(path, file_options=[("odd*", options)]))] == ["x", "ÿ"]


def test_text_in_another_encoding_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes("user,item,timestamp\nü,ä,1\nö,ß,2\n".encode("latin-1"))
    with pytest.raises(LogError, match=r"not UTF-8\. Name the encoding with --encoding, such as latin-1"):
        open_log(path)


def jsonl(**names: str) -> list[dict[str, object]]:
    columns = [names.get(name, name) for name in ("user", "item", "timestamp", "value")]
    return [dict(zip(columns, row, strict=True)) for row in ROWS]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n".join(map(json.dumps, jsonl())), "JSON Lines"),
        (json.dumps(jsonl()), "JSON"),
        (json.dumps(jsonl(), indent=2), "JSON"),
        ("\n".join(json.dumps(each, indent=1) for each in jsonl()), "JSON"),
        ("".join(map(json.dumps, jsonl())), "JSON"),
        ("".join(f"\x1e{json.dumps(each)}\n" for each in jsonl()), "JSON"),
        ("\r\n".join(map(json.dumps, jsonl(user="visitorId", item="sku"))), "user = visitorId, item = sku"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["events.json", "events"])
def test_json_in_every_form(tmp_path: Path, text: str, said: str, encoding: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    log = open_log(path)
    assert taken(log) == ROWS
    assert said in log.source.said[0]


def test_nested_names_are_suggested_and_read(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text('{"who": {"user_id": 7}, "what": {"sku": "tea"}, "at": "2020-09-13T12:26:40Z"}\n')
    with pytest.raises(LogError, match=r"--map user=who.user_id --map item=what.sku --map timestamp=NAME"):
        open_log(path)
    log = open_log(path, {"user": "who.user_id", "item": "what.sku", "timestamp": "at"})
    assert taken(log) == [("7", "tea", 1_600_000_000.0, 1.0)]


def test_another_kind_is_suggested_as_the_type_of_event(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text('{"user": "a", "item": "b", "timestamp": 1, "kind": "view"}\n')
    with pytest.raises(LogError, match=r"found view\. If it is the type of event: --map event=kind"):
        open_log(path)
    [event] = decoded(open_log(path, {"event": "kind"}))
    assert isinstance(event, Interaction)
    assert event.event == "view"


def test_each_of_several_files_has_its_own_format(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("visitor;page;at\nann;tea;1600000000000\n")
    (tmp_path / "old.csv").write_text("user,item,timestamp\nbob,jam,1500000000\n")
    (tmp_path / "goods.jsonl").write_text('{"kind": "item", "item": "tea", "timestamp": 1, "available": true}\n')
    file_options = [
        ("clicks.csv", FileOptions({"user": "visitor", "item": "page"})),
        ("*", FileOptions({"timestamp": "at"})),
    ]
    log = open_logs([tmp_path / name for name in ("clicks.csv", "old.csv", "goods.jsonl")], file_options=file_options)
    found = decoded(log)
    assert [type(each) for each in found] == [ItemEvent, Interaction, Interaction]
    assert [each.timestamp for each in found] == [1.0, 1.5e9, 1.6e9]  # type: ignore[attr-defined]
    assert len(log.source.said) == 3


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["20191001", "20191002"], "dates written as digits, or a count. Say which with --time-unit yyyymmdd"),
        (["43739.5", "43740"], "seconds, days, minutes or another count"),
        (["1600000000", "1600000000000"], "in several units"),
        (["01/02/2020 10:00"], "--time-format '%d/%m/%Y %H:%M' or --time-format '%m/%d/%Y %H:%M'"),
        (["last week"], "holds 'last week'. Give their form"),
    ],
)
def test_times_that_could_be_two_things_are_asked_about(tmp_path: Path, times: list[str], said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("user,item,timestamp\n" + "".join(f"u,i,{time}\n" for time in times))
    with pytest.raises(LogError) as caught:
        open_log(path)
    assert said in str(caught.value)


def test_a_day_above_twelve_tells_the_form(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("user,item,timestamp\nu,i,12.09.2020\nu,i,13.09.2020\n")
    log = open_log(path)
    assert "times as %d.%m.%Y" in log.source.said[0]
    assert [time for _, _, time, _ in taken(log)] == [1_599_868_800.0, 1_599_955_200.0]


def test_the_zone_of_times_without_one_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("user,item,timestamp\nu,i,2020-09-13 14:26:40\n")
    assert "times without a zone are UTC" in open_log(path).source.said[0]
    berlin = open_log(path, file_options=[("*", FileOptions(time_zone="Europe/Berlin"))])
    assert "times without a zone are Europe/Berlin" in berlin.source.said[0]
    assert taken(berlin) == [("u", "i", 1_600_000_000.0, 1.0)]


def test_text_in_quotes_is_never_an_event(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text('user,item,timestamp,note\na,b,1,"see\nmallory,bait,2,x\n"\nc,d,3,"stray\ne,f,4,\ng,h,5,"ok"\n')
    found = decoded(open_log(path))
    assert [e.user for e in found if isinstance(e, Interaction)] == ["a", "e", "g"]
    assert [e.raw for e in found if isinstance(e, Rejected)] == [b'c,d,3,"stray']


@pytest.mark.parametrize(
    "wrong",
    [{"delimiter": ""}, {"delimiter": '"'}, {"encoding": "klingon"}, {"time_unit": "h"}, {"time_zone": "Nowhere/Here"}],
)
def test_an_option_that_cannot_be_used_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="expected"):
        FileOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        ('{"data": %s}', "data"),
        (
            '{\n "next": null, "count": {"a": [1, 2]},\n "data": {"events": %s, "more": [{}]}, "last": {"x": [7]}}\n',
            "data.events",
        ),
        ('\n{"hits" :\n %s }', "hits"),
    ],
)
@pytest.mark.parametrize("count", [1, 3_000])
def test_an_array_in_an_object_is_the_log(tmp_path: Path, wrap: str, path: str, count: int) -> None:
    events = [
        {"user": f"u{k}", "item": "tea", "timestamp": TIMES[0] + k, "context": {"tags": ["]", {"a": "}"}]}}
        for k in range(count)
    ]
    (tmp_path / "export.json").write_text(wrap % json.dumps(events, indent=1))
    log = open_log(tmp_path / "export.json")
    assert f"JSON, the array {path}" in log.source.said[0]
    assert [user for user, *_ in taken(log)] == [f"u{k}" for k in range(count)]


def test_an_array_in_an_event_is_no_log(tmp_path: Path) -> None:
    event = {"user": "ann", "item": "tea", "timestamp": TIMES[0], "context": {"seen": [{"user": "bob", "item": "jam"}]}}
    (tmp_path / "one.json").write_text(json.dumps(event, indent=1))
    assert taken(open_log(tmp_path / "one.json")) == [("ann", "tea", float(TIMES[0]), 1.0)]


@pytest.mark.parametrize("columns", [None, ["user", "timestamp", "item"]])
def test_dates_as_in_mail_need_no_quotes(tmp_path: Path, columns: list[str] | None) -> None:
    rows = ["ann,Sun, 13 Sep 2020 12:26:40 GMT,tea", "bob,Sun, 13 Sep 2020 14:27:40 +0200,jam"]
    rows += ['cat,"Sun, 13 Sep 2020 12:28:45 GMT",pie', "dan,Sun,fig"]
    path = tmp_path / "mail.csv"
    path.write_text("\n".join([*([] if columns else ["user,timestamp,item"]), *rows]) + "\n")
    log = open_log(path, file_options=[("*", FileOptions(columns=columns))])
    *found, broken = decoded(log)
    assert [(e.user, e.item, e.timestamp) for e in found if isinstance(e, Interaction)] == [
        (user, item, float(time))
        for user, item, time in zip(("ann", "bob", "cat"), ("tea", "jam", "pie"), TIMES, strict=True)
    ]
    assert isinstance(broken, Rejected)


def test_a_weekday_and_a_date_may_have_columns_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "days.csv"
    path.write_text("user,item,day,timestamp\nann,tea,Sun,13 Sep 2020 12:26:40 GMT\n")
    assert taken(open_log(path)) == [("ann", "tea", float(TIMES[0]), 1.0)]
