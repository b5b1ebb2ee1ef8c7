"""The live view: what it refuses, what it keeps when the run grows, and that its button stops a real search."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import optuna
import pytest
from playwright.sync_api import expect

from search.interruption import Interruption, request_stop, stop_requested
from search.pages import live_server
from search.pages.figures import history
from search.pages.html import SERVED_POLICY
from search.pages.live_server import is_loopback
from search.pages.live_view import LiveError, LiveView
from search.run_folder.paths import RECORDS_FILE, STOP_FILE
from search.run_folder.records import TrialState
from search.run_folder.records_reader import RecordsReader, read_records
from search.run_folder.run_view import read_run

REPOSITORY = Path(__file__).parents[3]
PATIENCE_MS = 180_000
"""For a page to follow on a machine that is busy with other things."""
Open = Callable[..., Any]
Maker = Callable[..., Any]


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[LiveView]:
    """A live view that answers."""
    view = LiveView(folder, **options)
    thread = threading.Thread(target=view.serve, args=(lambda text: None,))
    thread.start()
    try:
        yield view
    finally:
        view.close()
        thread.join()


def ask(view: LiveView, method: str, path: str, **headers: str) -> HTTPResponse:
    """One request, its path and headers as they are; an underscore in a name is a hyphen."""
    connection = HTTPConnection("127.0.0.1", view.port, timeout=120)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"127.0.0.1:{view.port}", **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    return connection.getresponse()


# -- who may ask for what ---------------------------------------------------------------------------------------------


def test_nothing_is_written_without_the_token(run_maker: Maker) -> None:
    maker = run_maker("study").search(3)
    with served(maker.folder) as view:
        assert ask(view, "POST", "/stop").status == 403
        assert ask(view, "POST", f"/stop?token={view.token}").status == 403
        assert ask(view, "POST", "/stop", X_Token="").status == 403
        assert ask(view, "POST", "/stop", X_Token=view.token[:-1]).status == 403
        assert ask(view, "POST", "/stop", X_Token="ä").status == 403
        assert ask(view, "POST", "/stop", X_Token=view.token, Origin="http://evil.example").status == 403
        assert ask(view, "POST", "/stop", X_Token=view.token, Origin="null").status == 403
        assert ask(view, "POST", "/else", X_Token=view.token).status == 404
        assert ask(view, "GET", "/stop", X_Token=view.token).status == 404
        assert ask(view, "PUT", "/stop", X_Token=view.token).status == 501
        assert not stop_requested(maker.folder)
        own = f"http://127.0.0.1:{view.port}"
        assert ask(view, "POST", "/stop", X_Token=view.token, Origin=own).status == 202
        assert stop_requested(maker.folder)
        maker.search(3).finish()
        assert ask(view, "POST", "/stop", X_Token=view.token).status == 409


def test_the_token_is_another_one_at_every_start_and_stands_behind_the_number_sign(run_maker: Maker) -> None:
    folder = run_maker("study").folder
    with served(folder) as one, served(folder) as two:
        assert one.token != two.token
        assert len(one.token) >= 32
        assert one.address == f"http://127.0.0.1:{one.port}/#token={one.token}"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8050", "", "127.0.0.1.evil.example", "[::1", "a b"])
def test_a_name_that_is_not_this_machine_is_refused(host: str, run_maker: Maker) -> None:
    maker = run_maker("study")
    with served(maker.folder) as view:
        for method, path in (("GET", "/"), ("GET", "/plotly.js"), ("POST", "/stop")):
            answer = ask(view, method, path, Host=host, X_Token=view.token)
            assert answer.status == 421
            assert maker.plan["corpus"]["name"] not in answer.read().decode()
        assert not stop_requested(maker.folder)


@pytest.mark.parametrize("host", ["localhost", "localhost:9999", "127.0.0.1", "[::1]:8050", "192.168.1.7"])
def test_addresses_in_digits_and_localhost_are_ours(host: str, run_maker: Maker) -> None:
    with served(run_maker("study").folder) as view:
        assert ask(view, "GET", "/table.js", Host=host).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/plan.json",
        "/records.jsonl",
        "/../plan.json",
        "/..%2fplan.json",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/dashboard.js/../../dashboard.py",
        "//etc/passwd",
        "/page.html.jinja",
        "/dashboard.css",
    ],
)
def test_there_are_no_files_to_ask_for(path: str, run_maker: Maker) -> None:
    with served(run_maker("study").folder) as view:
        assert ask(view, "GET", path).status == 404


def test_a_request_that_trickles_in_is_ended_however_busy_it_looks(
    run_maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time-out that begins anew with every byte would leave it a thread for ever."""
    monkeypatch.setattr(live_server, "REQUEST_SECONDS", 0.5)
    with served(run_maker("run").search(3).folder) as view:
        with socket.create_connection(("127.0.0.1", view.port), timeout=0.02) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
            assert is_closed(slow, sending=b"a", times=5_000)
        assert ask(view, "GET", "/").status == 200


