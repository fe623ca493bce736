"""nginx with deploy/nginx/gradwire.conf before three servers: sessions stick, and a lost server takes only its own along."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gradwire
from conftest import DEPLOY, free_port, server_binary, wait_for
from gradwire import errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.testing import Server

CALL_S = 30
SESSIONS = 200
CALLS = 5000
NGINX_CONF = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include gradwire.conf;
}}
"""


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    with Server(server_binary()) as a, Server(server_binary()) as b, Server(server_binary()) as c:
        yield [a, b, c]


@pytest.fixture
def balanced(servers: list[Server], tmp_path: Path) -> Iterator[str]:
    """Where nginx listens."""
    os.chmod(tmp_path, 0o755)
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    target = f"127.0.0.1:{free_port()}"
    shutil.copy(DEPLOY / "nginx" / "gradwire.conf", tmp_path)
    (tmp_path / "gradwire.servers").write_text("".join(f"server {server.target};\n" for server in servers))
    (tmp_path / "gradwire.listen").write_text(f"listen {target} http2;\n")
    (tmp_path / "nginx.conf").write_text(NGINX_CONF.format(folder=tmp_path))
    command = [nginx, "-e", "stderr", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]
    subprocess.run([*command, "-t"], check=True)
    process = subprocess.Popen(command)
    try:
        wait_for(target)
        yield target
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(CALL_S)


def holds(server: Server, session_id: str) -> bool:
    with gradwire.connect(server.target, timeout=CALL_S) as client:
        try:
            client.unary("DescribeSession", pb.DescribeSessionRequest(session_id=session_id))
        except errors.SessionNotFound:
            return False
        return True


def test_sessions_stick_to_their_servers(servers: list[Server], balanced: str) -> None:
    with gradwire.connect(balanced, timeout=CALL_S) as client:
        sessions = [client.session() for _ in range(SESSIONS)]
        for number, session in enumerate(sessions):
            session.put({"x": np.array(number)})
        homes = [[server for server in servers if holds(server, session.id)] for session in sessions]
        assert all(len(found) == 1 for found in homes)
        counts = Counter(found[0].target for found in homes)
        print(f"sessions by server: {sorted(counts.values())}")
        assert len(counts) == 3 and min(counts.values()) >= SESSIONS // 10

        order = np.random.default_rng(0).integers(0, SESSIONS, CALLS)
        began = time.monotonic()
        assert all(sessions[i].fetch(["x"])[0] == i for i in order)
        print(f"{CALLS} calls in {time.monotonic() - began:.1f} s, none astray")

        lost = servers[0]
        lost.process.kill()
        lost.process.wait(CALL_S)
        affected = 0
        for number, (session, found) in enumerate(zip(sessions, homes, strict=True)):
            if found[0] is lost:
                affected += 1
                with pytest.raises(errors.SessionNotFound, match=f"this server has no session '{session.id}'"):
                    session.fetch(["x"])
            else:
                assert session.fetch(["x"])[0] == number
        print(f"{affected} sessions were lost with their server, {SESSIONS - affected} go on")
        assert affected == counts[lost.target]
        for number in range(20):
            with client.session() as session:
                session.put({"x": np.array(number)})
                assert session.fetch(["x"])[0] == number


def test_streams_pass_whole(servers: list[Server], balanced: str) -> None:
    array = np.random.default_rng(0).integers(0, 256, 80_000_000, dtype=np.uint8)
    with gradwire.connect(balanced, timeout=CALL_S) as client, client.session() as session:
        session.put_stream({"x": array})
        assert np.array_equal(session.fetch_stream(["x"])["x"], array)
        with session.pipeline() as pipeline:
            replies = [pipeline.send(gradwire.commands.copy("x", f"x{i}")) for i in range(100)]
        assert all(reply.result() is not None for reply in replies)


def test_no_server_at_all_is_a_clear_error(servers: list[Server], balanced: str) -> None:
    for server in servers:
        server.process.kill()
        server.process.wait(CALL_S)
    with gradwire.connect(balanced, timeout=CALL_S, attempts=1) as client:
        with pytest.raises(errors.Unavailable, match="no gradwire server answers"):
            client.session()
