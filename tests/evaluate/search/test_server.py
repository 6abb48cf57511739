from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from camoe.evaluate.search.searcher import Searcher
from camoe.evaluate.search.web.crowd import Crowd
from camoe.evaluate.search.web.media import MOST_PREVIEWS
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

QUERY = "a pink moon expands over the grass"
NONSENSE = "the parliament debates a law about the price of bread"


@pytest.fixture(scope="module")
def address(searcher, serving) -> Iterator[str]:
    with serving(searcher) as address:
        yield address


@pytest.fixture(scope="module")
def zoo_address(zoo, serving) -> Iterator[str]:
    with serving(zoo.searcher) as address:
        yield address


def test_a_search_is_what_the_searcher_finds(address: str, searcher) -> None:
    found = httpx.get(f"{address}/api/search", params={"q": QUERY, "top": 3, "cutoff": "none"}).json()
    hits = searcher.search(QUERY, top=3)
    assert [(hit["rank"], hit["id"], hit["moment_s"], hit["path"]) for hit in found["hits"]] == [
        (hit.rank, hit.id, hit.moment_s, hit.path) for hit in hits
    ]
    assert found["hits"][0]["score"] == pytest.approx(hits[0].score)
    assert set(found["hits"][0]["streams"]) == {"fusion", "entity", "action"}
    assert (found["searched"], found["cutoff"]) == (64, None)
    kept = [word["text"] for word in found["readings"][1]["words"] if word["kept"]]
    assert kept == ["moon", "grass"]


def test_the_cut_off_leaves_nothing_of_nonsense(address: str, searcher) -> None:
    nonsense = httpx.get(f"{address}/api/search", params={"q": NONSENSE}).json()
    assert (nonsense["hits"], nonsense["found"], nonsense["searched"]) == ([], 0, 64)
    assert nonsense["cutoff"] == pytest.approx(searcher.auto_cutoff(searcher.query(NONSENSE)))
    some = httpx.get(f"{address}/api/search", params={"q": NONSENSE, "cutoff": "-50"}).json()
    assert some["found"] == 64


def test_weights_filter_and_subtraction(address: str, searcher) -> None:
    def ids(**parameters: str) -> list[str]:
        given = {"q": QUERY, "cutoff": "none", **parameters}
        return [hit["id"] for hit in httpx.get(f"{address}/api/search", params=given).json()["hits"]]

    assert ids(weights="action:1") == [hit.id for hit in searcher.search(QUERY, top=24, weights={"action": 1})]
    assert ids(**{"not": "grass"}) == [hit.id for hit in searcher.search(QUERY, top=24, without="grass")]
    assert set(ids(only="CLIP000")) == {f"clip000{digit}" for digit in range(10)}
    assert ids(only="nowhere") == []


def test_frames_and_captions_of_a_video(address: str, searcher) -> None:
    found = httpx.get(f"{address}/api/frames", params={"q": QUERY, "id": "clip0001"}).json()
    best = max(found["frames"], key=lambda frame: frame["score"])
    assert best["time_s"] == searcher.search(QUERY, top=1)[0].moment_s
    assert len(found["frames"]) == int(searcher.gallery.count[1])
    captions = httpx.get(f"{address}/api/captions", params={"id": "clip0003"}).json()
    assert "pink cross" in captions[0]["text"]