def test_so_many_connections_are_held_and_no_more(run_maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_server, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(live_server, "REQUEST_SECONDS", 3_600.0)
    with served(run_maker("run").search(3).folder) as view:
        held = [socket.create_connection(("127.0.0.1", view.port), timeout=0.02) for _ in range(4)]
        for idle in held:
            idle.sendall(b"GET / HTTP/1.1\r\n")
        with socket.create_connection(("127.0.0.1", view.port), timeout=0.02) as one_more:
            assert is_closed(one_more, sending=b"", times=5_000)
        assert not any(is_closed(idle, sending=b"", times=1) for idle in held)
        for idle in held:
            idle.close()
        assert answers_again(view)


def is_closed(connection: socket.socket, *, sending: bytes, times: int) -> bool:
    """True when the other side ends the connection, by itself or after so many time-outs at the most."""
    for _ in range(times):
        try:
            connection.sendall(sending)
            if not connection.recv(64):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def answers_again(view: LiveView) -> bool:
    """True when a request is answered, at once or as soon as the threads of closed connections have noticed."""
    for _ in range(1_000):
        with suppress(ConnectionError):
            return ask(view, "GET", "/").status == 200
        time.sleep(0.05)
    return False


def test_headers_forbid_what_the_page_does_not_need(run_maker: Maker) -> None:
    with served(run_maker("study").folder) as view:
        answer = ask(view, "GET", "/")
        assert answer.status == 200
        assert answer.headers["Content-Security-Policy"] == f"{SERVED_POLICY}; frame-ancestors 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert view.token not in answer.read().decode()
    assert "unsafe" not in SERVED_POLICY.partition("style-src")[0]


def test_it_listens_on_the_loopback_address_unless_told_otherwise(run_maker: Maker) -> None:
    folder = run_maker("study").folder
    told: list[str] = []
    view = LiveView(folder)
    thread = threading.Thread(target=view.serve, args=(told.append,))
    thread.start()
    assert view._server.server_address[0] == "127.0.0.1"
    with pytest.raises(LiveError, match="--port 0 takes a free one"):
        LiveView(folder, port=view.port)
    view.close()
    thread.join()
    assert len(told) == 1
    assert not is_loopback("0.0.0.0")
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "::1")))


# -- a run that grows -------------------------------------------------------------------------------------------------


def test_a_page_is_sent_once_until_the_run_grows(run_maker: Maker) -> None:
    maker = run_maker("study").search(3)
    with served(maker.folder) as view:
        first = ask(view, "GET", "/")
        version = first.headers["ETag"]
        assert ask(view, "GET", "/", If_None_Match=version).status == 304
        maker.search(3)
        view._server.pages("/")._due = 0.0  # else a page is built every few seconds at most
        second = ask(view, "GET", "/", If_None_Match=version)
        assert second.status == 200
        assert second.headers["ETag"] != version


def test_a_run_that_cannot_be_read_is_told_and_found_again(run_maker: Maker) -> None:
    maker = run_maker("study").search(3)
    with served(maker.folder) as view:
        good = (maker.folder / RECORDS_FILE).read_bytes()
        (maker.folder / RECORDS_FILE).write_bytes(good + b"{torn}\n")
        answer = ask(view, "GET", "/")
        assert answer.status == 503
        assert f"line {len(good.splitlines()) + 1} is not a record" in answer.read().decode()
        (maker.folder / RECORDS_FILE).write_bytes(good)
        assert ask(view, "GET", "/").status == 200


def test_the_reader_of_records_reads_only_what_is_new(run_maker: Maker) -> None:
    maker = run_maker("study")
    path = maker.folder / RECORDS_FILE
    reader = RecordsReader(path)
    for _ in range(3):
        maker.search(4)
        with path.open("ab") as file:
            file.write(b'{"event": "tri')  # still being written
        reader.update()
        os.truncate(path, path.stat().st_size - 14)
        assert reader.records == read_records(path)
    size = path.stat().st_size
    path.write_bytes(b"x" * 100 + path.read_bytes()[100:])  # read already: nobody looks there again
    reader.update()
    assert reader._offset == size
    path.write_bytes(b"")
    reader.update()
    assert reader.records.trials == {}


