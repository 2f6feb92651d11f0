"""Places to keep results in: a folder, the memory of fsspec, and an S3 server of our own on this machine."""

import socket
import uuid

import pytest

from xaibench.places import Url
from xaibench.store import Store


@pytest.fixture(scope="session")
def s3_server():
    """A server that speaks S3. Its bucket starts empty."""
    boto3 = pytest.importorskip("boto3", reason="pip install 'xaibench[test]'")
    server = pytest.importorskip("moto.server", reason="pip install 'xaibench[test]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    running.start()
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **credentials)
    client.create_bucket(Bucket="results")
    yield {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    client.close()
    running.stop()


@pytest.fixture
def s3_url(s3_server, monkeypatch):
    """A folder of its own in the bucket, with the environment that finds the server."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    return f"s3://results/{uuid.uuid4().hex}"


@pytest.fixture(params=["folder", "memory", "s3"])
def location(request, tmp_path):
    """Every kind of place."""
    if request.param == "folder":
        return tmp_path / "out"
    if request.param == "memory":
        return Url(f"memory://{uuid.uuid4().hex}")
    return Url(request.getfixturevalue("s3_url"))


@pytest.fixture
def store(location):
    return Store(location).open()