def test_like_takes_ids_and_never_files(address: str, world) -> None:
    found = httpx.get(f"{address}/api/search", params={"like": "clip0005"}).json()
    assert "clip0005" not in [hit["id"] for hit in found["hits"]]
    assert (found["searched"], found["cutoff"], found["calibrated"]) == (63, None, None)
    refused = httpx.get(f"{address}/api/search", params={"like": str(world.videos / "clip0005.mp4")})
    assert refused.status_code == 400
    assert "there is no video" in refused.json()["error"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "give q, a text to search for, or like, the id of a video"),
        ({"q": "x", "like": "clip0000"}, "are two searches; give one of them"),
        ({"q": "x", "not": " "}, "the text that is subtracted is empty"),
        ({"q": "x", "wieghts": "fusion:1"}, "there is no parameter 'wieghts' here; there are q, like, not, weights, "),
        ({"q": ["x", "y"]}, "parameter 'q' is given 2 times; give it once"),
        ({"q": "x", "weights": "entity"}, "weights must be STREAM=NUMBER,…, not 'entity'"),
        ({"q": " "}, "the query is empty"),
        ({"q": "x", "weights": "nothing:1"}, "no stream 'nothing'"),
        ({"q": "x", "weights": "fusion:zero"}, "weights must be STREAM=NUMBER,…, not 'fusion:zero'"),
        ({"q": "x", "cutoff": "high"}, "cutoff must be auto, none or a number"),
        ({"q": "x", "top": "0"}, "top must be at least 1, not 0"),
        ({"q": "x", "top": "abc"}, "top must be a whole number, not 'abc'"),
        ({"q": "x" * 1001}, "q has more than 1000 letters; shorten it"),
    ],
)
def test_mistakes_are_told_in_a_sentence(address: str, parameters: dict[str, str], words: str) -> None:
    answer = httpx.get(f"{address}/api/search", params=parameters)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert "--" not in answer.json()["error"]


def test_every_refusal_is_json(address: str) -> None:
    refused = {
        "there is nothing at /api/nope; /api lists what there is": httpx.get(f"{address}/api/nope"),
        "only GET is answered here": httpx.post(f"{address}/api/search"),
        "there is no parameter 'x' here, nor any other": httpx.get(f"{address}/api/about", params={"x": "1"}),
        "another page may not ask here": httpx.get(f"{address}/api/about", headers={"Origin": "http://evil.example"}),
        "there is no such part of the file": httpx.get(
            f"{address}/api/video", params={"id": "clip0003"}, headers={"Range": "bytes=9-3"}
        ),
    }
    for sentence, answer in refused.items():
        assert answer.json() == {"error": sentence}
    assert [answer.status_code for answer in refused.values()] == [404, 405, 400, 403, 416]
    assert httpx.head(f"{address}/api/about").status_code == 405


def test_a_store_that_is_changed_on_disk_is_told(world, serving, tmp_path: Path) -> None:
    store = tmp_path / "shards.h5"
    shutil.copy(world.store, store)
    with serving(Searcher.open(None, store, videos=world.videos, device="cpu")) as address:
        asked = {"q": QUERY, "cutoff": "none"}
        before = httpx.get(f"{address}/api/search", params=asked).json()
        assert (before["notes"], httpx.get(f"{address}/api/about").json()["notes"]) == ([], [])
        shutil.copy(world.bare, tmp_path / "new.h5")
        (tmp_path / "new.h5").replace(store)
        time.sleep(1.1)
        after = httpx.get(f"{address}/api/search", params=asked).json()
        assert after["hits"] == before["hits"]
        assert ["the store was changed on disk" in note for note in after["notes"]] == [True]
        captions = httpx.get(f"{address}/api/captions", params={"id": "clip0003"})
        assert "start camoe-search again" in captions.json()["error"]


def test_files_come_in_ranges(address: str, world) -> None:
    content = (world.videos / "clip0003.mp4").read_bytes()

    def ask(value: str | None) -> httpx.Response:
        headers = {} if value is None else {"Range": value}
        return httpx.get(f"{address}/api/video", params={"id": "clip0003"}, headers=headers)

    whole = ask(None)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, content, "bytes")
    for value, expected in {
        "bytes=0-": content,
        "bytes=10-19": content[10:20],
        "bytes=-7": content[-7:],
        "bytes=100-99999999": content[100:],
    }.items():
        part = ask(value)
        assert (part.status_code, part.content) == (206, expected)
    assert ask("bytes=10-19").headers["content-range"] == f"bytes 10-19/{len(content)}"
    for value in ("bytes=99999999-", "bytes=9-3", "bytes=-", "bytes=999999999999999-"):
        assert ask(value).status_code == 416
    for other in ("lines=1-2", "bytes=0-1,4-5", f"bytes={'9' * 5000}-"):
        assert ask(other).content == content  # what is not understood is as if it was not asked