def test_the_page_follows_the_run_and_keeps_what_the_reader_did(open_page: Open, run_maker: Maker) -> None:
    maker = run_maker("study").search(12)
    with served(maker.folder) as view:
        opened = open_page(view.address)
        page, rows = opened.page, opened.page.locator("#trial-table tbody tr")
        assert page.url == f"http://127.0.0.1:{view.port}/"  # the token has left the address
        assert rows.count() == 12
        page.get_by_label("Show trials of this state").select_option("PRUNED")
        before = rows.count()
        page.locator("#card-history summary").click()
        page.evaluate("document.getElementById('history').scrollIntoView()")
        page.evaluate("Plotly.relayout('history', {'xaxis.range': [2, 5]})")
        page.evaluate("document.getElementById('history').dataset.mine = 'same element'")
        maker.search()
        pruned = sum(trial.state is TrialState.PRUNED for trial in maker.writer.records.trials.values())
        assert pruned > before
        expect(rows).to_have_count(pruned, timeout=PATIENCE_MS)
        info = history.info(read_run(maker.folder))
        assert info is not None
        behind = len(history.table(info))
        expect(page.locator("#card-history tbody tr")).to_have_count(behind, timeout=PATIENCE_MS)
        assert len(opened.drawn("history")["data"][-2]["x"]) == behind > 12
        assert opened.drawn("history")["layout"]["xaxis"]["range"] == [2, 5]
        assert page.locator("#history").get_attribute("data-mine") == "same element"
        assert page.locator("#fall").count() == 0
        maker.finish()
        page.wait_for_selector("#fall")
        page.evaluate("document.getElementById('fall').scrollIntoView()")
        page.wait_for_selector("#fall.js-plotly-plot")
        result = json.loads((maker.folder / "result.json").read_text())
        test = next(trace for trace in opened.drawn("fall")["data"] if trace.get("name") == "test")
        assert test["y"] == [round(100 * result["test"]["uar"]["mean"], 2)]
        assert page.locator(".pill").inner_text() == "finished"
        assert page.locator("#stop").is_hidden()
        assert opened.problems == []


def test_without_the_token_there_is_no_button(open_page: Open, run_maker: Maker) -> None:
    with served(run_maker("study").search(3).folder) as view:
        opened = open_page(view.address.partition("#")[0])
        assert opened.page.locator("#stop").is_hidden()
        assert opened.problems == []


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_the_driver_takes_an_old_request_away_and_notices_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("search.interruption.time", SimpleNamespace(monotonic=lambda: now))
    request_stop(tmp_path)
    interruption = Interruption(tmp_path, lambda: False)
    assert not stop_requested(tmp_path)
    assert not interruption()
    request_stop(tmp_path)
    assert not interruption()  # it looks once a second
    now = 2.0
    assert interruption()
    assert not (tmp_path / STOP_FILE).exists()
    assert interruption()
    assert Interruption(tmp_path, lambda: True)()


@pytest.mark.slow
def test_the_button_stops_a_real_search_as_ctrl_c_does(open_page: Open, tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "run"
    data = ["--data", "demo", "--classes", "neutral,angry,sad", "--cache-dir", cache]
    options = ["--model", "mlp", *data, "--trials", 500, "--max-epochs", 6, "--folds", 1, "--run-dir", folder]
    driver = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "search" / "run.py"), *map(str, options)], stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: any(t.ended for t in read_records(folder / RECORDS_FILE).trials.values()), driver)
    with served(folder) as view:
        opened = open_page(view.address)
        opened.page.on("dialog", lambda dialog: dialog.accept())
        opened.page.locator("#stop").click()
        out, _ = driver.communicate(timeout=180)
        assert opened.problems == []
    assert driver.returncode == 130
    assert f"--resume {folder}" in " ".join(out.split())
    assert not stop_requested(folder)
    assert 1 <= len(read_records(folder / RECORDS_FILE).trials) < 500


def wait_for(happened: Callable[[], bool], driver: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 300
    while not happened():
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < limit
        time.sleep(0.1)


# -- optuna-dashboard -------------------------------------------------------------------------------------------------


def test_optuna_dashboard_is_named_and_started_only_on_request(open_page: Open, run_maker: Maker) -> None:
    maker = run_maker("study").search(3)
    backend = optuna.storages.journal.JournalFileBackend(str(maker.folder / "study.journal"))
    optuna.create_study(study_name="study", storage=optuna.storages.JournalStorage(backend))
    with served(maker.folder) as view:
        assert view._optuna is None
        page = ask(view, "GET", "/").read().decode()
        assert f"optuna-dashboard {maker.folder / 'study.journal'}" in page
    with served(maker.folder, optuna_dashboard=True) as view:
        process = view._optuna
        assert process is not None
        opened = open_page(view.address)
        opened.page.locator("#live summary").click()
        address = opened.page.locator("#live a").inner_text()
        assert address.startswith("http://127.0.0.1:")
        assert "study" in studies(address)
    assert process.returncode is not None


def studies(address: str) -> str:
    """What optuna-dashboard says it has, once it has started."""
    limit = time.monotonic() + 120
    while True:
        try:
            with urlopen(f"{address}api/studies", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < limit
            time.sleep(0.2)
