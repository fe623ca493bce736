"""What stands between a server and the world: addresses, TLS, tokens, tenants, quotas."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from certificates import make as make_certificates
import gradwire
from conftest import server_binary
from gradwire import commands, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.testing import Server

CALL_S = 30
ALICE, ALICE_2, BOB = "alice's token", "alice's other token", "bob's token"


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server's and a client's certificate that it signed, made for this run."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def tls_flags(folder: Path) -> list[str]:
    return [f"--tls_cert={folder / 'server.pem'}", f"--tls_key={folder / 'server.key'}"]


def assert_works(client: gradwire.Client) -> None:
    with client.session() as session:
        assert (session.tensor([1.0, 2.0]) * 3).numpy().tolist() == [3.0, 6.0]


# ---------------------------------------------------------------- listeners


def refusal(*flags: str) -> str:
    """What the server says that will not start with these flags."""
    command = [str(server_binary()), "--port=0", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CALL_S)
    assert done.returncode == 2, done
    return done.stderr


def test_help_lists_the_flags() -> None:
    done = subprocess.run([str(server_binary()), "--help"], capture_output=True, text=True, timeout=CALL_S)
    assert all(flag in done.stdout for flag in ("--host", "--port", "--tokens_file", "--max_session_plans"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "gradwire.example", "10.1.2.3"])
def test_plaintext_stays_on_this_machine(host: str) -> None:
    assert "--insecure" in refusal(f"--host={host}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_loopback_needs_no_flag(host: str) -> None:
    with Server(server_binary(), [f"--host={host}"]) as server, gradwire.connect(server.target, timeout=CALL_S) as client:
        assert_works(client)


@pytest.mark.files
def test_a_unix_socket_is_taken_once(tmp_path: Path) -> None:
    host = f"unix:{tmp_path / 'socket'}"
    with Server(server_binary(), [f"--host={host}"]) as server:
        assert server.target == host
        assert "another process listens" in refusal(f"--host={host}")
        with gradwire.connect(host, timeout=CALL_S) as client:
            assert_works(client)
        server.process.kill()
        server.process.wait()
    with Server(server_binary(), [f"--host={host}"]), gradwire.connect(host, timeout=CALL_S) as client:
        assert_works(client)  # what a killed server left behind is no hindrance


@pytest.mark.files
def test_a_file_is_no_unix_socket(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert "no socket" in refusal(f"--host=unix:{file}")
    assert file.read_text() == "mine"
    assert "path of a UNIX socket" in refusal("--host=unix:")
    assert "path of a UNIX socket" in refusal(f"--host=unix:{tmp_path / ('x' * 108)}")


def test_plaintext_elsewhere_must_be_wanted() -> None:
    with Server(server_binary(), ["--host=0.0.0.0", "--insecure"]) as server:
        with gradwire.connect(server.target, timeout=CALL_S) as client:
            assert_works(client)


@pytest.mark.files
def test_tls(certificates: Path) -> None:
    with Server(server_binary(), ["--host=0.0.0.0", *tls_flags(certificates)]) as server:
        target = server.target.replace("0.0.0.0", "127.0.0.1")
        with gradwire.connect(target, tls=gradwire.Tls(ca=certificates / "ca.pem"), timeout=CALL_S) as client:
            assert_works(client)
        named = gradwire.Tls(ca=(certificates / "ca.pem").read_bytes(), server_name="gradwire.test")
        with gradwire.connect(target, tls=named, timeout=CALL_S) as client:
            assert_works(client)
        strangers: list[gradwire.Tls | bool] = [True, False, gradwire.Tls(ca=certificates / "ca.pem", server_name="other.test")]
        for tls in strangers:
            with gradwire.connect(target, tls=tls, timeout=CALL_S, attempts=1) as client, pytest.raises(errors.Unavailable):
                client.session()


@pytest.mark.files
def test_mutual_tls(certificates: Path) -> None:
    flags = [*tls_flags(certificates), f"--tls_client_ca={certificates / 'ca.pem'}"]
    ca, cert, key = (certificates / name for name in ("ca.pem", "client.pem", "client.key"))
    with Server(server_binary(), flags) as server:
        with gradwire.connect(server.target, tls=gradwire.Tls(ca, cert, key), timeout=CALL_S) as client:
            assert_works(client)
        with gradwire.connect(server.target, tls=gradwire.Tls(ca), timeout=CALL_S, attempts=1) as client:
            with pytest.raises(errors.Unavailable):
                client.session()


@pytest.mark.files
def test_tls_files_that_are_none(certificates: Path, tmp_path: Path) -> None:
    assert "together" in refusal(tls_flags(certificates)[0])
    assert "PEM" in refusal(f"--tls_cert={tmp_path / 'none'}", tls_flags(certificates)[1])
    assert "--tls_cert" in refusal(f"--tls_client_ca={certificates / 'ca.pem'}")


# ---------------------------------------------------------------- tokens and tenants


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    alice = {"sha256": [digest(ALICE), digest(ALICE_2)], "max_bytes": 1 << 20, "max_sessions": 2}
    path.write_text(json.dumps({"tenants": {"alice": alice, "bob": {"sha256": [digest(BOB)]}}}))
    return path


@pytest.mark.files
def test_a_token_is_asked_for(tenants: Path) -> None:
    with Server(server_binary(), [f"--tokens_file={tenants}"]) as server:
        for token in (None, "", "guess", digest(ALICE), ALICE + " "):
            with gradwire.connect(server.target, token=token, timeout=CALL_S) as client:
                for call in (client.session, client.server_info):
                    with pytest.raises(errors.Unauthenticated) as caught:
                        call()
                    assert caught.value.code == grpc.StatusCode.UNAUTHENTICATED
                health = health_pb2_grpc.HealthStub(client.channel)  # type: ignore[no-untyped-call]
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for token in (ALICE, ALICE_2, BOB):
            with gradwire.connect(server.target, token=token, timeout=CALL_S) as client:
                assert_works(client)


@pytest.mark.files
def test_another_tenants_session_does_not_exist(tenants: Path) -> None:
    with (
        Server(server_binary(), [f"--tokens_file={tenants}"]) as server,
        gradwire.connect(server.target, token=ALICE, timeout=CALL_S) as alice,
        gradwire.connect(server.target, token=ALICE_2, timeout=CALL_S) as alice_2,
        gradwire.connect(server.target, token=BOB, timeout=CALL_S) as bob,
    ):
        session = alice.session()
        session.put({"x": np.ones(3, np.float32)})
        theirs = gradwire.Session(bob, session.id, "cpu")
        unknown = gradwire.Session(bob, "0" * 32, "cpu")
        for intruder in (theirs, unknown):
            attempts = [
                lambda s=intruder: s.fetch(["x"]),
                lambda s=intruder: s.put({"x": np.zeros(1)}),
                lambda s=intruder: s.fetch_stream(["x"]),
                lambda s=intruder: s.put_stream({"y": np.zeros(1)}),
                lambda s=intruder: bob.unary("KeepAlive", pb.KeepAliveRequest(session_id=s.id)),
                lambda s=intruder: bob.unary("CloseSession", pb.CloseSessionRequest(session_id=s.id)),
            ]
            for attempt in attempts:
                with pytest.raises(errors.SessionNotFound) as caught:
                    attempt()
                assert str(caught.value) == f"this server has no session '{intruder.id}'"
        with pytest.raises(errors.InvalidArgument):
            bob.unary("OpenSession", pb.OpenSessionRequest(session_id=session.id))
        # A tenant's tokens are worth the same.
        assert gradwire.Session(alice_2, session.id, "cpu").fetch(["x"])[0].tolist() == [1, 1, 1]


@pytest.mark.files
def test_an_expired_session_of_another_tenant_never_was(tenants: Path) -> None:
    with (
        Server(server_binary(), [f"--tokens_file={tenants}"]) as server,
        gradwire.connect(server.target, token=ALICE, timeout=CALL_S) as alice,
        gradwire.connect(server.target, token=BOB, timeout=CALL_S) as bob,
    ):
        session = alice.session(lease=0.05)
        time.sleep(0.5)
        with pytest.raises(errors.SessionExpired):
            session.fetch(["x"])
        with pytest.raises(errors.SessionNotFound):
            gradwire.Session(bob, session.id, "cpu").fetch(["x"])


@pytest.mark.files
@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"tenants": {}}', '{"tenants": {"a": {}}}', '{"tenants": {"a": {"sha256": ["abc"]}}}',
     '{"tenants": {"a": {"sha256": ["' + "0" * 64 + '"], "max_bytes": -1}}}'],
)  # fmt: skip
def test_a_tokens_file_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    assert str(path) in refusal(f"--tokens_file={path}")


def test_a_session_id_of_the_clients_choice(server: Server, client: gradwire.Client) -> None:
    session = client.session()
    session.put({"x": np.ones(2)})
    again = client.unary("OpenSession", pb.OpenSessionRequest(session_id=session.id))
    assert again.session_id == session.id
    assert session.fetch(["x"])[0].tolist() == [1, 1]
    assert len(client.unary("OpenSession", pb.OpenSessionRequest()).session_id) == 32
    for short in ("0", "0" * 31, "g" * 32, "0" * 33):
        with pytest.raises(errors.InvalidArgument):
            client.unary("OpenSession", pb.OpenSessionRequest(session_id=short))


def test_clients_that_share_a_session_do_not_take_each_others_numbers(session: gradwire.Session) -> None:
    """The same command from another client is no retry."""
    session.put({"x": np.ones(1)})
    doubling = commands.forward([commands.node("Add", ["x", "x"], ["x"])])
    for client in [gradwire.Session(session.client, session.id, "cpu") for _ in range(3)]:
        client.run([doubling])
    assert session.fetch(["x"])[0].tolist() == [8]


# ---------------------------------------------------------------- quotas


def assert_refused(caught: pytest.ExceptionInfo[errors.QuotaExceeded], limit: int, requested: int | None = None) -> None:
    assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.metadata["limit"] == str(limit)
    assert caught.value.metadata["quota"] in pb.Limits.DESCRIPTOR.fields_by_name
    assert int(caught.value.metadata["used"]) + int(caught.value.metadata["requested"]) > limit
    assert requested is None or caught.value.metadata["requested"] == str(requested)


@pytest.mark.files
def test_a_tenant_has_its_share(tenants: Path) -> None:
    with (
        Server(server_binary(), [f"--tokens_file={tenants}", "--max_tenant_bytes=9000000"]) as server,
        gradwire.connect(server.target, token=ALICE, timeout=CALL_S) as alice,
        gradwire.connect(server.target, token=BOB, timeout=CALL_S) as bob,
    ):
        assert alice.server_info().limits.max_tenant_bytes == 1 << 20
        assert bob.server_info().limits.max_tenant_bytes == 9000000
        first, second = alice.session(), alice.session()
        with pytest.raises(errors.QuotaExceeded) as caught:
            alice.session()
        assert_refused(caught, 2, 1)
        first.put({"x": np.zeros(700 << 10, np.uint8)})
        with pytest.raises(errors.QuotaExceeded) as caught:
            second.put({"x": np.zeros(700 << 10, np.uint8)})
        assert_refused(caught, 1 << 20)
        with bob.session() as other:
            other.put({"x": np.zeros(2 << 20, np.uint8)})
        first.close()  # what it held is free again
        second.put({"x": np.zeros(700 << 10, np.uint8)})
        alice.session().close()


@pytest.mark.files
def test_a_tenants_messages_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    alice = {"sha256": [digest(ALICE)], "max_message_bytes": 2000}
    path.write_text(json.dumps({"tenants": {"alice": alice, "bob": {"sha256": [digest(BOB)]}}}))
    array = np.zeros(3000, np.uint8)
    with Server(server_binary(), [f"--tokens_file={path}", "--max_message_bytes=100000"]) as server:
        with gradwire.connect(server.target, token=BOB, timeout=CALL_S) as bob, bob.session() as session:
            assert bob.server_info().limits.max_message_bytes == 100000
            session.put({"x": array})
        with gradwire.connect(server.target, token=ALICE, timeout=CALL_S) as alice_client, alice_client.session() as session:
            assert alice_client.server_info().limits.max_message_bytes == 2000
            chunk = pb.PutChunk(name="x", spec=pb.TensorSpec(dims=[3000], data_type=2), data=array.tobytes())
            pipeline = session.pipeline()
            for send in (
                lambda: session.put({"x": array}),
                lambda: session.put_chunks([chunk]),
                lambda: pipeline.send(commands.put({"x": array})).result(),
            ):
                with pytest.raises(errors.QuotaExceeded) as caught:
                    send()
                assert_refused(caught, 2000)
                assert caught.value.metadata["quota"] == "max_message_bytes" and caught.value.metadata["used"] == "0"
            assert session.list_tensors() == []
            session.put({"x": array[:1000]})


def test_a_server_has_limits() -> None:
    with Server(server_binary(), ["--max_bytes=1048576", "--max_sessions=2"]) as server:
        with gradwire.connect(server.target, timeout=CALL_S) as client:
            first, second = client.session(), client.session()
            with pytest.raises(errors.QuotaExceeded) as caught:
                client.session()
            assert_refused(caught, 2, 1)
            first.put({"x": np.zeros(700 << 10, np.uint8)})
            with pytest.raises(errors.QuotaExceeded) as caught:
                second.put_stream({"x": np.zeros(700 << 10, np.uint8)})
            assert_refused(caught, 1 << 20)


def test_a_session_has_limits() -> None:
    flags = ["--max_session_tensors=3", "--max_session_programs=1", "--max_message_bytes=100000"]
    with Server(server_binary(), flags) as server, gradwire.connect(server.target, timeout=CALL_S) as client:
        limits = client.server_info().limits
        assert (limits.max_session_tensors, limits.max_session_programs, limits.max_message_bytes) == (3, 1, 100000)
        session = client.session()
        session.put({"a": np.ones(1), "b": np.ones(1)})
        with pytest.raises(errors.QuotaExceeded) as caught:
            session.put({"c": np.ones(1), "d": np.ones(1)})
        assert_refused(caught, 3, 2)
        session.run([commands.delete(["a"]), commands.put({"b": np.zeros(1), "c": np.ones(1), "d": np.ones(1)})])
        assert [info.name for info in session.list_tensors()] == ["b", "c", "d"]
        request = pb.PutRequest(session_id=session.id)
        request.tensors.add(name="b", data_type=1, dims=[30000], raw_data=bytes(120000))
        with pytest.raises(errors.QuotaExceeded, match="100000"):
            client.unary("Put", request)