def test_stills_are_the_encoded_frames(address: str, searcher, world) -> None:
    answer = httpx.get(f"{address}/api/still", params={"id": "clip0003", "t": 0.75})
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content[:2] == b"\xff\xd8"
    past = httpx.get(f"{address}/api/still", params={"id": "clip0003", "t": 1000})
    assert (past.status_code, past.json()["error"]) == (404, "clip0003.mp4 gives no picture at 1000 s")


@pytest.mark.parametrize("video_id", ["sub/moon", "cross", "odd"])
def test_previews_play_what_browsers_do_not(zoo_address: str, video_id: str) -> None:
    answer = httpx.get(f"{zoo_address}/api/preview", params={"id": video_id, "start": 0.5}, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert answer.content[4:8] == b"ftyp"
    assert b"moof" in answer.content


def test_at_most_a_few_previews_at_a_time(zoo_address: str, zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> list[int]:
        async with httpx.AsyncClient(timeout=60) as client:
            asked = [client.get(f"{zoo_address}/api/preview", params={"id": "cross"}) for _ in range(12)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    found = asyncio.run(ask())
    assert set(found) <= {200, 503}
    assert found.count(200) >= MOST_PREVIEWS
    assert 503 in found
    again = httpx.get(f"{zoo_address}/api/preview", params={"id": "cross"}, timeout=60)
    assert again.status_code == 200


@pytest.mark.parametrize("what", ["video", "preview", "still", "playable"])
@pytest.mark.parametrize(
    ("video_id", "words"),
    [("dead", "is not in"), ("link", "leads out of the videos' folder"), ("changed", "has changed since")],
)
def test_only_the_files_that_were_extracted_are_given(zoo_address: str, what: str, video_id: str, words: str) -> None:
    answer = httpx.get(f"{zoo_address}/api/{what}", params={"id": video_id})
    assert answer.status_code == 404
    assert words in answer.json()["error"]


@pytest.mark.parametrize("video_id", ["../secret", "/etc/passwd", "..", "sub/../../secret", "", "\0", "sub/moon.mkv"])
@pytest.mark.parametrize("what", ["video", "preview", "still", "playable", "frames", "captions"])
def test_ids_are_no_paths(zoo_address: str, what: str, video_id: str) -> None:
    answer = httpx.get(f"{zoo_address}/api/{what}", params={"id": video_id} | ({"q": "x"} if what == "frames" else {}))
    assert answer.status_code == 400
    assert "there is no video" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/../../setup.cfg", "/%2e%2e/app.py", "/app.py", "/page/app.js", "/static/../app.py"])
def test_the_page_is_all_there_is(address: str, path: str) -> None:
    assert _raw(address, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 404"
    )


def _raw(address: str, request: str) -> bytes:
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request.encode())
        answer = b""
        while block := connection.recv(1 << 16):
            answer += block
        return answer


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Host": ""},
        {"Host": "192.168.1.5"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/search?q=x", "/api/video?id=clip0000"])
def test_other_pages_get_nothing(address: str, path: str, headers: dict[str, str]) -> None:
    answer = httpx.get(address + path, headers=headers)
    assert answer.status_code == 403
    assert len(answer.content) < 100


def test_the_own_page_gets_everything(address: str) -> None:
    port = address.rpartition(":")[2]
    for headers in (
        {"Host": f"localhost:{port}"},
        {"Host": "localhost"},
        {"Origin": address, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ):
        answer = httpx.get(f"{address}/api/about", headers=headers)
        assert answer.status_code == 200
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_another_host_demands_the_token(searcher, serving) -> None:
    token = "a-token-of-some-length"
    with serving(searcher, token=token) as address:
        assert httpx.get(f"{address}/api/about").status_code == 401
        assert httpx.get(f"{address}/api/about", params={"token": "wrong"}).status_code == 401
        assert httpx.get(f"{address}/api/about", headers={"Cookie": b"camoe_search=\xfc;;="}).status_code == 401
        assert httpx.get(f"{address}/api/about", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        with httpx.Client() as client:
            entry = client.get(address, params={"token": token})
            assert (entry.status_code, entry.headers["location"]) == (303, "/")
            assert "HttpOnly" in entry.headers["set-cookie"]
            assert "SameSite=strict" in entry.headers["set-cookie"]
            assert client.get(f"{address}/api/about").status_code == 200
        assert httpx.get(f"{address}/", headers={"Host": "evil.example"}).status_code == 403
        bearer = {"Host": "192.168.1.5:8017", "Authorization": f"Bearer {token}"}
        assert httpx.get(f"{address}/api/about", headers=bearer).status_code == 200


def test_a_query_of_a_megabyte_is_refused(address: str) -> None:
    with contextlib.suppress(ConnectionError):  # it hangs up while the rest still comes
        answer = _raw(address, f"GET /api/search?q={'x' * (1 << 20)} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")
    assert httpx.get(f"{address}/api/search", params={"q": "x" * 9000}).status_code == 414
    assert httpx.post(f"{address}/api/search", content=b"x" * (1 << 20)).status_code == 405
    assert httpx.get(f"{address}/api/about").status_code == 200


def test_many_at_once_and_dropped_connections_leave_it_running(address: str, soak_count) -> None:
    async def ask(count: int) -> list[int | str]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            asked = [client.get(f"{address}/api/search", params={"q": f"a red star {n % 7}"}) for n in range(count)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
        return [
            answer.status_code if isinstance(answer, httpx.Response) else type(answer).__name__ for answer in answers
        ]

    found = asyncio.run(ask(soak_count(300, 1000)))
    assert found.count(200) > 50
    assert set(found) <= {200, 503, "ReadError", "ConnectError", "RemoteProtocolError"}
    assert httpx.get(f"{address}/api/search", params={"q": QUERY}).json()["hits"]


def test_of_too_many_at_once_some_are_answered_and_the_others_refused() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.05)
        await JSONResponse({})(scope, receive, send)

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(Crowd(slow, most=2))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            first = await asyncio.gather(*[client.get("/api/search") for _ in range(5)])
            return [*first, await client.get("/api/search")]

    answers = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [200, 200, 503, 503, 503, 200]
    assert answers[2].json() == {"error": "too many ask at the same time; try again in a moment"}
    assert answers[2].headers["retry-after"] == "2"


def test_dropped_connections_leave_nothing_behind(address: str) -> None:
    host, _, port = address.removeprefix("http://").partition(":")
    before = len(os.listdir("/proc/self/fd"))
    for request in (
        "GET /api/video?id=clip0003 HTTP/1.1\r\n",
        "GET /api/preview?id=clip0003 HTTP/1.1\r\n",
        "GE",
        "\0\0",
    ):
        for _ in range(20):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(f"{request}Host: localhost\r\n\r\n".encode())
    assert httpx.get(f"{address}/api/search", params={"q": QUERY}).json()["hits"]
    until = time.monotonic() + 30
    while httpx.get(f"{address}/api/preview", params={"id": "clip0003"}, timeout=30).status_code == 503:
        assert time.monotonic() < until  # the children of those who left have ended
        time.sleep(0.1)
    while len(os.listdir("/proc/self/fd")) > before + 3:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_an_empty_store_says_so(serving) -> None:
    with serving(None, empty="shards.h5 holds no videos to search") as address:
        assert httpx.get(f"{address}/api/about").json() == {
            "videos": 0,
            "message": "shards.h5 holds no videos to search",
        }
        assert httpx.get(address).status_code == 200


def test_the_api_describes_itself(address: str) -> None:
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    documented = (Path(__file__).parents[3] / "docs" / "search.md").read_text(encoding="utf-8")
    for path, methods in paths.items():
        assert methods["get"]["description"]
        assert f"`{path.removeprefix('/api/')}`" in documented or path == "/api/search"
    found = httpx.get(f"{address}/api/search", params={"q": QUERY}).json()
    assert {name for name in found if f"`{name}`" not in paths["/api/search"]["get"]["description"]} == set()
    assert httpx.get(f"{address}/api/about").json().keys() <= set(
        paths["/api/about"]["get"]["description"].replace("`", " ").replace(",", " ").split()
    )
    for name in ("", "api", "style.css", "app.js", "api.js"):
        answer = httpx.get(f"{address}/{name}")
        assert answer.status_code == 200
        assert b"http://" not in answer.content
        assert b"https://" not in answer.content
