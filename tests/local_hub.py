"""A stand-in for the Hub on the loopback: what its clients ask when they read and when they publish, no more.

    with LocalHub(folder, {"lab/set": {"train.jsonl": b"..."}}) as hub:
        subprocess.run([...], env=os.environ | hub.environment(home))
        hub.fail("POST", "/commit/", status=429, headers={"Retry-After": "1"})

The clients read some settings when they are imported, hence the environment of another process. Shapes of the
answers were measured with huggingface_hub 2.4 and datasets 5.2. Faults are injected by `fail` and `corrupt`.
"""

import asyncio
import base64
import hashlib
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tests.hub_store import GITATTRIBUTES, File, Repository, is_large

TOKEN = "hf_local"
READ_TOKEN = "hf_local_read"
USER, ORGANISATIONS = "tester", ("lab",)


@dataclass
class Fault:
    """What happens to the next `times` requests that match, after `skip` of them went well."""

    method: str
    path: str
    times: int
    skip: int
    status: int | None
    headers: Mapping[str, str]
    cut: str | None
    then: Callable[[], None] | None


@dataclass
class LocalHub:
    """Repositories in memory, what was uploaded as large files below `folder`.

    The repositories given are public and have one commit: `revisions` names it, or it is a hash of the files.
    """

    folder: Path
    datasets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)
    gated: Collection[str] = ()
    requests: list[str] = field(default_factory=list)  # METHOD path, in order
    bodies: list[str] = field(default_factory=list)  # what was sent, beside `requests`; large files left out
    uploads: list[str] = field(default_factory=list)  # sha256 of every large file that was received whole
    faults: list[Fault] = field(default_factory=list)
    corrupted: dict[str, int] = field(default_factory=dict)  # sha256 -> how many more downloads get other bytes

    def __post_init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        for repo_id, contents in self.datasets.items():
            repository = Repository("dataset", repo_id)
            files = {name: File(name, data, is_large(name, len(data))) for name, data in contents.items()}
            oid = self.revisions.get(repo_id) or hashlib.sha1(repr(sorted(contents.items())).encode()).hexdigest()
            repository.commit(files, "initial commit", oid)
            self.repositories["dataset", repo_id] = repository

    def environment(self, home: Path) -> dict[str, str]:
        """Variables that point a process of the Hub's clients here."""
        return {
            "HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": TOKEN,
        }  # fmt: skip

    def add(self, kind: str, repo_id: str, folder: Path) -> str:
        """A commit that holds the files of a folder, in a repository that is made where there is none; its id."""
        repository = self.repositories.setdefault((kind, repo_id), Repository(kind, repo_id))
        contents = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        return repository.commit(
            {n: File(n, d, is_large(n, len(d))) for n, d in contents.items()}, "files of a folder"
        )

    def fail(
        self, method: str, path: str, *, times: int = 1, skip: int = 0, status: int | None = None,
        headers: Mapping[str, str] | None = None, cut: str | None = None, then: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """Let requests go wrong.

        Args:
            path: regular expression that is searched in the path.
            times, skip: how many requests, after how many good ones.
            status, headers: answer this instead of doing anything.
            cut: `before` the request is carried out, or `after` it (the client cannot tell), the connection ends.
            then: is called before the request is carried out (to kill the client, to commit something else).
        """
        self.faults.append(Fault(method, path, times, skip, status, headers or {}, cut, then))

    def corrupt(self, data: bytes, times: int = 1) -> None:
        """Serve the next downloads of this large file with other bytes of the same length."""
        self.corrupted[hashlib.sha256(data).hexdigest()] = times

    def forget(self) -> None:
        """Become a new Hub at the same address: starting and stopping a server costs 0.2 s."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for record in (self.repositories, self.requests, self.bodies, self.uploads, self.faults, self.corrupted):
            record.clear()

    def __enter__(self) -> "LocalHub":
        # IPPROTO_TCP is what lets asyncio set TCP_NODELAY; without it every request takes 40 ms
        listeners = [socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) for _ in range(2)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        # Large files come from another origin: the client follows a redirect within one and loses X-Repo-Commit.
        self.endpoint, self.cdn = (f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners)
        config = uvicorn.Config(self._answer, interface="asgi3", log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": listeners}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    async def _answer(self, scope, receive, send) -> None:
        request = Request(scope, receive)
        path = scope["raw_path"].decode().split("?")[0]
        self.requests.append(f"{request.method} {path}")
        fault = self._fault(request.method, path)
        if fault and fault.then:
            fault.then()
        if fault and fault.cut == "before":
            await receive()  # the first part of what the client sends
            await _cut(send)
        body = await request.body()
        is_upload = path.startswith("/_lfs/")
        self.bodies.append("" if is_upload else body.decode())
        if fault and fault.status:
            response = JSONResponse({"error": "injected"}, fault.status, headers=dict(fault.headers))
        else:
            response = self._upload(path, body) if is_upload else self._route(request, path, body.decode())
        if fault and fault.cut == "after":
            await _cut(send)
        await response(scope, receive, send)

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                if fault.skip:
                    fault.skip -= 1
                else:
                    fault.times -= 1
                    return fault
        return None

    def _upload(self, path: str, body: bytes) -> Response:
        digest = path.rsplit("/", 1)[1]
        if hashlib.sha256(body).hexdigest() != digest:
            return Response("the content has another sha256", 400)
        self._store(digest, body)
        self.uploads.append(digest)
        return Response("", headers={"ETag": f'"{digest}"'})

    def _stored(self, digest: str) -> Path:
        return self.folder / "lfs" / digest

    def _store(self, digest: str, data: bytes) -> None:
        self._stored(digest).parent.mkdir(parents=True, exist_ok=True)
        self._stored(digest).write_bytes(data)

    def _route(self, request: Request, path: str, body: str) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        known = token in (TOKEN, READ_TOKEN)
        if found := re.fullmatch(r"/_cdn/([0-9a-f]{64})", path):
            return self._large_file(request, found[1])
        if path == "/api/whoami-v2":
            return self._whoami(token) if known else _error(401, "")
        if path == "/api/validate-yaml":
            return JSONResponse({"errors": [], "warnings": []})
        if request.method not in ("GET", "HEAD") and "paths-info" not in path and token != TOKEN:
            return _error(403 if known else 401, "", message="this token may not write")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/repos/delete":
            value = json.loads(body)
            key = (value.get("type") or "model", f"{value.get('organization') or USER}/{value['name']}")
            return JSONResponse({}) if self.repositories.pop(key, None) else _error(404, "RepoNotFound")
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body))
        if found := re.fullmatch(r"/api/(dataset|model)s/([^/]+/[^/]+)(?:/([a-z-]+)(?:/([^/]+)(?:/(.*))?)?)?", path):
            kind, repo_id, verb, revision, rest = (unquote(part or "") for part in found.groups())
            return self._with_repository(kind, repo_id, known, self._api, request, verb, revision, rest, body)
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind = "dataset" if found[1] else "model"
            return self._with_repository(
                kind, found[2], known, self._file, request, unquote(found[3]), unquote(found[4])
            )
        return _error(404, "RepoNotFound")

    def _with_repository(self, kind: str, repo_id: str, known: bool, act: Callable, *arguments) -> Response:
        repository = self.repositories.get((kind, repo_id))
        if repository is None or (repository.private and not known):
            return _error(404 if known else 401, "RepoNotFound")
        return _error(403, "GatedRepo") if repo_id in self.gated else act(repository, *arguments)

    def _whoami(self, token: str) -> Response:
        role = "write" if token == TOKEN else "read"
        organisations = [{"type": "org", "name": name} for name in ORGANISATIONS]
        access = {"accessToken": {"displayName": "test", "role": role}}
        return JSONResponse({"type": "user", "name": USER, "orgs": organisations, "auth": access})

    def _create(self, value: dict) -> Response:
        kind, owner = value.get("type") or "model", value.get("organization") or USER
        if owner not in (USER, *ORGANISATIONS):
            return _error(403, "", message="no right to create a repository under this namespace")
        repo_id = f"{owner}/{value['name']}"
        answer = {"url": f"{self.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"}
        if (kind, repo_id) in self.repositories:
            return JSONResponse(answer | {"error": "You already created this repo"}, 409)
        private = value.get("visibility") == "private" or bool(value.get("private"))
        repository = self.repositories[kind, repo_id] = Repository(kind, repo_id, private)
        repository.commit({".gitattributes": File(".gitattributes", GITATTRIBUTES, False)}, "initial commit")
        return JSONResponse(answer)

    def _batch(self, value: dict) -> Response:
        objects = []
        for wanted in value["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if not self._stored(wanted["oid"]).exists():
                answer["actions"] = {"upload": {"href": f"{self.endpoint}/_lfs/{wanted['oid']}", "header": {}}}
            objects.append(answer)
        return JSONResponse({"transfer": "basic", "objects": objects})

    def _api(
        self, repository: Repository, request: Request, verb: str, revision: str, rest: str, body: str
    ) -> Response:
        if verb == "refs":
            heads, tags = (
                [{"name": k, "ref": f"refs/{prefix}/{k}", "targetCommit": v} for k, v in where.items()]
                for prefix, where in (("heads", repository.branches), ("tags", repository.tags))
            )
            return JSONResponse({"branches": heads, "tags": tags, "converts": []})
        if verb == "auth-check":
            return JSONResponse({})
        if verb == "settings":
            repository.private = json.loads(body).get("visibility", "private") == "private"
            return JSONResponse({"private": repository.private})
        commit = repository.resolve(revision or "main")
        if commit is None:
            return _error(404, "RevisionNotFound")
        if verb in ("", "revision"):
            siblings = [{"rfilename": name} for name in sorted(repository.commits[commit])]
            return JSONResponse({
                "id": repository.id, "sha": commit, "siblings": siblings, "private": repository.private, "tags": [],
                "downloads": 0, "likes": 0, "lastModified": "2026-01-01T00:00:00.000Z",
                "cardData": repository.card(commit),
            })  # fmt: skip
        if verb == "tree":
            recursive = "recursive=true" in request.url.query.lower()
            return JSONResponse(found) if (found := repository.listing(commit, rest, recursive)) else _error(
                404, "EntryNotFound"
            )  # fmt: skip
        if verb == "paths-info":
            wanted = parse_qs(body).get("paths", [])
            return JSONResponse([e for e in repository.listing(commit, "", True) if e["path"] in wanted])
        if verb == "preupload":
            return JSONResponse({"files": [self._mode(repository, commit, f) for f in json.loads(body)["files"]]})
        if verb == "commit":
            return self._commit(repository, commit, [json.loads(line) for line in body.splitlines()])
        if verb == "tag":
            name = json.loads(body)["tag"]
            if name in repository.tags:
                return _error(409, "", message="Tag already exists")
            repository.tags[name] = commit
            return Response("")
        return _error(404, "EntryNotFound")

    def _mode(self, repository: Repository, commit: str, wanted: dict) -> dict:
        there = repository.commits[commit].get(wanted["path"])
        mode = "lfs" if is_large(wanted["path"], wanted["size"]) else "regular"
        oid = there and (there.sha256 if there.is_lfs else there.oid)
        return {"path": wanted["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _commit(self, repository: Repository, parent: str, operations: list[dict]) -> Response:
        header, files = operations[0]["value"], dict(repository.commits[parent])
        if header.get("parentCommit") not in (None, parent):
            return _error(412, "", message="A commit has happened since. Please refresh and try again.")
        for operation in operations[1:]:
            path, value = operation["value"]["path"], operation["value"]
            if operation["key"] == "file":
                files[path] = File(path, base64.b64decode(value["content"]), False)
            elif operation["key"] == "lfsFile":
                if not self._stored(value["oid"]).exists():
                    return _error(400, "", message=f"no large file {value['oid']}")
                files[path] = File(path, self._stored(value["oid"]).read_bytes(), True)
            elif path not in files:
                return _error(404, "EntryNotFound", message="A file with this name doesn't exist")
            else:
                del files[path]
        oid = repository.commit(files, header["summary"])
        prefix = "datasets/" if repository.kind == "dataset" else ""
        url = f"{self.endpoint}/{prefix}{repository.id}/commit/{oid}"
        return JSONResponse({"success": True, "commitOid": oid, "commitUrl": url})

    def _file(self, repository: Repository, request: Request, revision: str, name: str) -> Response:
        commit = repository.resolve(revision)
        if commit is None:
            return _error(404, "RevisionNotFound")
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        file = repository.commits[commit].get(name)
        if file is None:
            return _error(404, "EntryNotFound", headers)
        if file.is_lfs:
            self._store(file.sha256, file.data)
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.data))}
            return RedirectResponse(f"{self.cdn}/_cdn/{file.sha256}", 302, headers=headers)
        return _content(request, file.data, headers | {"ETag": f'"{file.oid}"'})

    def _large_file(self, request: Request, digest: str) -> Response:
        data = self._stored(digest).read_bytes()
        if self.corrupted.get(digest) and request.method == "GET":
            self.corrupted[digest] -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        return _content(request, data, {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"})


async def _cut(send: Callable) -> None:
    """End the connection without an answer, as a broken line does."""
    send.__self__.transport.abort()  # uvicorn's request cycle; ASGI itself knows no way to say nothing
    await asyncio.sleep(0)
    raise ConnectionAbortedError


def _content(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    headers = headers | {"Content-Length": str(len(data))}
    if request.method == "HEAD":
        return Response(b"", headers=headers)
    if ranged := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
        start, end = int(ranged[1]), int(ranged[2] or len(data) - 1)
        part = data[start : end + 1]
        headers |= {"Content-Range": f"bytes {start}-{end}/{len(data)}", "Content-Length": str(len(part))}
        return Response(part, 206, headers=headers)
    return Response(data, headers=headers)


def _error(status: int, code: str, headers: Mapping[str, str] | None = None, message: str = "") -> Response:
    sent = {"X-Error-Code": code} if code else {}
    return JSONResponse({"error": message or code}, status, headers={**sent, **(headers or {})})
