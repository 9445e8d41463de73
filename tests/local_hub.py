"""A stand-in for the Hub on the loopback: what `load_dataset` and `hf_hub_download` ask when they read, no more.

    with LocalHub(folder, {"lab/set": {"train.jsonl": b"..."}}) as hub:
        subprocess.run([...], env=os.environ | hub.environment(home))

The clients read their settings when they are imported, hence the environment of another process. Shapes of the
answers were measured with huggingface_hub 2.4 and datasets 5.2.
"""

import hashlib
import re
import socket
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class LocalHub:
    """Dataset repositories in memory, one commit each: `revisions` names it, or it is a hash of the files."""

    def __init__(
        self,
        folder: Path,
        datasets: dict[str, dict[str, bytes]],
        revisions: Mapping[str, str] | None = None,
        gated: Collection[str] = (),
    ) -> None:
        self.folder = folder
        self.datasets = datasets
        self.revisions = revisions or {}
        self.gated = gated
        self.requests: list[str] = []

    def revision(self, repo_id: str) -> str:
        """The 40-hex commit of a repository."""
        if repo_id in self.revisions:
            return self.revisions[repo_id]
        files = sorted(self.datasets[repo_id].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()

    def environment(self, home: Path) -> dict[str, str]:
        """Variables that point a process of the Hub's clients here."""
        return {
            "HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "hf_local",
        }  # fmt: skip

    def __enter__(self) -> "LocalHub":
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(self._answer, interface="asgi3", log_level="error", lifespan="off")
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
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
        response = self._route(request, path, (await request.body()).decode())
        await response(scope, receive, send)

    def _route(self, request: Request, path: str, body: str) -> Response:
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/([a-z-]+)(?:/([^/]+)(?:/(.*))?)?)?", path):
            return self._api(*(unquote(part or "") for part in found.groups()), request.url.query, body)
        if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(request, *(unquote(part) for part in found.groups()))
        return _error(404, "RepoNotFound")

    def _api(self, repo_id: str, verb: str, revision: str, prefix: str, query: str, body: str) -> Response:
        if repo_id not in self.datasets:
            return _error(404, "RepoNotFound")
        files, commit = self.datasets[repo_id], self.revision(repo_id)
        if repo_id in self.gated:
            return _error(403, "GatedRepo")
        if revision not in ("", "main", commit):
            return _error(404, "RevisionNotFound")
        entries = [_entry(name, data) for name, data in files.items()]
        folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
        entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)]
        if verb in ("", "revision"):
            siblings = [{"rfilename": name} for name in files]
            return JSONResponse({
                "id": repo_id, "sha": commit, "siblings": siblings, "private": False, "tags": [], "downloads": 0,
                "likes": 0, "lastModified": "2026-01-01T00:00:00.000Z",
            })  # fmt: skip
        if verb == "tree":
            inside = [e for e in entries if not prefix or e["path"].startswith(f"{prefix}/")]
            if "recursive=true" not in query.lower():
                inside = [e for e in inside if "/" not in e["path"][len(prefix) + bool(prefix) :]]
            return JSONResponse(inside) if inside else _error(404, "EntryNotFound")
        if verb == "paths-info":
            wanted = parse_qs(body).get("paths", [])
            return JSONResponse([entry for entry in entries if entry["path"] in wanted])
        if verb == "refs":
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit}
            return JSONResponse({"branches": [main], "tags": [], "converts": []})
        return _error(404, "EntryNotFound")

    def _file(self, request: Request, repo_id: str, revision: str, name: str) -> Response:
        commit = self.revision(repo_id) if repo_id in self.datasets else None
        if repo_id in self.gated:
            return _error(403, "GatedRepo")
        if commit is None or revision not in ("main", commit):
            return _error(404, "RepoNotFound" if commit is None else "RevisionNotFound")
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if name not in self.datasets[repo_id]:
            return _error(404, "EntryNotFound", headers)
        data = self.datasets[repo_id][name]
        headers |= {"ETag": f'"{_entry(name, data)["oid"]}"', "Content-Length": str(len(data))}
        if request.method == "HEAD":
            return Response(b"", headers=headers)
        if ranged := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
            start, end = int(ranged[1]), int(ranged[2] or len(data) - 1)
            part = data[start : end + 1]
            headers |= {"Content-Range": f"bytes {start}-{end}/{len(data)}", "Content-Length": str(len(part))}
            return Response(part, 206, headers=headers)
        return Response(data, headers=headers)


def _entry(name: str, data: bytes) -> dict:
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return {"type": "file", "oid": oid, "size": len(data), "path": name}


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": code}, status, headers={"X-Error-Code": code, **(headers or {})})
