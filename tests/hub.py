"""A small HTTP server that stands for the Hugging Face hub: repositories from a folder, one gated, slow on demand.

Models can be uploaded to it with the token; every file goes as a regular one, never through the storage of large files.
"""

import base64
import hashlib
import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<id>[^/]+/[^/]+)/(?P<what>revision|tree|auth-check)"
    r"(/(?P<rev>[^/]+)(/(?P<below>.+))?)?"
)
FILE = re.compile(r"/(?P<kind>datasets/)?(?P<id>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)")
UPLOAD = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)/(?P<what>preupload|commit)/main")
TOKEN = "hf_accepted"


class Hub(ThreadingHTTPServer):
    """Serves `root`/{models,datasets}/<owner>/<name>/ at one commit each, which is also the head of `main`."""

    daemon_threads = True

    def __init__(self, root: Path, gated: tuple[str, ...] = ()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.gated = root, gated
        self.pause = 0.0  # seconds before every 16 kB of a file
        self.sent: list[str] = []  # files that were sent whole, as often as they were
        self.created: dict[str, bool] = {}  # repository that was made by an upload → whether it is private

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @staticmethod
    def commit(repository: str) -> str:
        """Return the commit of every repository's only version."""
        return hashlib.sha1(repository.encode()).hexdigest()

    def add(self, kind: str, repository: str, files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.root / kind / repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def running(root: Path, gated: tuple[str, ...] = ()):
    """Yield a hub that is gone afterwards."""
    hub = Hub(root, gated)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Answers what `huggingface_hub` asks for."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if match := API.fullmatch(path):
            self._api(match)
        elif match := FILE.fullmatch(path):
            self._file(match)
        else:
            self._reply(404, b"", {"X-Error-Code": "RepoNotFound"})

    def do_POST(self):
        path, body = urlsplit(self.path).path, self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._reply(401, b'{"error": "Invalid username or password."}', {})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            repository = f"{asked['organization']}/{asked['name']}"
            if repository in self.server.created:
                self._reply(409, b"{}", {})
            else:
                self.server.created[repository] = asked["visibility"] == "private"
                self._json({"url": f"{self.server.url}/{repository}"})
        elif path == "/api/validate-yaml":
            _, header, _ = json.loads(body)["content"].split("---\n", 2)
            wrong = [] if isinstance(yaml.safe_load(header), dict) else [{"message": "no mapping"}]
            self._json({"errors": wrong, "warnings": []}, 400 if wrong else 200)
        elif (match := UPLOAD.fullmatch(path)) and match["id"] in self.server.created:
            self._upload(match, body)
        else:
            self._reply(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _upload(self, match: re.Match, body: bytes):
        if match["what"] == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            self._json({"files": [{**file, "shouldIgnore": False} for file in files]})
            return
        lines = [json.loads(line) for line in body.splitlines()]
        contents = {line["value"]["path"]: line["value"]["content"] for line in lines if line["key"] == "file"}
        self.server.add("models", match["id"], {path: base64.b64decode(text) for path, text in contents.items()})
        commit = self.server.commit(match["id"])
        self._json({"commitOid": commit, "commitUrl": f"{self.server.url}/{match['id']}/commit/{commit}"})

    def _json(self, answer: object, status: int = 200):
        self._reply(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _folder(self, kind: str, repository: str, revision: str | None) -> Path | None:
        """Return the repository's files, or None after an error was sent."""
        folder = self.server.root / kind / repository
        if not folder.is_dir():
            self._reply(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in (None, "main", self.server.commit(repository)):
            self._reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            return folder
        return None

    def _denied(self, repository: str) -> bool:
        if repository in self.server.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._reply(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
            return True
        return False

    def _api(self, match: re.Match):
        folder = self._folder(match["kind"], match["id"], match["rev"])
        if folder is None or (match["what"] == "auth-check" and self._denied(match["id"])):
            return
        if match["below"] and not (folder / match["below"]).is_dir():
            self._reply(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        files = sorted(path for path in (folder / (match["below"] or "")).rglob("*") if path.is_file())
        names = [str(path.relative_to(folder)) for path in files]
        answer: object = {"id": match["id"], "sha": self.server.commit(match["id"])}
        if match["what"] == "revision":
            answer = {**answer, "siblings": [{"rfilename": name} for name in names]}
        elif match["what"] == "tree":
            answer = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": _etag(path)}
                for name, path in zip(names, files, strict=True)
            ]
        self._json(answer)

    def _file(self, match: re.Match):
        folder = self._folder("datasets" if match["kind"] else "models", match["id"], match["rev"])
        if folder is None or self._denied(match["id"]):
            return
        path = folder / match["path"]
        if not path.is_file():
            self._reply(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{_etag(path)}"', "X-Repo-Commit": self.server.commit(match["id"])}
        if self._reply(200, path.read_bytes(), headers, slowly=True):
            self.server.sent.append(match["path"])

    def _reply(self, status: int, body: bytes, headers: dict[str, str], slowly: bool = False) -> bool:
        """Send the answer; return whether a body went out whole."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return False
        try:
            for start in range(0, len(body), 16_384):
                if slowly:
                    time.sleep(self.server.pause)
                self.wfile.write(body[start : start + 16_384])
        except OSError:
            return False
        return True


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
