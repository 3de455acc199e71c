"""`/metrics`: what is going on, as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families

from jobs.store.circuits import Circuits
from jobs.store.connection import Connection
from tests.integration.gateway.conftest import Gateways
from tests.stack import Reply, request


def samples(reply: Reply) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every number by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


async def test_it_tells_jobs_workers_and_circuits(gateways: Gateways) -> None:
    connection = Connection(gateways.store_spec.url, timeout=5)
    circuits = Circuits(connection)
    try:
        for _ in range(5):
            await circuits.seen("bedrock/claude eu-west-1", failure="provider_overloaded")
        await circuits.seen("openai/gpt", failure="provider_overloaded")
    finally:
        await connection.aclose()
    queued = ("ringback_jobs", (("status", "queued"),))
    before = samples(request(f"{gateways.url}/metrics"))
    body = {"type": "generate", "input": {"prompt": "안녕"}, "model": "offline/rules"}
    assert request(f"{gateways.url}/v1/jobs", method="POST", body=body).status == 202
    reply = request(f"{gateways.url}/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    found = samples(reply)
    assert found[queued] == before[queued] + 1
    assert found["ringback_workers", ()] == 0
    assert found["ringback_longest_queued_seconds", ()] >= 0
    assert found["ringback_circuit_open", (("region", "eu-west-1"), ("target", "bedrock/claude"))] == 1
    assert found["ringback_circuit_open", (("region", ""), ("target", "openai/gpt"))] == 0
